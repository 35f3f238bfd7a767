//! Promoting: from the election to a Postgres that accepts writes on the reserved timeline, or giving way.

use crate::effect::Job;
use crate::list::List;
use crate::observe::{Door, Server};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::SyncRecord;
use crate::units::{Millis, Term, Timeline};

use super::Node;
use super::role::Role;

/// The longest time that a member which could not promote stays out of elections.
const LAST_UNFIT: Millis = Millis(300_000);

impl Node {
    pub(super) fn promoting(
        &mut self,
        now: Millis,
        (term, timeline): (Term, Timeline),
        (since, stood_at): (Millis, Millis),
    ) -> Option<(Role, Reason)> {
        let Some(proof) = self.belief.leadership(now).filter(|proof| proof.term() == term) else {
            return Some(self.without_proof());
        };
        if self.leaving.is_some() {
            return Some(Role::close(Reason::AgentStopped));
        }
        let timeout = since.after(self.belief.settings().timing.promote_timeout);
        if now >= timeout || std::mem::take(&mut self.rejoining.promote_failed) {
            return Some(self.give_way(now));
        }
        self.desk.wake_at(timeout.min(proof.until()));
        let facts = self.belief.facts.clone()?;
        match &facts.server {
            Server::Primary(primary)
                if primary.position.timeline == timeline
                    || self.off.is(Mechanism::PromotedAsReserved) =>
            {
                self.unfit.1 = Millis(1_000);
                let to_tell = Some(now.since(stood_at));
                let slots = self.whose_slots(now);
                self.slots.were_tried(now, slots);
                self.chronicle.promoted(now);
                Some((Role::Primary { term, to_tell, silent_since: None }, Reason::Promoted))
            }
            Server::Primary(_) => Some(self.give_way(now)),
            Server::Stopped(_) => Some(Role::close(Reason::PostgresDied)),
            Server::Standby(_) => {
                // Asked twice, it fails, and a leadership that has just begun gives way.
                if self.desk.settled(&facts) && !self.rejoining.promote_done {
                    let slots = self.whose_slots(now);
                    let (list, door) = self.opens_with();
                    self.desk.job(Job::Promote { proof, timeline, slots, list: Some(list), door });
                }
                None
            }
            Server::Starting | Server::Silent | Server::Refusing(_) => None,
        }
    }

    /// Detaches, and gets ready on the way for what a promotion wants, if one is in sight: the door is not shut
    /// for nothing.
    pub(super) fn detach_to_lead(&mut self, now: Millis) {
        let ready = self.belief.we_suffice(now).then(|| self.opens_with());
        let list = ready.and_then(|(list, door)| (door == Door::Shut).then_some(list));
        self.desk.job(Job::Detach(list));
    }

    /// Whom commits wait for from the first instant, and whether clients are let in at once.
    fn opens_with(&self) -> (List, Door) {
        let Some(sync) = self.belief.quorum() else { return (List::Nothing, Door::Open) };
        // Whoever is not elected yet will be the primary of these voters.
        let ours = SyncRecord { primary: self.config.name.clone(), ..sync.clone() };
        let list = self.list_under(&ours);
        (list, if self.off.is(Mechanism::Door) { Door::Open } else { Door::Shut })
    }

    /// Another leader, or only a lease that ran out?
    pub(super) fn without_proof(&self) -> (Role, Reason) {
        match self.belief.own_leader_key() {
            Some(_) => Role::close(Reason::LeaseRanOut),
            None => Role::close(Reason::Deposed),
        }
    }

    fn give_way(&mut self, now: Millis) -> (Role, Reason) {
        let wait = self.unfit.1;
        self.unfit = (now.after(wait), wait.times(2).min(LAST_UNFIT));
        Role::close(Reason::CannotPromote)
    }
}
