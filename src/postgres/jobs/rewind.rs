//! Job: take back the WAL that the source does not have. The divergent WAL is kept aside first; a rewind
//! that was broken off is remembered, so that nothing starts on half of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haa_core::effect::Source;
use haa_core::line::Fork;
use haa_core::units::Timeline;

use super::clone::refuse_if_running;
use super::discard::{self, Kept, Lost};
use super::keep;
use super::lacking;
use crate::postgres::control::{Control, State};
use crate::postgres::error::JobError;
use crate::postgres::mark::Mark;
use crate::postgres::process::remove_if_there;
use crate::postgres::site::Site;
use crate::postgres::sql::Session;
use crate::postgres::tool::{Said, Tool};
use crate::postgres::worker::Bench;
use crate::postgres::{conninfo, files, incarnation, room};

/// The mark is outside of the data, for pg_rewind removes what the source does not have. It holds the
/// number of the directory's inode: data that came in its place is not meant.
const MARK: Mark = Mark("rewinding");

/// So many segments are brought for one rewind: each costs another round of pg_rewind.
const MOST: u32 = 64;

/// How long the source's checkpoint after its promotion is waited for.
const CHECKPOINT: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench, source: &Source) -> Result<(), JobError> {
    let site = &*bench.site;
    let data = site.data();
    refuse_if_running(site)?;
    if is_half_done(site).map_err(JobError::file("read", data))? {
        let why = "an earlier rewind of this data was broken off; clone it anew";
        return Err(JobError::Refused(why.to_owned()));
    }
    let control = Control::read(data).map_err(JobError::file("read", data))?;
    if control.state == State::Other {
        return Err(JobError::Refused(
            "Postgres was not stopped in order, pg_rewind needs that; start it as a standby and stop \
             it, or clone it anew"
                .to_owned(),
        ));
    }
    remove_if_there(&data.join("postmaster.pid")).map_err(JobError::file("write into", data))?;
    files::write_passwords(site).map_err(JobError::file("write", &site.state("pgpass")))?;
    wait_for_checkpoint(site, source).await?;
    // Nothing is touched before it is known to be possible, and what for.
    let plan = plan(site, source).await?;
    let Some(fork) = divergence(&plan) else {
        tracing::info!(source = %source.member, "pg_rewind finds nothing to take back");
        return Ok(());
    };
    let Fork { timeline, lsn } = fork;
    tracing::info!(fork = %lsn, %timeline, "this member's WAL diverged; taking it back");
    let lost = Lost::behind(site, fork).map_err(JobError::file("read", &site.pg_wal()))?;
    let aside = keep_wal(site, &lost).await?;
    let kept = aside.as_deref().map(|aside| Kept { in_directory: aside, wal: aside });
    let noted = lost.note(site, kept).await;
    if let (Some(kept), Some(discarded)) = (kept, &noted) {
        lost.explain(site, kept, discarded);
    }
    MARK.set(site).map_err(JobError::file("mark the rewind in", &site.state(MARK.0)))?;
    // From here on these data are given up, whatever comes.
    if let Some(discarded) = noted {
        discard::tell(&bench.inputs, discarded).await;
    }
    let rewinding = pg_rewind(site, source).arg("--progress").run(|line| {
        site.note_progress(line);
        tracing::debug!(line, "pg_rewind");
    });
    rewinding.await?;
    incarnation::make(data).map_err(JobError::file("write into", data))?;
    lacking::complete(site, source).await?;
    forget(site).map_err(JobError::file("remove", &site.state(MARK.0)))
}

/// What pg_rewind would do. WAL from before the fork, which it goes through, is brought where ours is gone.
async fn plan(site: &Site, source: &Source) -> Result<Said, JobError> {
    let mut brought = 0;
    loop {
        let error = match pg_rewind(site, source).arg("--dry-run").run(|_| ()).await {
            Ok(said) => return Ok(said),
            Err(error) => error,
        };
        match lacking::named_in(&error) {
            Some(name) if brought < MOST => {
                lacking::bring(site, source, &lacking::named(site, &name)?).await?;
            }
            Some(_) | None => return Err(error),
        }
        brought += 1;
    }
}

