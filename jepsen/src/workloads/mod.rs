//! What clients do to the cluster, and how it is recorded. Never breaks anything, and judges nothing.

mod append;
mod bank;
pub mod clients;
mod faithful;
mod keys;
mod outcome;
pub mod record;
mod register;
pub mod route;
pub mod session;
mod set;
mod work;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;

use crate::checkers::Checker;
use crate::history::{Op, Stamp};

pub use bank::TOTAL;
pub use clients::{AtWork, Crew, Kind};
pub use keys::Keys;
pub use outcome::Failure;
pub use record::Recorder;
pub use route::Route;
pub use session::Session;
pub use work::{Sort, Work, names, works};

/// What the clients of a workload do, with what they share.
#[derive(Debug)]
pub struct Workload {
    /// Which one it is.
    pub work: Work,
    keys: Keys,
    next: AtomicU64,
}

/// An operation that took place, with what was read, and where.
pub type Done = Result<(Op, Option<Stamp>), Failure>;

impl Workload {
    /// A new one.
    #[must_use]
    pub fn new(work: Work) -> Self {
        let writes = if work.sort == Sort::Register { 24 } else { 64 };
        Self { work, keys: Keys::new(writes), next: AtomicU64::new(1) }
    }

    /// What is there before the first client comes.
    #[must_use]
    pub fn schema(&self) -> &'static str {
        match self.work.sort {
            Sort::Set => set::SCHEMA,
            Sort::Append => append::statements(self.work.isolation).schema,
            Sort::Register => register::SCHEMA,
            Sort::Bank => bank::SCHEMA,
        }
    }

    /// The judges that must have had something to look at.
    #[must_use]
    pub fn judges(&self) -> Vec<Checker> {
        let own: &[Checker] = match self.work.sort {
            Sort::Set => &[Checker::Set],
            Sort::Append => &[Checker::Lists, Checker::Append],
            Sort::Register => &[Checker::Register],
            Sort::Bank => &[Checker::Bank],
        };
        [own, &[Checker::OneWriter, Checker::Ancestry]].concat()
    }

    /// The next operation of a client.
    pub fn next(&self, rng: &mut StdRng) -> Op {
        match self.work.sort {
            Sort::Set => Op::Add(self.next.fetch_add(1, Ordering::Relaxed)),
            Sort::Append => append::next(&self.keys, rng),
            Sort::Register => register::next(&self.keys, rng),
            Sort::Bank => bank::next(rng),
        }
    }

    /// The next that writes something.
    pub fn next_write(&self, rng: &mut StdRng) -> Op {
        let mut op = self.next(rng);
        while clients::op_reads(&op) {
            op = self.next(rng);
        }
        op
    }

    /// The next of one that only reads.
    pub fn next_read(&self, rng: &mut StdRng) -> Op {
        match self.work.sort {
            Sort::Set => Op::All(None),
            Sort::Append => append::next_read(&self.keys, rng),
            Sort::Register => register::next_read(&self.keys, rng),
            Sort::Bank => Op::Balances(None),
        }
    }

    /// Reads of everything, for the end.
    #[must_use]
    pub fn last(&self) -> Vec<Op> {
        match self.work.sort {
            Sort::Set => vec![Op::All(None)],
            Sort::Append => append::last(&self.keys),
            Sort::Register => register::last(&self.keys),
            Sort::Bank => vec![Op::Balances(None)],
        }
    }

    /// How much slower one that only reads is than the others: some reads are of everything.
    #[must_use]
    pub fn reader_pause(&self) -> u32 {
        if self.work.sort == Sort::Set { 50 } else { 4 }
    }

    /// Does it; in a transaction, `delay` lies in its middle, so that faults meet it there.
    ///
    /// # Errors
    /// [`Failure`], which says whether it may have taken place.
    pub async fn perform(&self, session: &mut Session, op: &Op, delay: Duration) -> Done {
        match op {
            Op::Add(element) => set::add(session, *element).await,
            Op::All(_) => set::all(session).await,
            Op::Txn(steps) => append::perform(session, steps, self.work.isolation, delay).await,
            Op::Get { .. } | Op::Put { .. } | Op::Cas { .. } => {
                register::perform(session, op).await
            }
            Op::Transfer { .. } | Op::Balances(_) => bank::perform(session, op, delay).await,
        }
    }
}
