//! Job: stop Postgres in order, then at once, until no process is left. Never leaves a backend behind.

use std::time::Duration;

use haa_core::units::Millis;
use rustix::process::Signal;

use crate::postgres::error::JobError;
use crate::postgres::process::{self, Ended};
use crate::postgres::site::Site;

pub(super) async fn run(site: &Site, patience: Millis) -> Result<(), JobError> {
    let data = site.data();
    if let Some(postmaster) = process::postmaster(data).map_err(JobError::Signal)? {
        let steps = [
            (Signal::INT, Duration::from_millis(patience.0)),
            (Signal::QUIT, Duration::from_secs(1)),
        ];
        for (signal, patience) in steps {
            postmaster.signal(signal).map_err(JobError::Signal)?;
            let ended = postmaster.ended_within(patience).await.map_err(JobError::Signal)?;
            if ended == Ended::Yes {
                break;
            }
            tracing::warn!(?signal, "Postgres has not stopped in time");
        }
    }
    match process::kill_all(data, Duration::from_secs(30)).await.map_err(JobError::Signal)? {
        Ended::Yes => Ok(()),
        Ended::NotYet => Err(JobError::Refused(
            "some processes of Postgres outlive SIGKILL; is its disk hung?".to_owned(),
        )),
    }
}
