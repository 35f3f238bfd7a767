//! Physical replication slots, one a member. Never one that haa did not make, never one in use.

use std::collections::BTreeSet;

use haa_core::units::MemberName;

use super::sql::{Session, SqlError, quoted};

/// The slot of a member; slot names know no `-`.
pub(super) fn name(member: &MemberName) -> String {
    format!("haa_{}", member.as_str().replace('-', "_"))
}

const OURS: &str = "SELECT slot_name FROM pg_get_replication_slots() \
     WHERE slot_type = 'physical' AND slot_name LIKE 'haa\\_%'";

/// Creates what is missing of `wanted`.
pub(super) async fn create(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
    holds: Holds,
) -> Result<(), SqlError> {
    for slot in missing(session, wanted).await? {
        let reserve = holds == Holds::Wal;
        let create =
            format!("SELECT pg_create_physical_replication_slot({}, {reserve})", quoted(&slot));
        if let Err(error) = session.rows(&create).await {
            // Another task may have been faster.
            if missing(session, wanted).await?.contains(&slot) {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// What a slot keeps from its creation on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// WAL, for one who is to come back.
    Wal,
    /// Nothing: it is there so that a follower can come the moment that its standby is promoted.
    Nothing,
}

async fn missing(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
) -> Result<Vec<String>, SqlError> {
    let there = session.rows(OURS).await?;
    let there: BTreeSet<&str> = there.iter().filter_map(|row| row.text(0)).collect();
    Ok(wanted.iter().map(name).filter(|slot| !there.contains(slot.as_str())).collect())
}

async fn drop_where(
    session: &Session,
    which: &str,
    goes: impl Fn(&str) -> bool,
) -> Result<Vec<String>, SqlError> {
    let idle = session.rows(&format!("{OURS} AND NOT active AND {which}")).await?;
    let idle: Vec<_> =
        idle.iter().filter_map(|row| row.text(0)).filter(|slot| goes(slot)).collect();
    for slot in &idle {
        session.rows(&format!("SELECT pg_drop_replication_slot({})", quoted(slot))).await?;
    }
    Ok(idle.into_iter().map(str::to_owned).collect())
}

/// Makes the slots those of `wanted`: a primary's hold WAL, a standby's do not.
pub(super) async fn reconcile(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
) -> Result<(), SqlError> {
    let names: BTreeSet<String> = wanted.iter().map(name).collect();
    for slot in drop_where(session, "true", |slot| !names.contains(slot)).await? {
        tracing::info!(slot, "dropped a replication slot that no member needs");
    }
    let standby = session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("f");
    let (holds, wrong) = match standby {
        true => (Holds::Nothing, "restart_lsn IS NOT NULL"),
        false => (Holds::Wal, "restart_lsn IS NULL"),
    };
    drop_where(session, wrong, |_| true).await?;
    create(session, wanted, holds).await
}
