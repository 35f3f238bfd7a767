//! Job: copy another member's data. What was here is moved aside, and only once the copy is complete.

use haa_core::effect::Source;
use haa_core::line::Line;
use haa_core::observe::DataDir;

use super::discard::{self, Kept, Lost};
use super::keep::{self, Scaffold};
use super::{copy, fits, rewind};
use crate::postgres::control::Control;
use crate::postgres::error::JobError;
use crate::postgres::site::Site;
use crate::postgres::worker::Bench;
use crate::postgres::{files, incarnation, look, process};

pub(super) async fn run(bench: &Bench, source: &Source) -> Result<(), JobError> {
    let site = &*bench.site;
    if let DataDir::Foreign(why) | DataDir::Unreadable(why) = look::data(site) {
        return Err(JobError::Refused(why));
    }
    refuse_if_running(site)?;
    files::write_passwords(site).map_err(JobError::file("write", &site.state("pgpass")))?;
    let new = Scaffold::new(site, super::CLONED).await?;
    fits::clone(site, source).await?;
    let theirs = copy::run(site, source, &new).await?;
    incarnation::make(new.path()).map_err(JobError::file("write into", new.path()))?;
    refuse_if_running(site)?;
    let (aside, lost) = (keep::aside(site)?, lost(site, &theirs));
    let pg_wal = aside.join("pg_wal");
    let kept = Kept { in_directory: &aside, wal: &pg_wal };
    let noted = match &lost {
        Some(lost) => lost.note(site, Some(kept)).await,
        None => None,
    };
    if let Some(aside) = new.place(site, aside.clone())? {
        tracing::info!("the data from before the clone is in {}", aside.display());
    }
    if let (Some(lost), Some(discarded)) = (lost, noted) {
        lost.explain(site, kept, &discarded);
        discard::tell(&bench.inputs, discarded).await;
    }
    rewind::forget(site).map_err(JobError::file("remove the mark of a rewind in", site.data()))
}

/// What only the data that are replaced hold. A copy that was never completed holds nothing of its own, and of a rewind
/// that was broken off the note is there. Data that only lack WAL may hold more than anybody.
fn lost(site: &Site, theirs: &Line) -> Option<Lost> {
    let DataDir::Present { untouched: false, .. } = look::data(site) else { return None };
    let held = || match look::is_incomplete(site, &Control::read(site.data())?)? {
        true => Ok(None),
        false => Lost::beside(site, theirs),
    };
    held().unwrap_or_else(|error| {
        tracing::warn!(%error, "what the data that are replaced hold alone is not counted");
        None
    })
}

/// Data is not replaced under a living server.
pub(super) fn refuse_if_running(site: &Site) -> Result<(), JobError> {
    match process::scan(site.data()).map_err(JobError::Signal)?.first() {
        None => Ok(()),
        Some(pid) => Err(JobError::Refused(format!(
            "Postgres still runs, as process {pid}; its data was not touched"
        ))),
    }
}
