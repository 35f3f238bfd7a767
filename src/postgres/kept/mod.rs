//! The operator's replication slots that are there whoever leads: made, moved on, told of. Never moves one on beyond
//! its consumer, and never makes one anew that was lost: its consumer would skip changes and not know.
//!
//! | module | owns |
//! |---|---|
//! | `primary`, `standby` | what is done on either |
//! | `copies` | who copies logical ones to standbys, and which copies serve |
//! | `file` | what Postgres is told for them |
//! | `there` | which slots a server has |
//! | `vet` | whether one could be kept, before anybody writes it |

pub(super) mod copies;
pub(super) mod file;
mod primary;
mod standby;
mod there;
mod vet;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use haa_core::effect::Kept;
use haa_core::settings::KeptSlot;
use haa_core::units::{Address, MemberName};
use tokio::sync::watch;

use super::error::JobError;
use super::files;
use super::process::remove_if_there;
use super::site::Site;
use super::sql::Session;
use super::worker::Bench;
pub(super) use copies::COPIED_FROM;
use copies::{By, Served};
use there::{There, slots_of};
pub(super) use vet::objections;

/// Which were kept last, so that those that are kept no more can go.
const FILE: &str = "haa.slots.json";

/// What is wrong with a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ailing {
    /// How bad it is.
    pub ails: Ails,
    /// What is so.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ails {
    /// Its consumer cannot go on, or could not after a failover.
    Badly,
    /// A standby does not have it yet.
    NotYet,
    /// A standby has no copy of a logical one, and could not make one.
    NotCopied,
}

/// How a slot is on this server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Bytes of WAL since its position; `None` if it holds none.
    pub holds: Option<u64>,
    /// What is wrong with it; `None`: it serves, or would after a failover to this server.
    pub ailing: Option<Ailing>,
}

/// A logical slot was not there when its server was promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSlot {
    /// Which.
    pub name: String,
    /// What that means.
    pub why: String,
}

/// What is known of them.
#[derive(Default)]
pub(super) struct Known {
    shown: watch::Sender<BTreeMap<String, Shown>>,
    /// The copies of an extension's that serve.
    served: watch::Sender<Served>,
    /// Who was followed last.
    source: watch::Sender<Option<Address>>,
    /// Were there in this run of the agent, while it led.
    seen: watch::Sender<BTreeSet<String>>,
    /// Taken back, and gone or left to the operator: one of this name that comes now is not ours.
    released: watch::Sender<BTreeSet<String>>,
}

impl Known {
    pub(super) fn shown(&self) -> watch::Receiver<BTreeMap<String, Shown>> {
        self.shown.subscribe()
    }

    pub(super) fn now(&self) -> BTreeMap<String, Shown> {
        self.shown.borrow().clone()
    }

    fn served(&self) -> Served {
        self.served.borrow().clone()
    }

    /// One that would be lost if this standby led.
    pub(super) fn lacks(&self) -> Option<String> {
        let ails = |shown: &Shown| shown.ailing.as_ref().map(|ailing| ailing.ails);
        let shown = self.shown.borrow();
        let lacks = shown.iter().find(|(_, shown)| ails(shown) == Some(Ails::NotCopied));
        lacks.map(|(name, _)| name.clone())
    }

    /// What is asked for anew is as if it had never been there.
    fn heed(&self, kept: &Kept) {
        self.seen.send_modify(|seen| seen.retain(|name| kept.slots.contains_key(name)));
        self.released.send_modify(|released| released.retain(|name| kept.gone.contains(name)));
    }

    /// What ails is told once. Returns those that were not known to.
    fn show(&self, now: BTreeMap<String, Shown>) -> Vec<(String, Ailing)> {
        let before = self.shown.send_replace(now.clone());
        let ails = |of: &BTreeMap<String, Shown>, name: &str| {
            of.get(name).and_then(|shown| shown.ailing.clone())
        };
        let new = now.keys().filter(|name| ails(&now, name) != ails(&before, name));
        new.filter_map(|name| Some((name.clone(), ails(&now, name)?))).collect()
    }
}

