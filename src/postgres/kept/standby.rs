//! The operator's slots on a standby: physical ones follow their likes on the source; logical ones Postgres copies, and
//! what is in its way is taken out of it. Never further than the source's.

use std::collections::BTreeMap;

use haa_core::settings::KeptSlot;
use haa_core::units::Timeline;

use super::copies::{By, none_copies};
use super::there::{There, slots_of};
use super::{Ailing, Ails, Shown};
use crate::agent::clock;
use crate::postgres::conninfo;
use crate::postgres::error::{JobError, sentence};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError, quoted};

/// Returns how each is.
pub(super) async fn keep(
    site: &Site,
    session: &Session,
    (there, by): (&BTreeMap<String, There>, By),
    kept: &BTreeMap<String, KeptSlot>,
) -> Result<BTreeMap<String, Shown>, JobError> {
    let source = session.value("SELECT current_setting('primary_conninfo')").await?;
    // Another cluster's slots are its own.
    let source = source.as_deref().and_then(conninfo::address).filter(|source| source.port > 0);
    let theirs = match source {
        None => None,
        Some(source) => {
            let asked = async {
                slots_of(&Session::open_at(&source, &site.config.rewind).await?, by).await
            };
            let said = |error: &SqlError| {
                tracing::debug!("the source's slots are not known: {}", sentence(error));
            };
            asked.await.inspect_err(said).ok()
        }
    };
    let of_source = theirs.as_ref();
    for (name, slot) in kept {
        let theirs = of_source.and_then(|all| all.get(name)).filter(|theirs| theirs.is(slot));
        match (slot, there.get(name), theirs) {
            // It holds WAL from now on, whatever the source has.
            (KeptSlot::Physical, None, _) => make(session, name).await?,
            (KeptSlot::Physical, Some(own), Some(theirs)) => {
                follow(session, name, own, theirs).await?;
            }
            (KeptSlot::Logical { .. }, Some(own), Some(theirs)) if by == By::Postgres => {
                make_way(session, name, own, theirs).await?;
            }
            (_, _, _) => {}
        }
    }
    let now = slots_of(session, by).await?;
    if by == By::Extension {
        // What came since the source was asked is looked at the next time.
        let both = |name: &String| there.get(name).is_some_and(|before| before.copied);
        let old = now.iter().filter(|(name, _)| both(name));
        let old = old.map(|(name, slot)| (name.clone(), slot.clone())).collect();
        prove(site, session, (of_source, &old)).await?;
    }
    let served = site.kept.served();
    let serves = |name: &str| by != By::Extension || served.has(name);
    let shown = kept.iter().map(|(name, slot)| {
        let own = now.get(name);
        let holds = own.and_then(|own| own.holds);
        let ailing = match slot {
            KeptSlot::Physical => physical(name, own),
            KeptSlot::Logical { .. } if by == By::Nobody => {
                let there =
                    of_source.is_some_and(|all| all.get(name).is_some_and(|all| all.is(slot)));
                there.then(|| Ailing { ails: Ails::NotCopied, ..none_copies(name) })
            }
            KeptSlot::Logical { .. } => {
                logical(name, own.filter(|own| own.is(slot) && serves(name)))
            }
        };
        (name.clone(), Shown { holds, ailing })
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

/// Which copies of the extension's serve, while we stream from the one that was asked.
async fn prove(
    site: &Site,
    session: &Session,
    (theirs, ours): (Option<&BTreeMap<String, There>>, &BTreeMap<String, There>),
) -> Result<(), SqlError> {
    const STREAMS: &str = "SELECT (SELECT received_tli FROM pg_stat_wal_receiver \
         WHERE status = 'streaming'), pg_last_wal_replay_lsn()";
    let rows = session.rows(STREAMS).await?;
    let row = rows.first().ok_or(SqlError::Odd { column: 0 })?;
    let (before, now) = (site.kept.served(), clock::now());
    let next = match (row.parse(0).map(Timeline), theirs) {
        (Some(timeline), Some(theirs)) => {
            let held = theirs.get(&site.me.slot()).and_then(|slot| slot.catalog_xmin);
            before.next((timeline, now), held, (theirs, ours))
        }
        (Some(_), None) | (None, _) => before.rests(now, row.parse(1)),
    };
    site.kept.served.send_replace(next);
    Ok(())
}

fn physical(name: &str, own: Option<&There>) -> Option<Ailing> {
    if own.is_some_and(|own| own.is(&KeptSlot::Physical) && !own.lost) {
        return None;
    }
    Some(Ailing {
        ails: Ails::NotYet,
        what: format!("the slot {name} is not on this replica"),
        remedy: "its log says why, where that lasts; is it on the primary?".to_owned(),
    })
}

/// Of one that is what the settings say, and serves.
fn logical(name: &str, own: Option<&There>) -> Option<Ailing> {
    if own.is_some_and(|own| own.copied && !own.temporary && !own.lost) {
        return None;
    }
    Some(not_copied(name))
}

pub(super) fn not_copied(name: &str) -> Ailing {
    Ailing {
        ails: Ails::NotCopied,
        what: format!("the slot {name} is not copied to this replica: a failover to it would lose it"),
        remedy: "it is, once its consumer has confirmed something since the replica came: is it running? Postgres' log \
                 of this replica says more"
            .to_owned(),
    }
}
