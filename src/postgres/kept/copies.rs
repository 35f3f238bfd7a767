//! How standbys come by copies of logical slots, and which copies serve. Never makes one.
//!
//! From PostgreSQL 17 on standbys copy them, and Postgres sees to it that a copy has what it needs. Before it the
//! extension `pg_failover_slots` does, where an operator has loaded it, and nothing tells of a copy whose rows of the
//! catalogs were vacuumed away: what it decodes is wrong. So a copy is proven here, or it goes before a promotion.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use haa_core::settings::KeptSlot;
use haa_core::units::{Address, Lsn, Millis, Timeline};

use super::there::{There, slots_of};
use super::{Ailing, Ails, Shown};
use crate::agent::clock;
use crate::postgres::error::JobError;
use crate::postgres::files;
use crate::postgres::process::remove_if_there;
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError, quoted};
use crate::postgres::wished::Told;

/// Standbys of this major version copy logical slots by themselves.
pub(in crate::postgres) const COPIED_FROM: u32 = 17;

/// What copies them before: <https://github.com/EnterpriseDB/pg_failover_slots>.
pub(super) const EXTENSION: &str = "pg_failover_slots";

/// Its worker holds a slot while it moves it on, for some milliseconds of every two seconds.
const HELD: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// Whoever was away longer may have lost its slot, and come back to another of the same name.
const REMEMBERED: Millis = Millis(60_000);

/// Who copies logical slots to a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Postgres,
    /// [`EXTENSION`].
    Extension,
    Nobody,
}

impl By {
    /// On this server, as it runs.
    pub(super) async fn on(session: &Session, major: u32) -> Result<Self, SqlError> {
        if major >= COPIED_FROM {
            return Ok(Self::Postgres);
        }
        let question = format!("SELECT current_setting('{EXTENSION}.version', true)");
        let version = session.value(&question).await?;
        Ok(if version.is_some_and(|version| !version.is_empty()) {
            Self::Extension
        } else {
            Self::Nobody
        })
    }
}

/// A logical slot, where nobody copies any.
pub(super) fn none_copies(name: &str) -> Ailing {
    Ailing {
        ails: Ails::Badly,
        what: format!("no standby copies the slot {name}: {} is not loaded", EXTENSION),
        remedy: format!("{}; or take it out: haactl settings set slots.{name}=", how_to_load()),
    }
}

/// Nobody's standbys read a preloaded library while they run.
pub(super) fn how_to_load() -> String {
    format!(
        "install {EXTENSION} beside every Postgres; haactl settings set \
         postgres.parameters.shared_preload_libraries={EXTENSION} (with those that you have there), then haactl \
         restart --rolling"
    )
}

/// In which databases standbys ask their source for slots, as `pg_hba.conf` has it: the extension asks in each slot's.
pub(in crate::postgres) fn asked_in(major: u32, told: &Told) -> Option<&'static str> {
    if major >= COPIED_FROM {
        return Some("\"postgres\"");
    }
    let loaded = told.of("shared_preload_libraries").unwrap_or_default();
    let named = |library: &str| {
        let library = library.trim().trim_matches('"');
        library.rsplit('/').next().unwrap_or_default().trim_end_matches(".so") == EXTENSION
    };
    loaded.split(',').any(named).then_some("all")
}

/// The copies of the extension's that serve: what they need was kept for them all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// The primary's that was followed when this was so, another of which may have vacuumed more; and when, by
    /// `CLOCK_BOOTTIME`.
    of: Option<(Timeline, Millis)>,
    names: BTreeSet<String>,
    /// Since then nothing was received: it has replayed until here.
    quiet: Option<Lsn>,
}

impl Served {
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn is_fresh(&self, now: Millis) -> bool {
        self.of.is_some_and(|(_, at)| now.since(at) < REMEMBERED)
    }

    /// Whether it holds for what was replayed since.
    fn holds(&self, now: Millis, replayed: Option<Lsn>) -> bool {
        self.is_fresh(now) || replayed.is_some() && self.quiet == replayed
    }

    /// What is so while nothing is received, or nobody tells of the source.
    pub(super) fn rests(&self, now: Millis, replayed: Option<Lsn>) -> Self {
        let quiet = replayed.filter(|_| self.holds(now, replayed));
        Self { quiet, ..self.clone() }
    }

