//! Physical replication slots, one a member. Never one that haa did not make, never one in use.

use std::collections::BTreeSet;

use haa_core::units::MemberName;

use super::sql::{Session, SqlError, quoted};

/// The slot of a member; slot names know no `-`.
pub(super) fn name(member: &MemberName) -> String {
    format!("haa_{}", member.as_str().replace('-', "_"))
}

const OURS: &str = "SELECT slot_name FROM pg_replication_slots \
     WHERE slot_type = 'physical' AND slot_name LIKE 'haa\\_%'";

/// Creates what is missing of `wanted`; it keeps WAL from now on.
pub(super) async fn create(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
) -> Result<(), SqlError> {
    for slot in missing(session, wanted).await? {
        let create = format!("SELECT pg_create_physical_replication_slot({}, true)", quoted(&slot));
        if let Err(error) = session.rows(&create).await {
            // Another task may have been faster.
            if missing(session, wanted).await?.contains(&slot) {
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn missing(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
) -> Result<Vec<String>, SqlError> {
    let there = session.rows(OURS).await?;
    let there: BTreeSet<&str> = there.iter().filter_map(|row| row.text(0)).collect();
    Ok(wanted.iter().map(name).filter(|slot| !there.contains(slot.as_str())).collect())
}

/// Drops every slot of ours that is not wanted and not in use.
pub(super) async fn drop_others(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
) -> Result<(), SqlError> {
    let wanted: BTreeSet<String> = wanted.iter().map(name).collect();
    let idle = session.rows(&format!("{OURS} AND NOT active")).await?;
    let idle = idle.iter().filter_map(|row| row.text(0));
    for slot in idle.filter(|slot| !wanted.contains(*slot)) {
        tracing::info!(slot, "dropping a replication slot that no member needs");
        session.rows(&format!("SELECT pg_drop_replication_slot({})", quoted(slot))).await?;
    }
    Ok(())
}

/// Makes a primary's slots those of `wanted`. A standby, about to be promoted, only creates them.
pub(super) async fn reconcile(
    session: &Session,
    wanted: &BTreeSet<MemberName>,
) -> Result<(), SqlError> {
    create(session, wanted).await?;
    if session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("f") {
        return Ok(());
    }
    drop_others(session, wanted).await
}
