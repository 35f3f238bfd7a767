//! Faults that wait for somebody to stand: an election is short, and a fault at a random instant misses it. Never says
//! who is to lead.

use haa_core::records::Holder;
use haa_core::units::{Revision, Term};

use crate::time::At;
use crate::world::faults::Fault;
use crate::world::{Event, World};

/// What waits, and the last attempt that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ambush {
    waiting: bool,
    seen: (Term, Revision),
}

impl World {
    /// The next attempt meets a fault.
    pub(crate) fn lie_in_wait(&mut self) {
        self.ambush.waiting = true;
    }

    /// Something changed in etcd: is it an attempt?
    pub(crate) fn watch_for_attempt(&mut self) {
        let Some(kept) = &self.etcd.view.term else { return };
        let seen = (kept.value.term, kept.revision);
        let Holder::Candidate { member, .. } = &kept.value.holder else { return };
        if !self.ambush.waiting || self.ambush.seen == seen {
            return;
        }
        let candidate = self.index(member);
        let leader = self.etcd.view.leader.as_ref().map(|kept| kept.value.member.clone());
        let leader = leader.and_then(|name| self.index(&name));
        let other = self.dice.below(self.members.len());
        self.ambush = Ambush { waiting: false, seen };
        self.spring(candidate.unwrap_or(other), leader.unwrap_or(other), other);
    }

    fn spring(&mut self, candidate: usize, leader: usize, other: usize) {
        let etcd = self.net.etcd();
        let (fault, end) = match self.dice.below(8) {
            0 => (Fault::KillAgent(candidate), Fault::StartAgent(candidate)),
            1 => (Fault::KillAgent(other), Fault::StartAgent(other)),
            2 => (Fault::Stumble(candidate), Fault::Thaw(candidate)),
            3 => (Fault::Stumble(other), Fault::Thaw(other)),
            4 => (Fault::Freeze(leader), Fault::Thaw(leader)),
            5 => (Fault::KillHost(other), Fault::Revive(other)),
            6 => (Fault::Cut(candidate, etcd), Fault::Mend(candidate, etcd)),
            _ => (Fault::Cut(other, candidate), Fault::Mend(other, candidate)),
        };
        let at = self.dice.ms(0, 60);
        let lasts = [At::ms(100), At::secs(2), At::secs(12)][self.dice.below(3)];
        self.later(at, Event::Fault(Box::new(fault)));
        self.later(at.after(lasts), Event::Fault(Box::new(end)));
    }
}