    /// What is so, streaming from the primary of this timeline. The source's slots were read first, then ours; `held`
    /// is what our own slot there holds.
    ///
    /// While the source's slot needs no newer rows than the copy does, all that the copy needs is there, on the source
    /// and so on us; from then on our own slot on the source holds it, by `hot_standby_feedback`.
    pub(super) fn next(
        &self,
        (timeline, now): (Timeline, Millis),
        held: Option<u32>,
        (theirs, ours): (&BTreeMap<String, There>, &BTreeMap<String, There>),
    ) -> Self {
        let same = self.is_fresh(now) && self.of.is_some_and(|(of, _)| of == timeline);
        let serves = |(name, own): &(&String, &There)| {
            let Some(needs) = own.catalog_xmin.filter(|_| own.copied) else { return false };
            let begun = theirs.get(*name).and_then(|theirs| theirs.catalog_xmin);
            let covers = |xmin: Option<u32>| xmin.is_some_and(|xmin| !precedes(needs, xmin));
            covers(held) && (covers(begun) || same && self.has(name))
        };
        let names = ours.iter().filter(serves).map(|(name, _)| name.clone()).collect();
        Self { of: Some((timeline, now)), names, quiet: None }
    }
}

/// Numbers of transactions go round.
fn precedes(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) > u32::MAX / 2
}

/// What a leadership of our own had: all that it needs is on this server.
const OWN: &str = "haa.slots.own.json";