/// Makes the operator's slots as they are to be, as far as that can be done on our server.
pub(super) async fn keep(
    bench: &Bench,
    members: &BTreeSet<MemberName>,
    kept: &Kept,
) -> Result<(), JobError> {
    let site = &*bench.site;
    let path = site.state(FILE);
    site.kept.heed(kept);
    let idle = kept.slots.is_empty() && kept.gone.is_empty();
    if idle && !path.exists() && !file::path(site).exists() {
        site.kept.show(BTreeMap::new());
        return Ok(());
    }
    let session = bench.session().await?;
    let standby = session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("f");
    let by = By::on(&session, site.major()).await?;
    let there = slots_of(&session, by).await?;
    let logical = kept.slots.values().any(|slot| matches!(slot, KeptSlot::Logical { .. }));
    // A standby lets nobody drop a copy of Postgres' own: it does so itself, when its source has the slot no more.
    let copies = standby && by == By::Postgres && there.values().any(|slot| slot.copied);
    // Whoever promotes a standby finds it told.
    let before = if standby { members } else { &kept.before };
    let wanted = file::Wanted { by, slots: &kept.slots, before };
    file::tell(site, (by != By::Nobody && (logical || copies)).then_some(wanted)).await?;
    released(&session, site, (&there, by), (kept, standby)).await?;
    let work = match standby {
        true => standby::keep(site, &session, (&there, by), &kept.slots).await,
        false => primary::keep(bench, &session, (&there, by), kept).await,
    };
    remember(site, &kept.slots).map_err(JobError::file("write", &path))?;
    for (name, ailing) in site.kept.show(work?) {
        let Ailing { ails, what, remedy } = &ailing;
        match ails {
            Ails::Badly => tracing::warn!("{what}: {remedy}"),
            Ails::NotYet | Ails::NotCopied => tracing::debug!(name, "{what}"),
        }
    }
    Ok(())
}

/// Which were kept and are not any more. From a primary those go that were taken back while it led: settings that are
/// others because etcd was lost take nothing from it. From a standby its own copies, which nobody else moves on.
async fn released(
    session: &Session,
    site: &Site,
    (there, by): (&BTreeMap<String, There>, By),
    (kept, standby): (&Kept, bool),
) -> Result<(), JobError> {
    let path = site.state(FILE);
    let gone: BTreeSet<String> = match standby {
        false => kept.gone.difference(&site.kept.released.borrow()).cloned().collect(),
        true => {
            let before = read(site).map_err(JobError::file("read", &path))?;
            let own = |slot: &KeptSlot| *slot == KeptSlot::Physical || by == By::Extension;
            let gone = before.into_iter().filter(|(name, slot)| {
                let same = there.get(name).is_some_and(|found| found.is(slot));
                own(slot) && same && !kept.slots.contains_key(name)
            });
            gone.map(|(name, _)| name).collect()
        }
    };
    for name in gone {
        match there.get(&name) {
            None => {}
            Some(found) if found.active && !(standby && by == By::Extension) => {
                tracing::info!(name, "a slot that is not kept any more is in use, and stays");
            }
            Some(_) => {
                copies::drop_slot(session, &name).await?;
                tracing::info!(name, "dropped a slot that is not kept any more");
            }
        }
        if !standby {
            site.kept.released.send_if_modified(|released| released.insert(name));
        }
    }
    Ok(())
}

fn read(site: &Site) -> io::Result<BTreeMap<String, KeptSlot>> {
    match std::fs::read(site.state(FILE)) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn remember(site: &Site, kept: &BTreeMap<String, KeptSlot>) -> io::Result<()> {
    if kept.is_empty() {
        return remove_if_there(&site.state(FILE));
    }
    if read(site)? == *kept {
        return Ok(());
    }
    files::write_private(&site.state(FILE), serde_json::to_vec(kept)?)
}
