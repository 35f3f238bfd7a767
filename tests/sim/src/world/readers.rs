//! Readers: they ask an agent for replicas and tell what they are shown there. They draw nothing and change nothing.

use haa_core::observe::Door;
use haa_core::reads::ReplicaDemand;

use crate::mutation::{Broken, Mutation};
use crate::postgres::Process;
use crate::wal::Wal;
use crate::world::{Deed, World};

impl World {
    /// One agent after the other is asked, and every replica that it names is read.
    pub(crate) fn readers(&mut self) {
        let asked = self.reads % self.members.len();
        self.reads += 1;
        let who = &self.members[asked];
        let Some(status) = who.agent.status.as_deref().filter(|_| who.agent.awake()) else {
            return;
        };
        // What it does not know yet it cannot tell: only an agent that knows the voters of now is held to them.
        let now = self.etcd.view.sync.as_ref().map(|kept| &kept.value);
        if status.sync.as_ref() != now {
            return;
        }
        let any_copy = self.plan.broken == Some(Broken::Between(Mutation::ReadsAnyCopy));
        let demand = ReplicaDemand { any_copy, ..ReplicaDemand::default() };
        let Ok(routes) = status.routes_for(who.clock.read(self.now), &demand) else { return };
        let named = routes.replicas.iter().filter_map(|route| self.index(&route.member));
        let shown = named.filter_map(|member| {
            let commit = self.shown(member)?;
            Some(Deed::Shown { member, commit })
        });
        let shown: Vec<Deed> = shown.collect();
        self.deeds.extend(shown);
    }

    /// The newest commit of a leadership that whoever reads this standby sees.
    fn shown(&self, member: usize) -> Option<Wal> {
        let postgres = &self.members[member].postgres;
        let reads = postgres.process == Process::Standby && postgres.door == Door::Open;
        let disk = postgres.disk.filter(|_| reads)?;
        let seen = Wal { branch: disk.wal.branch, end: disk.replayed };
        let of_leader = |commit: &&Wal| self.wals.branch(commit.branch).term.is_some();
        let newest = self.written.iter().rev().filter(of_leader);
        newest.copied().find(|commit| self.wals.holds(seen, *commit))
    }
}
