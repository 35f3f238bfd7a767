//! The bounds of a small world: what may happen in it, how often, and its settings. Holds no state.

use haa_core::settings::{Durability, Settings, Timing};
use haa_core::units::Millis;
use serde::Serialize;

use crate::model::action::Kind;
use crate::mutation::Broken;

/// Time goes in steps of this length; every span of the settings is so many of them.
pub const STEP: Millis = Millis(1_000);

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// How many members.
    pub members: usize,
    /// How much may go wrong.
    pub faults: u8,
    /// What may go wrong.
    pub kinds: &'static [Kind],
    /// How many writes clients make.
    pub writes: u8,
    /// How many switchovers an operator asks for.
    pub wishes: u8,
    /// How many steps of time.
    pub steps: u8,
    /// When long work may end.
    pub pace: Pace,
    /// So many choices in a row at most.
    pub depth: Option<usize>,
    /// What is broken on purpose.
    pub broken: Option<Broken>,
}

/// When a start, a clone and a rewind may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// In a later step than they began in: an election of some ten milliseconds comes before them.
    Usual,
    /// Whenever they like: many times the states.
    Any,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Faults.
    pub faults: u8,
    /// Clients' writes.
    pub writes: u8,
    /// Switchovers.
    pub wishes: u8,
    /// Steps of time.
    pub steps: u8,
}

/// A small `ttl`, and every patience as short as the steps allow.
pub(super) fn settings() -> Settings {
    let steps = |n: u64| STEP.times(n);
    Settings {
        durability: Some(Durability::Async),
        timing: Timing {
            ttl: steps(4),
            round: steps(1),
            margin: steps(1),
            heartbeat: steps(1),
            suspect_after: steps(2),
            stagger: steps(1),
            report_timeout: steps(1),
            attempt_timeout: steps(1),
            promote_timeout: steps(2),
            stall_timeout: steps(2),
            stop_timeout: steps(2),
            gather_timeout: steps(2),
            successor_timeout: steps(2),
            ..Timing::default()
        },
        ..Settings::default()
    }
}
