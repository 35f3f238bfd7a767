//! Job: bring a standby the WAL that comes next from where it still is. It receives from nobody meanwhile, and each
//! segment is put in place only when it is known to go on from what is there; what is whole is never replaced.

use std::path::Path;
use std::time::{Duration, Instant};

use haa_core::effect::Source;
use haa_core::line::Line;
use haa_core::observe::Door;
use haa_core::units::{Lsn, SystemId};
use rustix::process::Signal;

use super::follow::{self, STARTUP};
use super::running;
use crate::postgres::control::Control;
use crate::postgres::door;
use crate::postgres::error::JobError;
use crate::postgres::files;
use crate::postgres::keepers::{self, Found};
use crate::postgres::kept::copies;
use crate::postgres::look::RETRY;
use crate::postgres::segment::{Extent, Segment, same_until};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError};
use crate::postgres::timeline;
use crate::postgres::worker::Bench;

/// Of one job: then whoever decides looks again.
const SEGMENTS: usize = 16;
const LONG: Duration = Duration::from_secs(10);

/// A standby that has not replayed anything more by then will take long, or waits for what is not there.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

const REPLAYED: &str = "SELECT pg_last_wal_replay_lsn()";

pub(super) async fn run(bench: &Bench, from: &[Source], line: &Line) -> Result<(), JobError> {
    let site = &*bench.site;
    let _until_replayed = site.fetches();
    let archive_alone = from.is_empty();
    // Who lives on the archive is asked for again and again, and need not be told each time.
    if !archive_alone || !follow::is_detached(bench).await? {
        follow::detach(bench, None).await?;
    }
    let session = bench.session().await?;
    // Its WAL was compared: else nothing would be fetched for it.
    if archive_alone && door::shown(&session).await? == Some(Door::Shut) {
        door::set(site, &running(site)?, Door::Open).await?;
    }
    copies::follow(site, None).map_err(JobError::file("write into", site.data()))?;
    let end = replayed(&session).await?;
    let control = Control::read(site.data()).map_err(JobError::file("read", site.data()))?;
    let size = control.segment_size;
    let (began, mut at, mut last) = (Instant::now(), end, None);
    // Why nothing was brought, unless all of it is here.
    let mut why = None;
    for _ in 0..SEGMENTS {
        let segment = Segment::of(line, at, size);
        if archive_alone && segment.timeline == line.timeline {
            told(site, line)?;
        }
        if !is_whole(site, &segment, control.system_id).await? {
            match keepers::find(site, from, &segment).await? {
                Found::Here(file) => place(site, &session, &segment, (&file, end)).await?,
                Found::AtLeader => {
                    why = Some("the leader has what was to be fetched".to_owned());
                    break;
                }
                // Who lives on the archive waits for what is to come.
                Found::Nowhere(said) if archive_alone => {
                    site.archive_says(&format!("the WAL segment {}: {said}", segment.name()));
                    // The last record that is here may go on in the next segment.
                    if last.is_none() && at <= Segment::of(line, end, size).end() {
                        return Ok(());
                    }
                    break;
                }
                Found::Nowhere(said) => {
                    why = Some(format!("nobody has the WAL segment {}: {said}", segment.name()));
                    break;
                }
            }
            last = Some(segment);
        }
        at = segment.end();
        if began.elapsed() > LONG {
            break;
        }
    }
    let Some(last) = last else {
        let stuck = || stands(line, (end, size), &format!("the WAL up to {at} is here"));
        return Err(JobError::Refused(why.unwrap_or_else(stuck)));
    };
    let stuck = stands(line, (end, size), "what was fetched is not replayed");
    replay(&session, (end, last.begin), &stuck).await
}

/// Nobody has sent it the history. In place, as for whoever follows: this job ends when it is done.
fn told(site: &Site, line: &Line) -> Result<(), JobError> {
    let pg_wal = site.pg_wal();
    let told = tokio::task::block_in_place(|| timeline::tell(&pg_wal, line));
    told.map_err(JobError::file("write a history into", &pg_wal))
}