/// Whoever leads says so of its slots.
pub(super) fn lead(site: &Site, own: &BTreeSet<String>) -> io::Result<()> {
    let path = site.state(OWN);
    if own.is_empty() {
        return remove_if_there(&path);
    }
    let text = serde_json::to_vec(own)?;
    if std::fs::read(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    files::write_private(&path, text)
}

/// Before WAL of somebody else's comes: what was known of slots is not known of those that have replayed it. Whoever
/// follows the same one again has missed nothing.
pub(in crate::postgres) fn follow(site: &Site, source: Option<&Address>) -> io::Result<()> {
    let known = &site.kept.source;
    let other = known.send_if_modified(|known| {
        let other = known.as_ref() != source;
        *known = source.cloned();
        other
    });
    if (other || source.is_none()) && site.major() < COPIED_FROM {
        site.kept.served.send_replace(Served::default());
        let kept = super::read(site)?;
        let logical = kept.into_iter().filter(|(_, slot)| *slot != KeptSlot::Physical);
        let unproven = logical.map(|(name, _)| {
            let ailing = Some(super::standby::not_copied(&name));
            (name, Shown { holds: None, ailing })
        });
        site.kept.shown.send_modify(|shown| shown.extend(unproven));
    }
    let path = site.state(OWN);
    if !path.exists() {
        return Ok(());
    }
    remove_if_there(&path)?;
    // Back after a loss of power, it would be believed.
    files::sync_parent(&path)
}

/// Whether a standby is about to be promoted, or was, and lets no client in yet: then it does not tell copies from
/// others, and these are those of its last leadership.
pub(in crate::postgres) enum Promotion {
    Ahead,
    Done { own: BTreeSet<String> },
}

/// Those of the last leadership of our own, as long as nobody else's WAL came since.
pub(in crate::postgres) fn own(site: &Site) -> BTreeSet<String> {
    let read = std::fs::read(site.state(OWN)).ok();
    read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Around a promotion: what is not proven to serve would be decoded from catalogs that lack what it needs. It is told
/// of as lost.
pub(in crate::postgres) async fn forsake(
    site: &Site,
    session: &Session,
    promotion: Promotion,
) -> Result<(), JobError> {
    let path = site.state(super::FILE);
    let kept = super::read(site).map_err(JobError::file("read", &path))?;
    let logical = kept.values().any(|slot| matches!(slot, KeptSlot::Logical { .. }));
    // Not on the way of those who have none.
    if !logical || By::on(session, site.major()).await? != By::Extension {
        return Ok(());
    }
    let replayed = session.value("SELECT pg_last_wal_replay_lsn()").await?;
    let replayed = replayed.and_then(|lsn| lsn.parse().ok());
    let served = Some(site.kept.served()).filter(|served| served.holds(clock::now(), replayed));
    let (own, done) = match promotion {
        Promotion::Ahead => (own(site), false),
        Promotion::Done { own } => (own, true),
    };
    let serves = |name: &str| own.contains(name) || served.as_ref().is_some_and(|s| s.has(name));
    for (name, copy) in slots_of(session, By::Extension).await? {
        let ours = kept.get(&name).is_some_and(|slot| copy.is(slot));
        // One that is still being made goes by itself.
        let whole = copy.copied || done && !copy.temporary;
        if !ours || !whole || serves(&name) {
            continue;
        }
        let why = "its copy is not known to have all that it needs";
        match drop_slot(session, &name).await {
            Ok(()) => tracing::warn!(name, "dropped a slot: {why}"),
            // Without a promotion nobody writes.
            Err(SqlError::Refused(said)) => {
                tracing::error!(
                    name,
                    "a slot is to be dropped before anybody reads from it, for {why}: {said}"
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits for the extension's worker, which holds a slot for a moment now and then.
pub(super) async fn drop_slot(session: &Session, name: &str) -> Result<(), SqlError> {
    let quoted = quoted(name);
    // Held since we looked, or gone meanwhile: only the former is waited for.
    let drop = format!(
        "SELECT pg_drop_replication_slot({quoted}) FROM pg_replication_slots WHERE slot_name = {quoted}"
    );
    let began = std::time::Instant::now();
    loop {
        match session.rows(&drop).await {
            Err(SqlError::Refused(_)) if began.elapsed() < HELD => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done.map(std::mem::drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(catalog_xmin: u32) -> There {
        There {
            kind: KeptSlot::Logical { database: "shop".to_owned(), plugin: "pgoutput".to_owned() },
            active: false,
            temporary: false,
            restart: None,
            holds: None,
            lost: false,
            failover: true,
            copied: true,
            catalog_xmin: Some(catalog_xmin),
        }
    }

    fn cdc(catalog_xmin: u32) -> BTreeMap<String, There> {
        BTreeMap::from([("cdc".to_owned(), slot(catalog_xmin))])
    }

    /// Of a copy that needs transaction 700, from a source whose slot needs this one.
    fn serves(
        before: &Served,
        (timeline, now): (u32, u64),
        held: Option<u32>,
        theirs: u32,
    ) -> Served {
        before.next((Timeline(timeline), Millis(now)), held, (&cdc(theirs), &cdc(700)))
    }

    #[test]
    fn a_copy_serves_from_when_the_source_had_what_it_needs() {
        let nothing = Served::default();
        // The source may have vacuumed what transaction 700 needs.
        assert!(!serves(&nothing, (3, 0), Some(700), 710).has("cdc"));
        // Nothing holds it there yet.
        assert!(!serves(&nothing, (3, 0), None, 700).has("cdc"));
        assert!(!serves(&nothing, (3, 0), Some(705), 700).has("cdc"));
        let proven = serves(&nothing, (3, 0), Some(700), 700);
        assert!(proven.has("cdc"));
        // The source's goes on first, and ours is held.
        assert!(serves(&proven, (3, 10_000), Some(700), 710).has("cdc"));
        // Somebody dropped our slot there, or has done so and made it anew.
        assert!(!serves(&proven, (3, 10_000), None, 710).has("cdc"));
        assert!(!serves(&proven, (3, 60_000), Some(700), 710).has("cdc"));
        // Another primary knew nothing of us until we came.
        assert!(!serves(&proven, (4, 10_000), Some(700), 710).has("cdc"));
        assert!(serves(&proven, (4, 10_000), Some(700), 700).has("cdc"));
    }

    #[test]
    fn who_receives_nothing_replays_nothing_and_loses_nothing() {
        let (here, further) = (Some(Lsn(100)), Some(Lsn(200)));
        let proven = serves(&Served::default(), (3, 0), Some(700), 700);
        assert!(proven.holds(Millis(59_000), further) && !proven.holds(Millis(60_000), here));
        // It looks again and again, and finds nothing new.
        let waits = proven.rests(Millis(30_000), here).rests(Millis(90_000), here);
        assert!(waits.holds(Millis(500_000), here) && !waits.holds(Millis(500_000), further));
        // What came when nobody looked may be anything.
        assert!(!waits.rests(Millis(100_000), further).holds(Millis(500_000), further));
    }

    #[test]
    fn a_copy_that_is_being_made_serves_nobody() {
        let mut ours = cdc(700);
        ours.get_mut("cdc").expect("it is there").copied = false;
        let now = (Timeline(3), Millis(0));
        assert!(!Served::default().next(now, Some(700), (&cdc(700), &ours)).has("cdc"));
    }

    #[test]
    fn numbers_of_transactions_go_round() {
        assert!(precedes(u32::MAX - 5, 10) && !precedes(10, u32::MAX - 5) && !precedes(7, 7));
    }
}
