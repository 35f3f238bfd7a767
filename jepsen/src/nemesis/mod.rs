//! What is broken on purpose: one file a kind, each striking, leaving a trace, and healing. Knows nothing of clients
//! and judges nothing.

mod clock;
mod cure;
mod cut;
mod data;
mod disk;
mod etcd;
mod freeze;
mod fsync;
mod kill;
mod loss;
mod network;
mod operate;
mod page;
pub(crate) mod power;
mod rewind;
mod run;
mod schedule;
mod settings;

use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::hosts::{Lab, MEMBERS, Quality, Watch};

use cure::Cure;

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
    /// A member's disk is full, or hangs
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

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// See `kill`.
    Kill(kill::Part, Target),
    /// See `freeze`.
    Freeze(freeze::Part, Target),
    /// See `cut`.
    Cut(cut::Shape, Target),
    /// See `network`.
    Network(Quality, network::Scope, Target),
    /// See `etcd`.
    Etcd(etcd::Harm),
    /// The wall clock of a member's processes jumps by so many seconds.
    Clock(i64, Target),
    /// The wall clock of a member's processes runs at so many percent.
    Pace(u32, Target),
    /// See `disk`.
    Disk(disk::Harm, Target),
    /// See `fsync`.
    Fsync(fsync::Harm, Target),
    /// See `power`.
    Power(power::Extent, Target),
    /// See `data`.
    Data(data::Harm, Target),
    /// See `page`.
    Page(page::Harm, Target),
    /// See `rewind`.
    Rewind(rewind::Part),
    /// See `loss`; who is left.
    AcceptLoss(Target),
    /// See `settings`.
    Settings(settings::Change),
    /// The agent is stopped in order, and started again.
    Restart(Target),
    /// A planned switchover.
    Switchover,
    /// An operator has a member cloned anew.
    Reinit(Target),
    /// An operator takes a member out of use.
    Drain(Target),
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
        matches!(self.cure, Cure::Mend(..) | Cure::Calm(_) | Cure::Fsync(..))
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

impl Fault {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kill(..) => Kind::Kill,
            Self::Freeze(..) => Kind::Freeze,
            Self::Cut(..) => Kind::Partition,
            Self::Network(..) => Kind::Network,
            Self::Etcd(_) => Kind::Etcd,
            Self::Clock(..) | Self::Pace(..) => Kind::Clock,
            Self::Disk(..) => Kind::Disk,
            Self::Fsync(..) => Kind::Fsync,
            Self::Power(..) => Kind::Power,
            Self::Data(data::Harm::Wal, _) => Kind::Wal,
            Self::Data(data::Harm::Emptied | data::Harm::Control, _) => Kind::Data,
            Self::Page(..) => Kind::Page,
            Self::Rewind(_) => Kind::Rewind,
            Self::AcceptLoss(_) => Kind::AcceptLoss,
            Self::Settings(settings::Change::Pause) => Kind::Pause,
            Self::Settings(_) => Kind::Settings,
            Self::Restart(_) => Kind::Restart,
            Self::Switchover => Kind::Switchover,
            Self::Reinit(_) => Kind::Reinit,
            Self::Drain(_) => Kind::Drain,
        }
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// When it cannot be done at all.
    pub async fn strike(&self, lab: &mut Lab, watch: &Watch) -> anyhow::Result<Wound> {
        match self {
            Self::Kill(part, target) => kill::strike(*part, target.find(watch).await, lab),
            Self::Freeze(part, target) => freeze::strike(*part, target.find(watch).await, lab),
            Self::Cut(shape, target) => cut::strike(*shape, target.find(watch).await, lab),
            Self::Network(quality, scope, target) => {
                network::strike(*quality, *scope, target.find(watch).await, lab)
            }
            Self::Etcd(harm) => etcd::strike(*harm, lab, watch).await,
            Self::Clock(seconds, target) => {
                clock::jump(*seconds, target.find(watch).await, lab).await
            }
            Self::Pace(percent, target) => {
                clock::pace(*percent, target.find(watch).await, lab).await
            }
            Self::Disk(harm, target) => disk::strike(*harm, target.find(watch).await, lab),
            Self::Fsync(harm, target) => fsync::strike(*harm, target.find(watch).await, lab),
            Self::Power(extent, target) => power::strike(*extent, target.find(watch).await, lab),
            Self::Data(harm, target) => {
                data::strike(*harm, target.find(watch).await, lab, watch).await
            }
            Self::Page(harm, target) => {
                page::strike(*harm, target.find(watch).await, lab, watch).await
            }
            Self::Rewind(part) => {
                rewind::strike(*part, Target::Primary.find(watch).await, lab, watch).await
            }
            Self::AcceptLoss(target) => {
                let (primary, last) = (Target::Primary.find(watch).await, target.find(watch).await);
                loss::strike(primary, last, lab, watch).await
            }
            Self::Settings(change) => settings::strike(*change, watch).await,
            Self::Restart(target) => operate::restart(target.find(watch).await, lab).await,
            Self::Switchover => operate::switch_over(watch).await,
            Self::Reinit(target) => operate::reinit(target.find(watch).await, lab, watch).await,
            Self::Drain(target) => operate::drain(target.find(watch).await, lab, watch).await,
        }
    }
}
