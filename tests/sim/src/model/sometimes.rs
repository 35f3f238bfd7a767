//! What is to happen somewhere in the small worlds, or "no violation" is only "nothing happened". Judges nothing.

use haa_core::reason::{Reason, Transition};

use crate::model::state::State;

/// What is to happen somewhere, or a world without violations is a world without events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sometimes {
    /// A member leads that did not lead before.
    ChangedHands,
    /// A lease ended under a leader.
    LeaseExpired,
    /// A transaction whose outcome its member does not know was applied.
    UnknownApplied,
    /// The same, after its member had read that it was not.
    LateApplied,
    /// A member leads because an operator wished it.
    Switchover,
    /// A client's write was acknowledged.
    Written,
    /// An acknowledged write was lost, as `async` allows.
    Lost,
    /// Data were overwritten by a rewind or a clone.
    Overwritten,
    /// A restarted agent went on with its leadership.
    Resumed,
    /// A leadership ended because it was not renewed.
    RanOut,
    /// A candidate lost to another.
    OutRun,
    /// A candidate passed on to a member with more WAL.
    HandedOver,
    /// The guard closed writes.
    GuardClosed,
    /// Postgres could not be promoted, and the member gave way.
    GaveWay,
}

impl Sometimes {
    /// All that is counted, with their sentences.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::ChangedHands, "the leadership changed hands"),
        (Self::LeaseExpired, "a lease expired under a leader"),
        (Self::UnknownApplied, "a transaction of unknown outcome was applied"),
        (Self::LateApplied, "a transaction was applied long after it was sent"),
        (Self::Switchover, "a switchover was done"),
        (Self::Written, "a write was acknowledged"),
        (Self::Lost, "an acknowledged write was lost"),
        (Self::Overwritten, "data were rewound or cloned over"),
        (Self::Resumed, "a restarted agent resumed its leadership"),
        (Self::RanOut, "a leadership ran out"),
        (Self::OutRun, "a candidate lost to another"),
        (Self::HandedOver, "a candidate handed over to one with more WAL"),
        (Self::GuardClosed, "the guard closed writes"),
        (Self::GaveWay, "a member that could not be promoted gave way"),
    ];

    /// Its bit.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// What a transition shows, if anything that is counted.
    #[must_use]
    pub fn of(transition: &Transition) -> Option<Self> {
        let mut shown = SHOWN.into_iter();
        shown.find(|(reason, _)| *reason == transition.reason).map(|(_, what)| what)
    }
}

/// Transitions that are counted, by their reason.
const SHOWN: [(Reason, Sometimes); 5] = [
    (Reason::Resumed, Sometimes::Resumed),
    (Reason::LeaseRanOut, Sometimes::RanOut),
    (Reason::OutRun, Sometimes::OutRun),
    (Reason::HandedOver, Sometimes::HandedOver),
    (Reason::CannotPromote, Sometimes::GaveWay),
];

impl State {
    /// Counts what happened.
    pub const fn note(&mut self, what: Sometimes) {
        self.noted.sometimes |= what.bit();
    }
}
