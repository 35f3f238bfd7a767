//! Before a promotion: the operator's own program is asked while nothing is changed. Never decides what follows.

use haa_core::lease::Leadership;
use haa_core::units::Timeline;
use tokio::sync::oneshot;

use super::in_time;
use crate::postgres::Promotion;
use crate::postgres::error::JobError;
use crate::postgres::worker::Bench;

/// Whoever answers keeps to the proof. When the job is given up, so is the question.
pub(super) async fn allowed(
    bench: &Bench,
    proof: Leadership,
    timeline: Timeline,
) -> Result<(), JobError> {
    let Some(hook) = &bench.gates.hook else { return Ok(()) };
    let (answer, answered) = oneshot::channel();
    let asked = async {
        hook.send(Promotion { proof, timeline, answer }).await.ok()?;
        answered.await.ok()
    };
    match asked.await {
        Some(Ok(())) => in_time(proof),
        Some(Err(why)) => Err(JobError::Refused(format!("Postgres is not promoted: {why}"))),
        None => Err(JobError::Refused(
            "Postgres is not promoted: nobody is there to ask before_promote".to_owned(),
        )),
    }
}
