//! Job: leave recovery onto exactly the reserved timeline, within the proof. Never past it.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use haa_core::lease::Leadership;
use haa_core::list::List;
use haa_core::observe::Door;
use haa_core::units::{MemberName, Timeline};
use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{hooked, in_time, running};
use crate::postgres::error::{JobError, sentence};
use crate::postgres::kept::copies::Promotion;
use crate::postgres::mute::Mute;
use crate::postgres::process::Process;
use crate::postgres::site::Site;
use crate::postgres::sql::Session;
use crate::postgres::watcher::says_ready;
use crate::postgres::worker::Bench;
use crate::postgres::{Opening, door, files, incarnation, kept, reload, slot, sync, timeline};

const PAUSE: Duration = Duration::from_millis(1);

/// On a large server an immediate checkpoint takes a while.
const CHECKPOINT: Duration = Duration::from_secs(600);

/// The first followers and clients have the disk for themselves.
const CALM: Duration = Duration::from_secs(1);

/// A guard that has just died is started again within this.
const GUARD: Duration = Duration::from_secs(2);

/// What is to be so before the first write.
pub(super) struct Before {
    pub(super) slots: BTreeSet<MemberName>,
    pub(super) list: Option<List>,
    pub(super) door: Door,
}

pub(super) async fn run(
    bench: &Bench,
    proof: Leadership,
    reserved: Timeline,
    before: &Before,
) -> Result<(), JobError> {
    let site = &*bench.site;
    in_time(proof)?;
    let postmaster = running(site)?;
    if let Some(mute) = site.mute.of(postmaster.pid)
        && !says_ready(site)
    {
        return unheard(bench, (proof, reserved), (&postmaster, mute), &before.slots).await;
    }
    let session = bench.session().await?;
    if session.value("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f") {
        guarded(bench, proof).await?;
        return check(&session, reserved).await;
    }
    // Before anything is changed: whoever is not to lead has nothing to take back.
    hooked::allowed(bench, proof, reserved).await?;
    // Clients wait for the longest of these, not for one after the other.
    tokio::try_join!(
        guarded(bench, proof),
        prepare(site, (&postmaster, &session), before),
        slots(&session, &before.slots),
        async { reserve(site, reserved) },
    )?;
    kept::copies::forsake(site, &session, Promotion::Ahead).await?;
    in_time(proof)?;
    session.rows("SELECT pg_promote(false)").await?;
    while session.value("SELECT pg_is_in_recovery()").await?.as_deref() != Some("f") {
        in_time(proof)?;
        tokio::time::sleep(PAUSE).await;
    }
    check(&session, reserved).await?;
    checkpoint_soon(bench);
    Ok(())
}

/// Whoever lets nobody in is told by a signal, as `pg_ctl promote` does. Whom commits wait for it is told when it is
/// promoted: its door is shut, and does not open before.
async fn unheard(
    bench: &Bench,
    (proof, reserved): (Leadership, Timeline),
    (postmaster, mute): (&Process, Mute),
    wanted: &BTreeSet<MemberName>,
) -> Result<(), JobError> {
    let site = &*bench.site;
    if mute.door != Door::Shut {
        let why =
            "its door is not shut: clients could write before it is known whom commits wait for";
        return Err(JobError::Refused(why.to_owned()));
    }
    hooked::allowed(bench, proof, reserved).await?;
    guarded(bench, proof).await?;
    reserve(site, reserved)?;
    in_time(proof)?;
    // Whoever leads soon says that all are its own.
    let own = kept::copies::own(site);
    let asked = site.data().join("promote");
    File::create(&asked).map_err(JobError::file("write", &asked))?;
    postmaster.signal(Signal::USR1).map_err(JobError::Signal)?;
    let session = loop {
        in_time(proof)?;
        if says_ready(site)
            && let Ok(session) = Session::open(site).await
            && session.value("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f")
        {
            break session;
        }
        tokio::time::sleep(PAUSE).await;
    };
    check(&session, reserved).await?;
    kept::copies::forsake(site, &session, Promotion::Done { own }).await?;
    slots(&session, wanted).await?;
    checkpoint_soon(bench);
    Ok(())
}

