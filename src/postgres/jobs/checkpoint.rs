//! Job: write everything out while writes go on, so that the stop after it has little left to do. Nothing
//! depends on it.

use std::time::Duration;

use crate::postgres::error::JobError;
use crate::postgres::sql::Session;
use crate::postgres::worker::Bench;

/// A disk that takes longer takes longer at the stop, too; then it is better to begin.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench) -> Result<(), JobError> {
    // A session of its own: looks go on meanwhile.
    let session = Session::open(&bench.site).await?;
    session.rows_within("CHECKPOINT", PATIENCE).await?;
    Ok(())
}
