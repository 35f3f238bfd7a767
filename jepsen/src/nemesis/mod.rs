//! What is broken on purpose: one file a kind, each striking, leaving a trace, and healing. Knows nothing of clients
//! and judges nothing.

mod clock;
mod cpu;
mod cure;
mod cut;
mod data;
mod disk;
mod etcd;
mod fault;
mod flap;
mod freeze;
mod fsync;
mod hand;
mod kill;
mod loss;
mod member;
mod network;
mod operate;
mod page;
pub(crate) mod power;
mod reset;
mod rewind;
mod run;
mod schedule;
mod settings;
mod upgrade;

use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::hosts::{MEMBERS, Watch};

use cure::Cure;

pub use fault::Fault;
pub use run::{Skipped, Struck, Trace, heal_everything, run};
pub use schedule::{Entry, Schedule};

/// A kind of fault, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Processes die: a postmaster, a backend, the agent, the guard, all of a host
    Kill,
    /// Processes or hosts stand still and go on later
    Freeze,
    /// Links are cut: a member from all, from etcd, from replicas, from clients, one way, halves, rings
    Partition,
    /// The network is poor: late, shuffled, lossy
    Network,
    /// etcd: its leader or a member killed or frozen, all of it away
    Etcd,
    /// Wall clocks jump, or run fast or slow, of one member's processes
    Clock,
    /// A member's disk is full, hangs, or is slow
    Disk,
    /// fsync of a member's disk is slow, or fails
    Fsync,
    /// A host loses its power, or all members' hosts at once
    Power,
    /// A member's data directory is emptied, or its control file is lost
    Data,
    /// A member's older WAL is removed, and its postmaster killed
    Wal,
    /// A page of a member's heap is damaged on disk
    Page,
    /// A rewind of a former primary is broken off half-way
    Rewind,
    /// Two of three hosts are lost, and an operator accepts the loss of what only they had
    AcceptLoss,
    /// Settings are changed, and changed back
    Settings,
    /// The cluster is paused, and resumed
    Pause,
    /// Agents are restarted in order
    Restart,
    /// Planned switchovers
    Switchover,
    /// A member is cloned anew at an operator's word
    Reinit,
    /// A member is taken out of use, and taken back
    Drain,
    /// Links of a member go and come back, again and again
    Flap,
    /// All connections of a member are reset, a few times
    Reset,
    /// A member's host has little of a processor
    Cpu,
    /// Agents are stopped in order, and started from another file: see --upgrade-to
    Upgrade,
    /// Somebody edits `synchronous_standby_names` of a primary, or drops a slot there
    ByHand,
    /// A replica is stopped, forgotten, and added again, with its data or without
    Member,
}

/// Who is met, found out when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The member that accepts writes, or the first if none does.
    Primary,
    /// The first of the others.
    Replica,
    /// The second of the others.
    OtherReplica,
}

/// What a fault did, and what undoes it.
#[derive(Clone, Debug)]
pub struct Wound {
    /// What, and whom it met.
    pub name: String,
    /// What shows that it acted; what only healing can tell is not here yet.
    pub proof: Option<String>,
    /// When that was lost whose loss an operator accepted.
    accepted: Option<Instant>,
    cure: Cure,
}

impl Wound {
    fn new(name: impl Into<String>, proof: Option<String>, cure: Cure) -> Self {
        Self { name: name.into(), proof, accepted: None, cure }
    }

    /// Whether only healing can tell that it acted: nothing has met it yet.
    fn tells_later(&self) -> bool {
        matches!(self.cure, Cure::Mend(..) | Cure::Calm(_) | Cure::Fsync(..) | Cure::Cpu(..))
    }
}

impl Target {
    /// Who that is now.
    pub async fn find(self, watch: &Watch) -> &'static str {
        let primary = watch.primaries().await.first().copied().unwrap_or(MEMBERS[0]);
        let mut others = MEMBERS.into_iter().filter(|member| *member != primary);
        let (one, other) = (others.next(), others.next());
        match self {
            Self::Primary => primary,
            Self::Replica => one.unwrap_or(primary),
            Self::OtherReplica => other.unwrap_or(primary),
        }
    }
}