/// Until a checkpoint, the control file names the old timeline, and pg_rewind of a former primary would find nothing to
/// do: it waits for it. Everybody else waits for the first commits.
fn checkpoint_soon(bench: &Bench) {
    let site = bench.site.clone();
    tokio::spawn(async move {
        tokio::time::sleep(CALM).await;
        // A session of its own: looks go on meanwhile.
        let work = async {
            Session::open(&site).await?.rows_within("CHECKPOINT", CHECKPOINT).await.map(drop)
        };
        if let Err(error) = work.await {
            tracing::warn!("no checkpoint after the promotion: {}", sentence(&error));
        }
    });
}

/// Followers come after the primary: without a slot they are late, without a promotion nobody writes.
async fn slots(session: &Session, wanted: &BTreeSet<MemberName>) -> Result<(), JobError> {
    if let Err(error) = slot::create(session, wanted, slot::Holds::Wal).await {
        tracing::warn!("a replication slot cannot be made: {}", sentence(&error));
    }
    Ok(())
}

/// One reload for both: nobody's commit is acknowledged by chance, and no client is there.
async fn prepare(
    site: &Site,
    (postmaster, session): (&Process, &Session),
    before: &Before,
) -> Result<(), JobError> {
    let door = before.door;
    // Whoever followed nobody yet has let nobody in.
    let moves = door == Door::Shut || door::shown(session).await? == Some(Door::Shut);
    let wished = site.wishes.now();
    let mut shown = Vec::new();
    if let Some(list) = &before.list {
        shown.push((sync::SETTING, sync::write_ahead(site, list)?));
    }
    if moves {
        let mark = door::write(site, door, &wished.told.hba);
        shown.push((door::SETTING, mark.map_err(JobError::file("write", &door::file(site)))?));
    }
    if shown.is_empty() {
        return Ok(());
    }
    let session = match reload::shown(site, &shown).await? {
        Some(session) => session,
        None => reload::until_shown(site, postmaster, &shown).await?,
    };
    if moves {
        door::settle(site, postmaster, &session, (door, &wished)).await?;
    }
    Ok(())
}

/// From here on somebody else closes writes at `until`, whatever becomes of this process.
async fn guarded(bench: &Bench, proof: Leadership) -> Result<(), JobError> {
    let Some(gate) = &bench.gates.guard else { return Ok(()) };
    let (answer, answered) = oneshot::channel();
    let asked = async {
        gate.send(Opening { proof, answer }).await.ok()?;
        answered.await.ok()
    };
    let why = match timeout(GUARD, asked).await {
        Ok(Some(Ok(()))) => return Ok(()),
        Ok(Some(Err(why))) => why,
        Ok(None) | Err(_) => format!("it gave no answer within {GUARD:?}"),
    };
    Err(JobError::Refused(format!("Postgres is not promoted without its guard: {why}")))
}

/// Postgres takes the first number without a history file, and connects to nobody any more.
fn reserve(site: &Site, reserved: Timeline) -> Result<(), JobError> {
    let data = site.data();
    let pg_wal = site.pg_wal();
    let write = || JobError::file("write into", data);
    let newest = timeline::newest_real(&pg_wal).map_err(write())?;
    if newest >= reserved {
        return Err(JobError::Refused(format!(
            "timeline {reserved} was reserved, but timeline {newest} exists already"
        )));
    }
    timeline::remove_unwritten(&pg_wal).map_err(write())?;
    timeline::fill(&pg_wal, newest, reserved).map_err(write())?;
    let own = incarnation::read_or_make(data).map_err(write())?;
    files::write_source(site, None, own).map_err(write())?;
    Ok(())
}

async fn check(session: &Session, reserved: Timeline) -> Result<(), JobError> {
    let file = session.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").await?;
    let taken = file.as_deref().and_then(|name| u32::from_str_radix(name.get(..8)?, 16).ok());
    match taken.map(Timeline) {
        Some(taken) if taken == reserved => Ok(()),
        taken => Err(JobError::Refused(format!(
            "Postgres left recovery on timeline {}, but {reserved} was reserved for this leadership",
            taken.map_or_else(|| "unknown".to_owned(), |taken| taken.to_string())
        ))),
    }
}
