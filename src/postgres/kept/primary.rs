//! The operator's slots on a primary: made where nothing can be lost by it, else told of. Never drops one.

use std::collections::BTreeMap;
use std::time::Duration;

use haa_core::effect::Kept;
use haa_core::settings::KeptSlot;

use super::copies::{self, By, none_copies};
use super::there::{There, slots_of};
use super::{Ailing, Ails, LostSlot, Shown};
use crate::postgres::error::{JobError, sentence};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError, quoted};
use crate::postgres::worker::Bench;

/// A logical slot begins when the transactions of that moment have ended.
const BEGINS: Duration = Duration::from_secs(60);

/// Returns how each is.
pub(super) async fn keep(
    bench: &Bench,
    session: &Session,
    (there, by): (&BTreeMap<String, There>, By),
    kept: &Kept,
) -> Result<BTreeMap<String, Shown>, JobError> {
    let site = &*bench.site;
    let mut shown = BTreeMap::new();
    if by == By::Extension {
        // Whatever else becomes of this look.
        lead(site, there, &kept.slots)?;
    }
    for (name, slot) in &kept.slots {
        if let Some(found) = there.get(name).filter(|found| found.temporary) {
            shown.insert(name.clone(), Shown { holds: found.holds, ailing: Some(waits(name)) });
            continue;
        }
        if let Some(found) = there.get(name) {
            site.kept.seen.send_if_modified(|seen| seen.insert(name.clone()));
            let one = Shown { holds: found.holds, ailing: ailing((name, by), found, slot) };
            shown.insert(name.clone(), one);
            continue;
        }
        let ailing = match slot {
            KeptSlot::Physical => {
                let make =
                    format!("SELECT pg_create_physical_replication_slot({}, true)", quoted(name));
                made(name, session.rows(&make).await.map(drop))?
            }
            KeptSlot::Logical { .. } if by == By::Nobody => Some(none_copies(name)),
            KeptSlot::Logical { database, plugin }
                if kept.new.contains(name) && !site.kept.seen.borrow().contains(name) =>
            {
                let done = made(name, logical((site, by), (name, database, plugin)).await)?;
                if by == By::Extension {
                    lead(site, &slots_of(session, by).await?, &kept.slots)?;
                }
                done
            }
            KeptSlot::Logical { .. } => Some(lost(bench, name)),
        };
        shown.insert(name.clone(), Shown { holds: None, ailing });
    }
    Ok(shown)
}

/// Says which slots are of our own leadership.
fn lead(
    site: &Site,
    there: &BTreeMap<String, There>,
    kept: &BTreeMap<String, KeptSlot>,
) -> Result<(), JobError> {
    let ours = |name: &String, slot: &KeptSlot| {
        there.get(name).is_some_and(|found| found.is(slot) && !found.temporary)
    };
    let own = kept.iter().filter(|(name, slot)| **slot != KeptSlot::Physical && ours(name, slot));
    let own = own.map(|(name, _)| name.clone()).collect();
    copies::lead(site, &own).map_err(JobError::file("write into", site.data()))
}

/// Somebody is about to make it.
fn waits(name: &str) -> Ailing {
    Ailing {
        ails: Ails::NotYet,
        what: format!("the slot {name} is being made"),
        remedy: "it begins when the transactions that are open now have ended: SELECT pid, xact_start, query FROM \
                 pg_stat_activity ORDER BY xact_start"
            .to_owned(),
    }
}

/// A slot is made in its database; standbys copy it.
async fn logical(
    (site, by): (&Site, By),
    (name, database, plugin): (&str, &str, &str),
) -> Result<(), SqlError> {
    let session = Session::open_in(site, database).await?;
    let make = make((name, plugin), by);
    session.rows_within(&make, BEGINS).await.map(drop)
}

/// A server that answers nothing is asked nothing more.
fn made(name: &str, done: Result<(), SqlError>) -> Result<Option<Ailing>, JobError> {
    match done {
        Ok(()) => {
            tracing::info!(name, "made a replication slot that is kept");
            Ok(None)
        }
        Err(error @ (SqlError::Refused(_) | SqlError::Login { .. })) => Ok(Some(Ailing {
            ails: Ails::Badly,
            what: format!("the slot {name} cannot be made: {}", sentence(&error)),
            remedy: "mend what it says; it is tried again every 10 s".to_owned(),
        })),
        Err(error) => Err(error.into()),
    }
}

/// What makes a logical slot that standbys copy.
fn make((name, plugin): (&str, &str), by: By) -> String {
    let failover = if by == By::Postgres { ", false, false, true" } else { "" };
    let (name, plugin) = (quoted(name), quoted(plugin));
    format!("SELECT pg_create_logical_replication_slot({name}, {plugin}{failover})")
}

fn ailing((name, by): (&str, By), found: &There, slot: &KeptSlot) -> Option<Ailing> {
    let (what, remedy) = if !found.is(slot) {
        let what = format!("the slot {name} is another than the settings say: {:?}", found.kind);
        let remedy = format!(
            "drop it, and set it anew; or say in the settings what it is: haactl settings set slots.{name}.type=..."
        );
        (what, remedy)
    } else if found.lost {
        let what = format!("the slot {name} has lost what its consumer has not read");
        let remedy = format!(
            "drop it and let its consumer begin anew: SELECT pg_drop_replication_slot('{name}'), then {}",
            anew((name, by), slot)
        );
        (what, remedy)
    } else if matches!(slot, KeptSlot::Logical { .. }) && by == By::Nobody {
        let said = none_copies(name);
        (said.what, said.remedy)
    } else if matches!(slot, KeptSlot::Logical { .. }) && !found.failover {
        let what = format!("no standby copies the slot {name}: it was made without failover");
        let remedy = format!(
            "while it is not in use: ALTER SUBSCRIPTION ... SET (failover = true) on its subscriber; or as a \
             superuser, psql 'replication=database dbname=postgres' -c 'ALTER_REPLICATION_SLOT {name} (FAILOVER true)'"
        );
        (what, remedy)
    } else {
        return None;
    };
    Some(Ailing { ails: Ails::Badly, what, remedy })
}

/// How a logical slot is begun anew.
fn anew((name, by): (&str, By), slot: &KeptSlot) -> String {
    match slot {
        KeptSlot::Physical => "haad makes it again".to_owned(),
        KeptSlot::Logical { database, plugin } => {
            format!("in {database}: {}", make((name, plugin), by))
        }
    }
}

/// Told once for people: in the log, and as an event.
fn lost(bench: &Bench, name: &str) -> Ailing {
    let what = format!(
        "the slot {name} is not on this primary: how far its consumer has read is lost with it, or it was never made; \
         none is made in its place, which would skip changes"
    );
    let remedy = format!(
        "bring its consumer up to date by a new copy, and make the slot for it: haactl settings set slots.{name}=, \
         then as it was"
    );
    let known = bench.site.kept.now();
    let told = known.get(name).and_then(|shown| shown.ailing.as_ref());
    if let Some(lost) = &bench.gates.lost
        && told.is_none_or(|told| told.what != what)
    {
        // Nobody may be there to tell of it.
        drop(lost.try_send(LostSlot { name: name.to_owned(), why: what.clone() }));
    }
    Ailing { ails: Ails::Badly, what, remedy }
}
