//! Mutations: one safety mechanism broken each, between the node and the world. Never in a run that is to
//! prove something.

use clap::ValueEnum as _;
use haa_core::Mechanism;
use haa_core::effect::{Effect, StoreWish, Txn};
use haa_core::input::{Input, LeaseNews};
use haa_core::records::{Key, Record};
use haa_core::units::Millis;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// The lease counts from the answer instead of the ask.
    LeaseFromAnswer,
    /// A look is believed to be as young as its arrival.
    StaleFacts,
    /// The leader transaction does not compare `term`: an election by a stale token.
    LeaderIgnoresTerm,
    /// The leader transaction does not compare `leader`: a living leader is deposed.
    LeaderIgnoresLeader,
    /// A member is drained though somebody may stand who does not know of it.
    DrainIgnoresTerm,
    /// No transaction compares anything.
    CompareNothing,
    /// The timeline is reserved but the record does not keep the number.
    ReserveNothing,
    /// The `leader` key does not hang on the lease.
    LeaderWithoutLease,
    /// Writes are never closed by the agent.
    NeverClose,
    /// `cluster` is written without a comparison.
    ClusterIgnoresCluster,
    /// Whoever lets go deletes the `leader` key, whosever it is by then.
    ReleaseIgnoresHolder,
    /// There is a guard, and it closes nothing. Not between the node and the world, but in the world.
    NoGuard,
    /// Readers are sent to replicas that are to vote and do not yet. Not between the node and the world either.
    ReadsAnyCopy,
}

/// What is broken in a run, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Something between the node and the world.
    Between(Mutation),
    /// A mechanism of the core.
    Within(Mechanism),
    /// Two of them, of which each covers the other.
    Both(Mechanism, Mechanism),
}

impl std::str::FromStr for Broken {
    type Err = String;

    /// By the name of the variant; two of the core with a `+` between them.
    fn from_str(name: &str) -> Result<Self, String> {
        if let Some((one, other)) = name.split_once('+') {
            return match (one.parse()?, other.parse()?) {
                (Self::Within(one), Self::Within(other)) => Ok(Self::Both(one, other)),
                _ => Err(format!("{name}: only mechanisms of the core go together")),
            };
        }
        let within = Mechanism::ALL.into_iter().map(Self::Within);
        let mut all = within.chain(Mutation::value_variants().iter().copied().map(Self::Between));
        all.find(|broken| broken.to_string() == name).ok_or_else(|| {
            format!("there is no mutation {name}: they are listed in docs/testing.md")
        })
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Between(mutation) => write!(f, "{mutation:?}"),
            Self::Within(mechanism) => write!(f, "{mechanism:?}"),
            Self::Both(one, other) => write!(f, "{one:?}+{other:?}"),
        }
    }
}

impl Mutation {
    /// Before the node learns of it.
    pub fn bend_input(self, now: Millis, input: &mut Input) {
        match (self, input) {
            (Self::LeaseFromAnswer, Input::Lease(LeaseNews::Alive { asked_at, .. })) => {
                *asked_at = now;
            }
            (Self::StaleFacts, Input::Postgres(facts)) => {
                facts.began_at = now;
                facts.job = None;
            }
            (_, _) => {}
        }
    }

    /// Before the world performs them.
    pub fn bend_effects(self, effects: &mut Vec<Effect>) {
        if self == Self::NeverClose {
            effects.retain(|effect| !matches!(effect, Effect::Close(_)));
        }
        for effect in effects {
            if let Effect::Store(StoreWish::Txn(txn)) = effect {
                self.bend_txn(txn);
            }
        }
    }

    fn bend_txn(self, txn: &mut Txn) {
        let writes = |key: &Key| txn.put.iter().any(|(record, _)| record.key() == *key);
        let leads = writes(&Key::Leader);
        let founds = writes(&Key::Cluster);
        let releases = txn.delete.contains(&Key::Leader);
        let drains = txn.put.iter().any(|(record, _)| matches!(record, Record::Drained(..)));
        match self {
            Self::LeaderIgnoresTerm if leads => txn.compare.retain(|(key, _)| *key != Key::Term),
            Self::LeaderIgnoresLeader if leads => {
                txn.compare.retain(|(key, _)| *key != Key::Leader);
            }
            Self::DrainIgnoresTerm if drains => txn.compare.retain(|(key, _)| *key != Key::Term),
            Self::ReleaseIgnoresHolder if releases => txn.compare.clear(),
            Self::CompareNothing => txn.compare.clear(),
            Self::ClusterIgnoresCluster if founds => {
                txn.compare.retain(|(key, _)| *key != Key::Cluster);
            }
            Self::ReserveNothing => {
                for (record, _) in &mut txn.put {
                    if let Record::Term(term) = record {
                        term.reserved.0 = term.reserved.0.saturating_sub(1);
                    }
                }
            }
            Self::LeaderWithoutLease if leads => {
                for (record, lease) in &mut txn.put {
                    if record.key() == Key::Leader {
                        *lease = None;
                    }
                }
            }
            Self::LeaseFromAnswer
            | Self::StaleFacts
            | Self::NeverClose
            | Self::LeaderIgnoresTerm
            | Self::LeaderIgnoresLeader
            | Self::DrainIgnoresTerm
            | Self::LeaderWithoutLease
            | Self::ClusterIgnoresCluster
            | Self::ReleaseIgnoresHolder
            | Self::NoGuard
            | Self::ReadsAnyCopy => {}
        }
    }
}
