//! The small worlds of each verification, with the number of their states. Never how they are explored.

use crate::model::action::Kind;
use crate::model::scope::{Pace, Scope};
use crate::model::sometimes::Sometimes;

/// A world to explore, and what must come of it.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// Its bounds.
    pub scope: Scope,
    /// So many states: fewer would mean that something cannot happen any more.
    pub states: usize,
    /// What must have happened in it.
    pub sometimes: &'static [Sometimes],
}

/// Two members, nothing goes wrong, nobody writes, four seconds pass.
const CALM: Scope = Scope {
    members: 2,
    faults: 0,
    kinds: &[],
    writes: 0,
    wishes: 0,
    steps: 4,
    pace: Pace::Usual,
    depth: None,
    broken: None,
};

const ANYTHING: &[Kind] = &[
    Kind::Delay,
    Kind::Untold,
    Kind::Stray,
    Kind::Slow,
    Kind::Crash,
    Kind::EndAgent,
    Kind::Freeze,
    Kind::Cut,
    Kind::Fail,
];

/// All of them: the first four to their end, the others up to a number of choices in a row.
pub const WORLDS: [World; 6] = [
    World {
        name: "switchover",
        scope: Scope { wishes: 1, writes: 1, ..CALM },
        states: 17728,
        sometimes: &[Sometimes::Switchover, Sometimes::ChangedHands, Sometimes::Written],
    },
    World {
        name: "one-fault",
        scope: Scope {
            faults: 1,
            kinds: &[Kind::Delay, Kind::Slow, Kind::Crash, Kind::EndAgent, Kind::Freeze],
            steps: 5,
            ..CALM
        },
        states: 90184,
        sometimes: &[
            Sometimes::ChangedHands,
            Sometimes::LeaseExpired,
            Sometimes::Resumed,
            Sometimes::RanOut,
            Sometimes::GuardClosed,
        ],
    },
    World {
        name: "one-cut",
        scope: Scope { faults: 1, kinds: &[Kind::Cut], steps: 3, ..CALM },
        states: 18260,
        sometimes: &[Sometimes::RanOut, Sometimes::ChangedHands],
    },
    World {
        name: "crash-with-write",
        scope: Scope { faults: 1, kinds: &[Kind::Crash], writes: 1, ..CALM },
        states: 42183,
        sometimes: &[Sometimes::ChangedHands, Sometimes::Lost, Sometimes::Overwritten],
    },
    World {
        name: "two-faults",
        scope: Scope {
            faults: 2,
            kinds: ANYTHING,
            writes: 1,
            wishes: 1,
            steps: 6,
            depth: Some(9),
            ..CALM
        },
        states: 176257,
        sometimes: &[
            Sometimes::UnknownApplied,
            Sometimes::LateApplied,
            Sometimes::LeaseExpired,
            Sometimes::OutRun,
            Sometimes::HandedOver,
        ],
    },
    World {
        name: "three-members",
        scope: Scope {
            members: 3,
            faults: 2,
            kinds: ANYTHING,
            writes: 1,
            wishes: 1,
            steps: 6,
            depth: Some(7),
            ..CALM
        },
        states: 274271,
        sometimes: &[Sometimes::ChangedHands, Sometimes::Lost],
    },
];

impl Scope {
    /// The same with one fault more, longer ways, and long work that ends whenever it likes.
    #[must_use]
    pub fn enlarged(self) -> Self {
        let depth = self.depth.map(|depth| depth + 3);
        Self { faults: self.faults + 1, kinds: ANYTHING, pace: Pace::Any, depth, ..self }
    }
}
