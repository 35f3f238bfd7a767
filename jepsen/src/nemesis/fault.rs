//! One fault of a schedule: what it is, of which kind, and who lets it happen. Heals nothing.

use serde::{Deserialize, Serialize};

use crate::hosts::{Lab, Quality, Watch};

use super::{
    Kind, Target, Wound, clock, cpu, cut, data, disk, etcd, flap, freeze, fsync, hand, kill, loss,
    member, network, operate, page, power, reset, rewind, settings, upgrade,
};

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
    /// See `flap`; how long each time follows from the number.
    Flap(cut::Shape, u64, Target),
    /// See `reset`; the pauses follow from the number.
    Reset(u64, Target),
    /// A host has so many percent of one processor.
    Cpu(u32, Target),
    /// See `upgrade`.
    Upgrade(Target),
    /// See `hand`; whatever is edited, it is the primary's.
    ByHand(hand::Slip),
    /// See `member`.
    Member(member::Find, Target),
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
            Self::Flap(..) => Kind::Flap,
            Self::Reset(..) => Kind::Reset,
            Self::Cpu(..) => Kind::Cpu,
            Self::Upgrade(_) => Kind::Upgrade,
            Self::ByHand(_) => Kind::ByHand,
            Self::Member(..) => Kind::Member,
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
            Self::Flap(shape, seed, target) => {
                flap::strike(*shape, *seed, target.find(watch).await, lab).await
            }
            Self::Reset(seed, target) => reset::strike(*seed, target.find(watch).await, lab).await,
            Self::Cpu(percent, target) => cpu::strike(*percent, target.find(watch).await, lab),
            Self::Upgrade(target) => upgrade::strike(target.find(watch).await, lab).await,
            Self::ByHand(slip) => hand::strike(*slip, Target::Primary.find(watch).await, lab).await,
            Self::Member(find, target) => {
                member::strike(*find, target.find(watch).await, lab, watch).await
            }
        }
    }
}
