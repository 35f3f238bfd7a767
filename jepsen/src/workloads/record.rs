//! The history while it grows: one event after another, with their times. Never changes one that is there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::history::{Event, Op, Phase, Stamp};

use super::clients::Kind;

/// Clients with a list of hosts have numbers from here on, those of the routers from there; no run gives out so many.
const LISTED: u32 = 300_000;
const RELAYED: u32 = 600_000;
/// Clients that stay at one member have numbers from here on.
const PINNED: u32 = 1_000_000;
/// And those that are promised to read their own writes, from here on.
pub const FAITHFUL: u32 = 2_000_000;

/// Whether the client of this number goes where the routes lead.
#[must_use]
pub fn routed(process: u32) -> bool {
    process < PINNED
}

/// How the clients came whose operations were acknowledged, and how many operations.
#[must_use]
pub fn ways(events: &[Event]) -> String {
    let ways = [
        ("asked /primary", 0..LISTED),
        ("a list of hosts", LISTED..RELAYED),
        ("the routers", RELAYED..PINNED),
    ];
    let count = |range: &std::ops::Range<u32>| {
        let done = events.iter().filter(|event| event.phase == Phase::Ok);
        done.filter(|event| range.contains(&event.process)).count()
    };
    let told = ways.iter().map(|(name, range)| format!("{name}: {}", count(range)));
    told.collect::<Vec<_>>().join(", ")
}

/// The history of a run.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    next_process: AtomicU32,
    /// Which of the run's workloads a client is of.
    workloads: Mutex<HashMap<u32, usize>>,
    events: Mutex<Vec<Event>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            next_process: AtomicU32::new(0),
            workloads: Mutex::default(),
            events: Mutex::default(),
        }
    }
}

impl Recorder {
    /// A number that no client bore before; it tells a client that goes where the routes lead from the others. The
    /// client is of that one of the run's workloads.
    pub fn process(&self, kind: Kind, workload: usize) -> u32 {
        let number = self.next_process.fetch_add(1, Ordering::Relaxed);
        let process = match kind {
            Kind::Routed => number,
            Kind::Listed => LISTED + number,
            Kind::Relayed => RELAYED + number,
            Kind::Pinned(_) | Kind::Reader(_) => PINNED + number,
            Kind::Faithful => FAITHFUL + number,
        };
        locked(&self.workloads).insert(process, workload);
        process
    }

    /// Nanoseconds since the run began.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The same for an instant.
    #[must_use]
    pub fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.began);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// An operation begins.
    pub fn begin(&self, process: u32, op: Op) {
        self.push(process, (Phase::Invoke, op), None, None);
    }

    /// It took place, there.
    pub fn ok(&self, process: u32, op: Op, stamp: Option<Stamp>) {
        self.push(process, (Phase::Ok, op), stamp, None);
    }

    /// It did not, or may not have.
    pub fn bad(&self, process: u32, phase: Phase, op: Op, error: String) {
        self.push(process, (phase, op), None, Some(error));
    }

    /// When the last operation that `wanted` knows ended well, and who answered it, if one did.
    #[must_use]
    pub fn last_ok(&self, wanted: impl Fn(&Event) -> bool) -> Option<(u64, Option<Stamp>)> {
        let events = locked(&self.events);
        let mut all = events.iter().rev();
        let last = all.find(|event| event.phase == Phase::Ok && wanted(event));
        last.map(|event| (event.time, event.stamp.clone()))
    }

    /// Whether an operation that `wanted` knows began later than `since`, and ended well.
    #[must_use]
    pub fn is_answered(&self, wanted: impl Fn(&Event) -> bool, since: u64) -> bool {
        let events = locked(&self.events);
        let first = events.partition_point(|event| event.time <= since);
        let mut asked = HashSet::new();
        events.iter().skip(first).filter(|event| wanted(event)).any(|event| match event.phase {
            Phase::Invoke => {
                asked.insert(event.process);
                false
            }
            Phase::Fail | Phase::Info => false,
            Phase::Ok => asked.contains(&event.process),
        })
    }

    /// All of it, so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        locked(&self.events).clone()
    }

    /// What the clients of one of the run's workloads did and saw: a history of its own, numbered from 0.
    #[must_use]
    pub fn events_of(&self, workload: usize) -> Vec<Event> {
        let workloads = locked(&self.workloads);
        let own = |event: &&Event| workloads.get(&event.process) == Some(&workload);
        let mut events: Vec<Event> = locked(&self.events).iter().filter(own).cloned().collect();
        (0..).zip(&mut events).for_each(|(index, event)| event.index = index);
        events
    }

    fn push(
        &self,
        process: u32,
        (phase, op): (Phase, Op),
        stamp: Option<Stamp>,
        error: Option<String>,
    ) {
        let mut events = locked(&self.events);
        // Under the lock, so that times and places agree in their order.
        let (index, time) = (events.len() as u64, self.now());
        events.push(Event { index, time, process, phase, op, stamp, error });
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workload_has_a_history_of_its_own() {
        let recorder = Recorder::default();
        let one = recorder.process(Kind::Routed, 0);
        let other = recorder.process(Kind::Faithful, 1);
        recorder.begin(one, Op::Add(1));
        recorder.begin(other, Op::Balances(None));
        recorder.ok(other, Op::Balances(None), None);
        recorder.ok(one, Op::Add(1), None);
        let told = |events: Vec<Event>| -> Vec<(u64, u32)> {
            events.iter().map(|event| (event.index, event.process)).collect()
        };
        assert_eq!(told(recorder.events_of(0)), [(0, one), (1, one)]);
        assert_eq!(told(recorder.events_of(1)), [(0, other), (1, other)]);
        assert_eq!(recorder.events().len(), 4);
    }

    #[test]
    fn an_answer_counts_only_if_it_was_asked_for_since() {
        let recorder = Recorder::default();
        recorder.begin(1, Op::Add(1));
        let since = recorder.now();
        let answered = || recorder.is_answered(|event| event.process == 1, since);
        recorder.ok(1, Op::Add(1), None);
        assert!(!answered(), "it was under way before");
        recorder.begin(2, Op::Add(2));
        recorder.ok(2, Op::Add(2), None);
        assert!(!answered(), "it was another's");
        recorder.begin(1, Op::Add(3));
        recorder.bad(1, Phase::Fail, Op::Add(3), "it is gone".to_owned());
        assert!(!answered(), "it failed");
        recorder.begin(1, Op::Add(4));
        recorder.ok(1, Op::Add(4), None);
        assert!(answered());
    }
}
