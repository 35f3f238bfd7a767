//! What all simulated agents tell of themselves: who leads, what was renewed and how late. Never acts on it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use haa_core::input::{Input, LeaseNews};
use haa_core::reason::Transition;
use haa_core::routes::Status;
use haa_core::units::Millis;

use crate::report::percentile;

const PRIMARY: &str = "primary";

/// Counters since the last [`Tally::begin`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The systems whose primary has three voters.
    whole: Mutex<BTreeSet<u64>>,
    lost: AtomicU64,
    missed: AtomicU64,
    deaf: AtomicU64,
    /// Milliseconds from the question to the moment when the agent acts on the answer.
    renewals: Mutex<Vec<u64>>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Leaderships that ended.
    pub(super) lost: u64,
    /// Renewals without an answer, or with "gone".
    pub(super) missed: u64,
    /// Heartbeats that nobody had room for.
    pub(super) deaf: u64,
    pub(super) renewals: u64,
    pub(super) p50_ms: u64,
    pub(super) p99_ms: u64,
    pub(super) max_ms: u64,
}

impl Tally {
    /// Begins anew; who leads is kept.
    pub(super) fn begin(&self) {
        for counter in [&self.lost, &self.missed, &self.deaf] {
            counter.store(0, Ordering::Relaxed);
        }
        locked(&self.renewals).clear();
    }

    pub(super) fn counted(&self) -> Counted {
        let mut took = locked(&self.renewals).clone();
        took.sort_unstable();
        let of = |percent| percentile(&took, percent).unwrap_or_default();
        Counted {
            lost: self.lost.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            deaf: self.deaf.load(Ordering::Relaxed),
            renewals: took.len() as u64,
            p50_ms: of(50),
            p99_ms: of(99),
            max_ms: of(100),
        }
    }

    /// How many clusters have had a primary with all three members as voters.
    pub(super) fn whole(&self) -> usize {
        locked(&self.whole).len()
    }

    pub(super) fn hear(&self, now: Millis, input: &Input) {
        if let Input::Lease(news) = input {
            match news {
                LeaseNews::Alive { asked_at, .. } => {
                    locked(&self.renewals).push(now.since(*asked_at).0);
                }
                LeaseNews::Gone { .. } | LeaseNews::Silent { .. } => {
                    self.missed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    pub(super) fn know(&self, now: Millis, status: &Status) {
        let leads =
            status.role == PRIMARY && status.leadership.is_some_and(|proof| now < proof.until());
        let voters = status.sync.as_ref().map_or(0, |sync| sync.voters.len());
        let system = status.cluster.as_ref().and_then(|cluster| cluster.system_id);
        if let (true, 3, Some(system)) = (leads, voters, system) {
            locked(&self.whole).insert(system.0);
        }
    }

    pub(super) fn changed(&self, transition: &Transition) {
        if transition.from == PRIMARY && transition.to != PRIMARY {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn deaf(&self) {
        self.deaf.fetch_add(1, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use haa_core::reason::Reason;
    use haa_core::units::{LeaseId, Term};

    #[test]
    fn what_is_lost_late_or_silent_is_counted_until_it_begins_anew() {
        let tally = Tally::default();
        let (id, ttl) = (LeaseId(1), Millis(10_000));
        for asked_at in [Millis(90), Millis(60)] {
            let alive = LeaseNews::Alive { id, asked_at, ttl };
            tally.hear(Millis(100), &Input::Lease(alive));
        }
        tally.hear(Millis(100), &Input::Lease(LeaseNews::Silent { asked_at: Millis(1) }));
        tally.hear(Millis(100), &Input::Lease(LeaseNews::Gone { id }));
        tally.hear(Millis(100), &Input::Tick);
        for (from, to) in [("primary", "closing"), ("primary", "primary"), ("closing", "replica")] {
            let (from, to) = (from.to_owned(), to.to_owned());
            let (reason, term) = (Reason::Started, Term(1));
            tally.changed(&Transition { from, to, reason, term });
        }
        tally.deaf();
        let (p50_ms, p99_ms, max_ms) = (10, 40, 40);
        let counted = Counted { lost: 1, missed: 2, deaf: 1, renewals: 2, p50_ms, p99_ms, max_ms };
        assert_eq!(tally.counted(), counted);
        tally.begin();
        assert_eq!(tally.counted(), Counted::default());
    }
}
