//! The operator's slots on a standby: physical ones follow their likes on the source; logical ones Postgres copies, and
//! what is in its way is taken out of it. Never further than the source's.

use std::collections::BTreeMap;

use haa_core::settings::KeptSlot;

use super::there::{There, slots_of};
use super::{Ailing, Ails, COPIED_FROM, Shown};
use crate::postgres::conninfo;
use crate::postgres::error::{JobError, sentence};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError, quoted};

/// Returns how each is.
pub(super) async fn keep(
    site: &Site,
    session: &Session,
    there: &BTreeMap<String, There>,
    kept: &BTreeMap<String, KeptSlot>,
) -> Result<BTreeMap<String, Shown>, JobError> {
    let source = session.value("SELECT current_setting('primary_conninfo')").await?;
    // Another cluster's slots are its own.
    let source = source.as_deref().and_then(conninfo::address).filter(|source| source.port > 0);
    let theirs = match source {
        None => BTreeMap::new(),
        Some(source) => {
            let asked = async {
                slots_of(&Session::open_at(&source, &site.config.rewind).await?, site.major()).await
            };
            asked.await.unwrap_or_else(|error| {
                tracing::debug!("the source's slots are not known: {}", sentence(&error));
                BTreeMap::new()
            })
        }
    };
    for (name, slot) in kept {
        let theirs = theirs.get(name).filter(|theirs| theirs.is(slot));
        match (slot, there.get(name), theirs) {
            // It holds WAL from now on, whatever the source has.
            (KeptSlot::Physical, None, _) => make(session, name).await?,
            (KeptSlot::Physical, Some(own), Some(theirs)) => {
                follow(session, name, own, theirs).await?;
            }
            (KeptSlot::Logical { .. }, Some(own), Some(theirs)) => {
                make_way(session, name, own, theirs).await?;
            }
            (_, _, _) => {}
        }
    }
    let now = slots_of(session, site.major()).await?;
    let shown = kept.iter().map(|(name, slot)| {
        let own = now.get(name);
        let holds = own.and_then(|own| own.holds);
        (name.clone(), Shown { holds, ailing: ailing(site, name, own, slot) })
    });
    Ok(shown.collect())
}

async fn make(session: &Session, name: &str) -> Result<(), SqlError> {
    let make = format!("SELECT pg_create_physical_replication_slot({}, true)", quoted(name));
    session.rows(&make).await.map(drop)
}

/// A physical one holds what its like on the source holds; where that has gone further, it may go there too. One that
/// has lost WAL begins anew.
async fn follow(
    session: &Session,
    name: &str,
    own: &There,
    theirs: &There,
) -> Result<(), SqlError> {
    let Some(reached) = theirs.restart.filter(|_| !theirs.lost) else { return Ok(()) };
    if own.active || !own.is(&KeptSlot::Physical) {
        return Ok(());
    }
    let quoted = quoted(name);
    let Some(holds) = own.restart.filter(|_| !own.lost) else {
        session.rows(&format!("SELECT pg_drop_replication_slot({quoted})")).await?;
        return make(session, name).await;
    };
    if reached <= holds {
        return Ok(());
    }
    let advance = format!(
        "SELECT pg_replication_slot_advance({quoted}, least('{reached}'::pg_lsn, pg_last_wal_replay_lsn())) \
         WHERE pg_last_wal_replay_lsn() > (SELECT restart_lsn FROM pg_replication_slots \
         WHERE slot_name = {quoted} AND NOT active)"
    );
    session.rows(&advance).await.map(drop)
}

/// A former primary has the slot itself, and Postgres puts no copy over it. What the source has is newer.
async fn make_way(
    session: &Session,
    name: &str,
    own: &There,
    theirs: &There,
) -> Result<(), SqlError> {
    let in_the_way = !own.copied && !own.temporary && !own.active;
    if !in_the_way || !theirs.failover || theirs.lost {
        return Ok(());
    }
    tracing::info!(name, "dropped the slot of an earlier leadership: the primary's is copied");
    session.rows(&format!("SELECT pg_drop_replication_slot({})", quoted(name))).await.map(drop)
}

fn ailing(site: &Site, name: &str, own: Option<&There>, slot: &KeptSlot) -> Option<Ailing> {
    let (ails, what, remedy) = match (slot, own) {
        (KeptSlot::Logical { .. }, _) if site.major() < COPIED_FROM => return None,
        (KeptSlot::Physical, Some(own)) if own.is(slot) && !own.lost => return None,
        (KeptSlot::Logical { .. }, Some(own))
            if own.is(slot) && own.copied && !own.temporary && !own.lost =>
        {
            return None;
        }
        (KeptSlot::Physical, _) => {
            let what = format!("the slot {name} is not on this replica");
            (Ails::NotYet, what, "its log says why, where that lasts; is it on the primary?")
        }
        (KeptSlot::Logical { .. }, _) => {
            let what = format!(
                "the slot {name} is not copied to this replica: a failover to it would lose it"
            );
            let remedy = "it is, once its consumer has confirmed something since the replica came: is it running? \
                          Postgres' log of this replica says more";
            (Ails::NotCopied, what, remedy)
        }
    };
    Some(Ailing { ails, what, remedy: remedy.to_owned() })
}
