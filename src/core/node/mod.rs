//! The node: beliefs, a role, and the one function that turns an input into wishes. Never acts.

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::input::Input;
use crate::records::Tags;
use crate::settings::Settings;
use crate::units::{Address, Instance, MemberName, Millis, Term};

/// What a node is told at birth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// Its name.
    pub name: MemberName,
    /// Kept on disk beside the name.
    pub instance: Instance,
    /// Where its Postgres listens.
    pub postgres: Address,
    /// Where its API listens.
    pub api: Address,
    /// haad's version.
    pub version: String,
    /// The operator's tags.
    pub tags: Tags,
    /// The settings that a new cluster begins with.
    pub settings: Settings,
    /// Seeds the tokens; random, drawn at each start.
    pub seed: u64,
    /// The last leadership that an earlier run of this agent held, if the machine has not been booted since.
    pub remembered: Option<Remembered>,
}

/// A leadership of an earlier run: Postgres may stay open until then, while we look whether it is still ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remembered {
    /// Of which term.
    pub term: Term,
    /// Until when, on our clock (which counts from the machine's boot).
    pub until: Millis,
}

/// One member's decisions.
#[derive(Clone, Debug)]
pub struct Node {
    config: Config,
}

impl Node {
    /// A node that believes nothing yet.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config }
    }

    /// Learn of `input`, decide, wish.
    pub fn handle(&mut self, _now: Millis, _input: Input) -> Vec<Effect> {
        let _ = &self.config;
        Vec::new()
    }

    /// When `Input::Tick` is due next, if nothing else happens before.
    #[must_use]
    pub const fn deadline(&self) -> Millis {
        Millis(0)
    }
}