fn pg_rewind(site: &Site, source: &Source) -> Tool {
    let more = [("dbname", "postgres"), ("application_name", "haa rewind")];
    let user = &site.config.rewind.user;
    let from = conninfo::to(source, user, &site.state("pgpass"), &more);
    Tool::new(site, "pg_rewind")
        .path("--target-pgdata=", site.data())
        .arg(format!("--source-server={from}"))
        .arg("--no-ensure-shutdown")
}

/// pg_rewind goes by the source's control file, which names the new timeline only after a checkpoint.
async fn wait_for_checkpoint(site: &Site, source: &Source) -> Result<(), JobError> {
    const QUESTION: &str = "SELECT pg_is_in_recovery() OR (pg_control_checkpoint()).timeline_id = \
         ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint";
    let session = Session::open_at(&source.address, &site.config.rewind).await?;
    let done = async {
        while session.value(QUESTION).await?.as_deref() != Some("t") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<(), JobError>(())
    };
    tokio::time::timeout(CHECKPOINT, done).await.map_err(|_| {
        JobError::Refused(format!(
            "{} made no checkpoint on its new timeline within {} s; pg_rewind needs it",
            source.member,
            CHECKPOINT.as_secs()
        ))
    })?
}

/// From `servers diverged at WAL location 0/3000148 on timeline 1`; `None` when no rewind is required.
fn divergence(plan: &Said) -> Option<Fork> {
    if plan.lines().any(|line| line.contains("no rewind required")) {
        return None;
    }
    plan.lines().find_map(|line| {
        let rest = line.split_once("diverged at WAL location ")?.1;
        let (lsn, timeline) = rest.split_once(" on timeline ")?;
        let timeline = Timeline(timeline.trim().parse().ok()?);
        Some(Fork { timeline, lsn: lsn.parse().ok()? })
    })
}

/// Copies our WAL from the fork on, for whoever wants to look for what was lost, and says where it is; where it would
/// take more than half of what is free, that is said instead.
async fn keep_wal(site: &Site, lost: &Lost) -> Result<Option<PathBuf>, JobError> {
    let wal = site.state("diverged");
    let aside = keep::unused(&wal, "-").map_err(JobError::file("find a name like", &wal))?;
    let write = || JobError::file("keep the divergent WAL in", &aside);
    let pg_wal = site.pg_wal();
    let names = lost.segments(&pg_wal).map_err(write())?;
    let needed = lost.segment_size().saturating_mul(names.len().try_into().unwrap_or(u64::MAX));
    let free = room::free(&site.state("")).map_err(write())?;
    if needed > free / 2 {
        tracing::warn!(
            needed,
            free,
            "the WAL that is taken back is not kept in {}: there is no room; what only this member had is gone",
            aside.display()
        );
        return Ok(None);
    }
    let to = aside.clone();
    let work =
        move || copy(&pg_wal, &names, &to).inspect_err(|_| drop(std::fs::remove_dir_all(&to)));
    files::apart(work).await.map_err(write())?;
    tracing::info!("the WAL that is taken back is kept in {}", aside.display());
    Ok(Some(aside))
}

/// On disk when it returns: what is copied here is overwritten next.
fn copy(from: &Path, names: &BTreeSet<String>, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for name in names {
        std::fs::copy(from.join(name), to.join(name))?;
        File::open(to.join(name))?.sync_all()?;
    }
    File::open(to)?.sync_all()?;
    files::sync_parent(to)
}

/// A rewind of this very directory was begun and not completed.
pub(in crate::postgres) fn is_half_done(site: &Site) -> io::Result<bool> {
    MARK.is_set(site)
}

/// The rewind is complete, or other data has come.
pub(super) fn forget(site: &Site) -> io::Result<()> {
    MARK.remove(site)
}
