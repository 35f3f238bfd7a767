//! Physical replication slots, one a member. Never one that haa did not make, never one in use.

use std::collections::{BTreeMap, BTreeSet};

use haa_core::effect::Strangers;
use haa_core::units::{Lsn, MemberName};

use super::sql::{Session, SqlError, quoted};

const OURS: &str = "SELECT slot_name FROM pg_get_replication_slots() \
     WHERE slot_type = 'physical' AND slot_name LIKE 'haa\\_%'";

/// Creates what is missing of `wanted`. One that cannot be made does not keep the others from being made.
pub(super) async fn create(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
    holds: Holds,
) -> Result<(), SqlError> {
    let reserve = holds == Holds::Wal;
    let creates = missing(session, wanted).await?.into_iter().map(|slot| {
        format!("SELECT pg_create_physical_replication_slot({}, {reserve})", quoted(&slot))
    });
    each(session, creates.collect()).await
}

/// Asks everything, and returns the first error. A server that does not answer is asked nothing more.
async fn each(session: &Session, questions: Vec<String>) -> Result<(), SqlError> {
    let mut first = Ok(());
    for question in questions {
        match session.rows(&question).await {
            Ok(_) => {}
            Err(error @ SqlError::Refused(_)) => first = first.and(Err(error)),
            Err(error) => return Err(error),
        }
    }
    first
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
    Ok(wanted.iter().map(MemberName::slot).filter(|slot| !there.contains(slot.as_str())).collect())
}

/// Lets go of the WAL that a primary's slots hold for members that have it already, from another. Whoever takes its
/// slot meanwhile moves it on itself.
pub(super) async fn advance(
    session: &Session,
    reached: &BTreeMap<MemberName, Lsn>,
) -> Result<(), SqlError> {
    let moves = reached.iter().map(|(name, lsn)| {
        let (slot, lsn) = (quoted(&name.slot()), quoted(&lsn.to_string()));
        format!(
            "SELECT pg_replication_slot_advance(slot_name, {lsn}) FROM pg_get_replication_slots() \
             WHERE slot_name = {slot} AND slot_type = 'physical' AND NOT active \
               AND restart_lsn < {lsn} AND NOT pg_is_in_recovery()"
        )
    });
    each(session, moves.collect()).await
}

/// Drops those of ours that nobody uses and that are as `which` says. Whoever takes one meanwhile keeps it.
async fn drop_where(
    session: &Session,
    which: &str,
    goes: impl Fn(&str) -> bool,
) -> Result<(), SqlError> {
    let idle = session.rows(&format!("{OURS} AND NOT active AND {which}")).await?;
    let idle = idle.iter().filter_map(|row| row.text(0)).filter(|slot| goes(slot));
    let drops = idle.map(|slot| format!("SELECT pg_drop_replication_slot({})", quoted(slot)));
    each(session, drops.collect()).await
}

/// Makes the slots those of `wanted`: a primary's hold WAL, a standby's do not. Strangers stay or go.
pub(super) async fn reconcile(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
    strangers: &Strangers,
) -> Result<(), SqlError> {
    let names: BTreeSet<String> = wanted.iter().map(MemberName::slot).collect();
    let dropped = match strangers {
        Strangers::Kept => Ok(()),
        Strangers::Dropped => drop_where(session, "true", |slot| !names.contains(slot)).await,
        Strangers::Named(whose) => {
            let theirs: BTreeSet<String> = whose.iter().map(MemberName::slot).collect();
            drop_where(session, "true", |slot| theirs.contains(slot)).await
        }
    };
    let standby = session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("f");
    // Asked again with each question: a promotion may come in between.
    let (holds, wrong) = match standby {
        true => (Holds::Nothing, "restart_lsn IS NOT NULL AND pg_is_in_recovery()"),
        // One that Postgres gave up for being idle still says where it was.
        false => (Holds::Wal, "(restart_lsn IS NULL OR wal_status = 'lost')"),
    };
    let changed = drop_where(session, wrong, |_| true).await;
    create(session, wanted, holds).await.and(changed).and(dropped)
}
