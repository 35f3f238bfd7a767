//! The long work, one file a job. Each does what it is told or says in a sentence why not; none decides.

mod checkpoint;
mod clone;
mod follow;
mod initdb;
mod keep;
mod promote;
pub(super) mod rewind;
mod start;
mod stop;

use haa_core::effect::Job;

use super::error::JobError;
use super::worker::Bench;

/// Does the job. Dropping the future gives it up at its next wait, with its tools killed.
pub(super) async fn run(bench: &Bench, job: Job) -> Result<(), JobError> {
    match job {
        Job::InitDb => initdb::run(&bench.site).await,
        Job::Clone(source) => clone::run(&bench.site, &source).await,
        Job::Rewind(source) => rewind::run(&bench.site, &source).await,
        Job::Start(source) => start::run(bench, source.as_ref()).await,
        Job::Checkpoint => checkpoint::run(bench).await,
        Job::Stop(patience) => stop::run(&bench.site, patience).await,
        Job::Follow(source) => follow::follow(bench, &source).await,
        Job::Detach => follow::detach(bench).await,
        Job::Promote { proof, timeline, slots } => {
            promote::run(bench, proof, timeline, &slots).await
        }
    }
}
