//! What undoes a fault, kept from its strike until it is healed. Never strikes.

use std::sync::Arc;

use crate::hosts::{Lab, Slow, Watch};

use super::{
    clock, cpu, cut, data, disk, etcd, freeze, fsync, member, network, operate, page, power,
    settings,
};

/// What undoes a fault.
#[derive(Clone, Debug)]
pub(super) enum Cure {
    /// Nothing: the cluster heals by itself.
    None,
    /// The agent is started if it does not run.
    Start(&'static str),
    /// The host is plugged in and its agent started.
    Reboot(&'static str),
    /// The same of these.
    RebootAll(Vec<&'static str>),
    /// This member is cloned anew, if its data are still those that were damaged.
    Reclone(&'static str),
    /// The group of this host goes on.
    Thaw(&'static str),
    /// These processes go on.
    Continue(Vec<haa::playground::Process>),
    /// These directions are mended; so many packets had been swallowed before.
    Mend(Vec<crate::hosts::net::Way>, u64),
    /// Packets go by themselves again.
    Calm(Arc<Vec<Slow>>),
    /// These etcds are started.
    StartEtcd(Vec<String>),
    /// These etcds go on.
    ThawEtcd(Vec<String>),
    /// The clock of this member is right again.
    Clock(&'static str),
    /// What fills this member's disk goes, and the member is started anew.
    Room(&'static str),
    /// This member's disk goes on.
    Unfreeze(&'static str),
    /// This member's disk takes as many writes as it can.
    Writes(&'static str),
    /// This member's fsync is as it should be; so many had been met before.
    Fsync(&'static str, u64),
    /// Data that cannot be read are replaced, and the agent started if it does not run.
    Replace(&'static str),
    /// These hosts have power again.
    Power(Vec<&'static str>),
    /// What was changed is as it was.
    Settings(settings::Change),
    /// This member is taken back.
    Undrain(&'static str),
    /// This host has all of a processor; so often it had been held back before.
    Cpu(&'static str, u64),
    /// This member, which was removed, is added again.
    Add(&'static str, member::Find),
}

impl Cure {
    /// Undoes it; answers the proof that only now can be had.
    pub(super) async fn apply(
        &self,
        lab: &mut Lab,
        watch: &Watch,
    ) -> anyhow::Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::Start(member) => lab.start_member(member).map(|()| None),
            Self::Reboot(member) => reboot(&[*member], lab),
            Self::RebootAll(members) => reboot(members, lab),
            Self::Reclone(member) => page::reclone(member, lab, watch).await,
            Self::Thaw(host) => freeze::thaw(host, lab),
            Self::Continue(processes) => freeze::go_on(processes),
            Self::Mend(ways, before) => cut::mend(ways, *before, lab),
            Self::Calm(slow) => Ok(network::handled(slow)),
            Self::StartEtcd(names) => etcd::start(names, lab, watch).await,
            Self::ThawEtcd(names) => etcd::thaw(names, lab),
            Self::Clock(member) => clock::heal(member, lab),
            Self::Room(member) => disk::make_room(member, lab),
            Self::Unfreeze(member) => disk::unfreeze(member, lab),
            Self::Writes(member) => disk::quick(member, lab),
            Self::Fsync(member, before) => fsync::heal(member, *before, lab),
            Self::Replace(member) => data::replace(member, lab).await,
            Self::Power(names) => power::heal(names, lab),
            Self::Settings(change) => settings::undo(*change, watch).await,
            Self::Undrain(member) => operate::undrain(member, watch).await,
            Self::Cpu(member, before) => cpu::heal(member, *before, lab),
            Self::Add(member, find) => member::add(member, *find, lab).await,
        }
    }
}

fn reboot(members: &[&'static str], lab: &mut Lab) -> anyhow::Result<Option<String>> {
    for member in members {
        lab.plug(member)?;
        lab.start_member(member)?;
    }
    Ok(None)
}
