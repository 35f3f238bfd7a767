//! Jobs: stream from a source, and receive from nobody. Done only when a session opened after the reload
//! shows it; whether the follower has diverged was decided before.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use haa_core::effect::{Begin, Source};
use haa_core::list::List;
use haa_core::observe::Door;
use rustix::process::Signal;

use super::running;
use crate::postgres::error::JobError;
use crate::postgres::look::RETRY;
use crate::postgres::process::{self, Process};
use crate::postgres::reload;
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, role};
use crate::postgres::worker::Bench;
use crate::postgres::{door, files, incarnation, list, sync, timeline};

const PAUSE: Duration = Duration::from_millis(1);

/// A standby that has not replayed what it has by then will take long; its Postgres can be stopped.
const PATIENCE: Duration = Duration::from_secs(5);

const RECEIVER: &str =
    "SELECT pid FROM pg_stat_get_activity(NULL) WHERE backend_type = 'walreceiver' LIMIT 1";

pub(super) async fn follow(
    bench: &Bench,
    source: &Source,
    begin: Option<Begin>,
) -> Result<(), JobError> {
    let site = &*bench.site;
    if let Some(begin) = begin
        && let Err(error) = made_room(site, begin)
    {
        tracing::debug!(%error, "Postgres itself makes the first segment of the new timeline");
    }
    let postmaster = running(site)?;
    let earlier = bench.session().await?;
    let before = earlier.value(SHOWN).await?;
    let shut = door::shown(&earlier).await? == Some(Door::Shut);
    let receiver = earlier.value(RECEIVER).await?;
    let change = change(bench, &postmaster, Some(source), None).await?;
    if let Some(pid) = receiver
        && before.as_deref() != Some(change.written.as_str())
    {
        // While replay waits for a query, Postgres would keep the receiver on the old source.
        end_receiver(site, &postmaster, &pid)?;
    }
    // Readers wait for what may go wrong with the rules of access; the primary's commits do not.
    if shut { door::set(site, &postmaster, Door::Open).await } else { Ok(()) }
}

/// In place, and not `files::apart`: work apart goes on when its job is given up, and the next job would begin beside
/// it. A start that has cleared `pg_wal` would find an empty segment there after all, and a stub could take the place
/// of a history that the receiver has just fetched. So the job ends when this has; whoever else waits for its thread is
/// taken to another meanwhile.
fn made_room(site: &Site, begin: Begin) -> io::Result<()> {
    tokio::task::block_in_place(|| timeline::make_room(site.data(), &site.pg_wal(), begin))
}

/// It was told to receive from nobody, and has replayed all that it has.
pub(super) async fn is_detached(bench: &Bench) -> Result<bool, JobError> {
    let session = bench.session().await?;
    let none = session.value(SHOWN).await?.is_some_and(|shown| shown.is_empty());
    let idle = session.value(STARTUP).await?.as_deref() == Some(RETRY);
    Ok(none && idle && session.value(RECEIVER).await?.is_none())
}

pub(super) async fn detach(bench: &Bench, ready: Option<&List>) -> Result<(), JobError> {
    let site = &*bench.site;
    let postmaster = running(site)?;
    let session = change(bench, &postmaster, None, ready).await?.session;
    let blockers = end_blockers(&site.config.superuser.user);
    let replayed = async {
        loop {
            if let Some(pid) = session.value(RECEIVER).await? {
                end_receiver(site, &postmaster, &pid)?;
            } else {
                match session.value(STARTUP).await?.as_deref() {
                    // From this wait it cannot start a receiver before it has taken the empty source.
                    Some(RETRY) => return Ok::<(), JobError>(()),
                    // Of its own accord that never ends.
                    Some("RecoveryPause") => {
                        tracing::warn!(
                            "replay was paused; it goes on, as all WAL has to be replayed"
                        );
                        session.rows("SELECT pg_wal_replay_resume()").await?;
                    }
                    Some(_) | None => drop(session.rows(&blockers).await?),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(PATIENCE, replayed).await {
        Ok(result) => result,
        Err(_) => {
            let waits = session.value(STARTUP).await?.unwrap_or_else(|| "no process".to_owned());
            Err(JobError::Refused(format!(
                "the standby has not replayed all that it has within {} s; replay waits for: {waits}",
                PATIENCE.as_secs()
            )))
        }
    }
}

pub(super) const STARTUP: &str = "SELECT coalesce(wait_event, 'nothing, it works') \
     FROM pg_stat_get_activity(NULL) \
     WHERE backend_type = 'startup' LIMIT 1";

/// Replay that waits for a reader takes no reload before it is through: not even one that says not to wait. Then
/// every reader amid a transaction is ended.
fn end_blockers(superuser: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity(NULL) \
         WHERE backend_type = 'client backend' AND xact_start IS NOT NULL \
           AND NOT (usesysid = {} AND client_addr IS NULL) \
           AND EXISTS (SELECT FROM pg_stat_get_activity(NULL) WHERE backend_type = 'startup' \
             AND (wait_event_type IN ('Lock', 'BufferPin') OR wait_event LIKE 'RecoveryConflict%'))",
        role(superuser)
    )
}

struct Change {
    /// Opened after the reload.
    session: Arc<Session>,
    /// The `primary_conninfo` that it shows.
    written: String,
}

const SHOWN: &str = "SELECT current_setting('primary_conninfo')";

async fn change(
    bench: &Bench,
    postmaster: &Process,
    source: Option<&Source>,
    ready: Option<&List>,
) -> Result<Change, JobError> {
    let site = &*bench.site;
    let data = site.data();
    let own = incarnation::read_or_make(data).map_err(JobError::file("write into", data))?;
    site.source_unsettled();
    let written =
        files::write_source(site, source, own).map_err(JobError::file("write into", data))?;
    let list = match ready {
        Some(list) => sync::write_ahead(site, list)?,
        // A leadership that did not come about may have left another there.
        None => sync::write(site, &list::at_rest(site))?,
    };
    let mut shown = vec![("primary_conninfo", written.clone()), (sync::SETTING, list)];
    if ready.is_some() {
        let mark = door::write(site, Door::Shut, &[]);
        shown.push((door::SETTING, mark.map_err(JobError::file("write", &door::file(site)))?));
    }
    let mut session = reload::until_shown(site, postmaster, &shown).await?;
    session.opened_at = site.source_settled();
    let session = Arc::new(session);
    // Looks that come now prove as much, and need not log in once more.
    bench.session.send_replace(Some(session.clone()));
    Ok(Change { session, written })
}

/// SIGTERM to a WAL receiver, which is a child of this postmaster or left alone.
fn end_receiver(site: &Site, postmaster: &Process, pid: &str) -> Result<(), JobError> {
    let Ok(pid) = pid.parse() else { return Ok(()) };
    match process::child(postmaster, pid, site.data()).map_err(JobError::Signal)? {
        Some(receiver) => receiver.signal(Signal::TERM).map_err(JobError::Signal),
        None => Ok(()),
    }
}
