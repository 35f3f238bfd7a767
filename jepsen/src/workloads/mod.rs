//! What clients do to the cluster, and how it is recorded. Never breaks anything, and judges nothing.

pub mod clients;
mod outcome;
pub mod record;
pub mod route;
pub mod session;
pub mod set;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;

use crate::history::{Op, Stamp};

pub use clients::{AtWork, Crew, Kind};
pub use outcome::Failure;
pub use record::Recorder;
pub use route::Route;
pub use session::Session;

/// What clients do.
#[derive(Debug)]
pub enum Workload {
    /// A set that grows.
    Set(AtomicU64),
}

/// An operation that took place, with what was read, and where.
pub type Done = Result<(Op, Option<Stamp>), Failure>;

impl Workload {
    /// What is there before the first client comes.
    #[must_use]
    pub fn schema(&self) -> &'static str {
        match self {
            Self::Set(_) => set::SCHEMA,
        }
    }

    /// The next operation of a client.
    pub fn next(&self, _rng: &mut StdRng) -> Op {
        match self {
            Self::Set(next) => Op::Add(next.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The next of one that only reads.
    pub fn next_read(&self, _rng: &mut StdRng) -> Op {
        match self {
            Self::Set(_) => Op::All(None),
        }
    }

    /// What a new session begins with.
    ///
    /// # Errors
    /// As the session says.
    pub async fn greet(&self, _session: &mut Session) -> Result<(), Failure> {
        Ok(())
    }

    /// Does it; in a transaction, `delay` lies in its middle, so that faults meet it there.
    ///
    /// # Errors
    /// [`Failure`], which says whether it may have taken place.
    pub async fn perform(&self, session: &mut Session, op: &Op, _delay: Duration) -> Done {
        match op {
            Op::Add(element) => set::add(session, *element).await,
            Op::All(_) => set::all(session).await,
            Op::Txn(_)
            | Op::Get { .. }
            | Op::Put { .. }
            | Op::Cas { .. }
            | Op::Transfer { .. }
            | Op::Balances(_) => Err(Failure::refused("this workload does not do that")),
        }
    }
}
