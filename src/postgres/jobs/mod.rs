//! The long work, one file a job. Each does what it is told or says in a sentence why not; none decides.

mod checkpoint;
mod clone;
mod copy;
pub(super) mod discard;
mod fetch;
mod fits;
mod follow;
mod hooked;
pub(super) mod initdb;
mod keep;
mod lacking;
mod lower;
mod promote;
mod recover;
pub(super) mod restored;
pub(super) mod rewind;
mod start;
mod stop;

use haa_core::effect::Job;
use haa_core::lease::Leadership;

use super::error::JobError;
use super::orphans;
use super::process::{self, Process};
use super::site::Site;
use super::worker::Bench;
use crate::agent::clock;

/// New data are made beside the old, under the data directory's name with one of these: by initdb, and by a clone.
pub(super) const SCAFFOLDS: [&str; 2] = [MADE, CLONED];
const MADE: &str = ".new";
const CLONED: &str = ".clone";

/// Does the job. Dropping the future gives it up at its next wait, with its tools killed.
pub(super) async fn run(bench: &Bench, job: Job) -> Result<(), JobError> {
    match job {
        Job::InitDb | Job::Clone(_) | Job::Rewind(_) | Job::Lower | Job::Start(..) => {
            orphans::end(&bench.site).await?;
        }
        Job::Checkpoint | Job::Hold | Job::Stop(_) | Job::Follow(..) | Job::Detach(_) => {}
        Job::Fetch { .. } | Job::Promote { .. } => {}
    }
    match job {
        Job::InitDb => initdb::run(&bench.site).await,
        Job::Clone(source) => clone::run(bench, &source).await,
        Job::Rewind(source) => rewind::run(bench, &source).await,
        Job::Start(source, door) => start::run(bench, source.as_ref(), door).await,
        Job::Checkpoint => checkpoint::run(bench).await,
        Job::Hold => Err(JobError::Refused("PgBouncers are not Postgres' to hold".to_owned())),
        Job::Lower => lower::run(&bench.site).await,
        Job::Stop(patience) => stop::run(&bench.site, patience).await,
        Job::Follow(source, begin) => follow::follow(bench, &source, begin).await,
        Job::Detach(ready) => follow::detach(bench, ready.as_ref()).await,
        Job::Fetch { from, line } => fetch::run(bench, &from, &line).await,
        Job::Promote { proof, timeline, slots, list, door } => {
            promote::run(bench, proof, timeline, &promote::Before { slots, list, door }).await
        }
    }
}

/// Whatever opens something is refused past its proof.
pub(super) fn in_time(proof: Leadership) -> Result<(), JobError> {
    let now = clock::now();
    if now < proof.until() {
        return Ok(());
    }
    Err(JobError::Refused(format!(
        "the leadership of term {} ended {} ago; nothing was to be opened past it",
        proof.term(),
        now.since(proof.until())
    )))
}

/// The postmaster, which must be there.
pub(super) fn running(site: &Site) -> Result<Process, JobError> {
    let missing = || JobError::Refused("Postgres does not run".to_owned());
    process::postmaster(site.data()).map_err(JobError::Signal)?.ok_or_else(missing)
}