/// That replay does not go on, and where.
fn stands(line: &Line, (end, size): (Lsn, u64), what: &str) -> String {
    let segment = Segment::of(line, end, size).name();
    format!("{what}, and replay stands at {end}, in the WAL segment {segment}")
}

async fn replayed(session: &Session) -> Result<Lsn, SqlError> {
    session.rows(REPLAYED).await?.first().ok_or(SqlError::Odd { column: 0 })?.need(0)
}

/// It was received to its end.
async fn is_whole(site: &Site, segment: &Segment, system: SystemId) -> Result<bool, JobError> {
    let (segment, path) = (*segment, site.pg_wal().join(segment.name()));
    let whole = move || Ok(matches!(segment.check(&path, system), Ok(Extent::Whole)));
    files::apart(whole).await.map_err(JobError::file("read", site.data()))
}

/// Puts a checked file in its place, if it begins with what was replayed of it. What of the segment is there already
/// was received in part, and nothing reads it at the moment.
async fn place(
    site: &Site,
    session: &Session,
    segment: &Segment,
    (file, end): (&Path, Lsn),
) -> Result<(), JobError> {
    let pg_wal = site.pg_wal();
    let replayed = end.0.saturating_sub(segment.begin.0).min(segment.size);
    if replayed > 0
        && let Some(timeline) =
            timeline::newest_with(&pg_wal, segment.size, Lsn(segment.begin.0 + replayed))
                .map_err(JobError::file("read", &pg_wal))?
    {
        let ours = pg_wal.join(Segment { timeline, ..*segment }.name());
        let files = (ours.clone(), file.to_owned());
        let same = files::apart(move || same_until(&files.0, &files.1, replayed)).await;
        if !same.map_err(JobError::file("read", &ours))? {
            return Err(JobError::Refused(format!(
                "the WAL segment {} that was fetched does not go on from what is here",
                segment.name()
            )));
        }
    }
    // A standby that archives for itself does so by itself.
    let archives = session.value("SELECT current_setting('archive_mode')").await?;
    let archived =
        if archives.as_deref() == Some("always") { Archived::Here } else { Archived::There };
    put(&pg_wal, segment, (file, archived))?;
    // At once: were this agent killed now, nobody would take the position for exact for longer than a moment.
    wake(site)
}

/// Who takes a segment that is put in place into the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archived {
    /// This Postgres, which does so for all that it has.
    Here,
    /// Whoever wrote it has done so, before throwing it away.
    There,
}

/// Durably.
pub(super) fn put(
    pg_wal: &Path,
    segment: &Segment,
    (file, archived): (&Path, Archived),
) -> Result<(), JobError> {
    if archived == Archived::There {
        let done = pg_wal.join("archive_status").join(format!("{}.done", segment.name()));
        std::fs::write(&done, "").map_err(JobError::file("write", &done))?;
    }
    let path = pg_wal.join(segment.name());
    let placed = std::fs::rename(file, &path).and_then(|()| files::sync_parent(&path));
    placed.map_err(JobError::file("put in place", &path))
}

/// A standby without a source looks into `pg_wal` again when it reads its files again.
fn wake(site: &Site) -> Result<(), JobError> {
    running(site)?.signal(Signal::HUP).map_err(JobError::Signal)
}

/// Waits until replay has gone through all that is there: only then is a position exact again.
async fn replay(
    session: &Session,
    (before, last): (Lsn, Lsn),
    stuck: &str,
) -> Result<(), JobError> {
    let (mut seen, mut moved) = (before, Instant::now());
    loop {
        let now = replayed(session).await?;
        let waits = session.value(STARTUP).await?;
        let idle = waits.as_deref() == Some(RETRY);
        if now > seen {
            (seen, moved) = (now, Instant::now());
        } else if idle && now > before && (now >= last || moved.elapsed() > PATIENCE) {
            return Ok(());
        } else if idle && moved.elapsed() > PATIENCE {
            // Done, it would be begun again, for ever.
            return Err(JobError::Refused(stuck.to_owned()));
        } else if moved.elapsed() > PATIENCE.saturating_mul(5) {
            let waits = waits.unwrap_or_else(|| "no process".to_owned());
            let why = format!("what was fetched is not replayed; replay waits for: {waits}");
            return Err(JobError::Refused(why));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
