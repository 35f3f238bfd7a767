//! The primary: open for as long as it can prove that it may be. Keeps the history.

use crate::observe::Server;
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::units::{Millis, Term};

use super::Node;
use super::role::Role;

impl Node {
    pub(super) fn primary(
        &mut self,
        now: Millis,
        term: Term,
        to_tell: Option<Millis>,
        silent_since: Option<Millis>,
    ) -> Option<(Role, Reason)> {
        if let Some((term, reason)) = self.renewed(now, term) {
            self.failsafe.ends();
            return Some((Role::Primary { term, to_tell, silent_since }, reason));
        }
        let Some(proof) = self.belief.leadership(now).filter(|proof| proof.term() == term) else {
            return Some(self.without_proof());
        };
        self.desk.wake_at(proof.until());
        self.keep_key();
        if let Some(reason) = self.failsafe_changes(now) {
            return Some((Role::Primary { term, to_tell, silent_since }, reason));
        }
        if self.leaving.is_some() {
            let until = self.stopped_until(now);
            return Some(Role::hand_over(Reason::AgentStopped, self.best_replica(now), until));
        }
        let facts = self.belief.facts.clone()?;
        let timing = self.belief.settings().timing;
        let young = self.off.is(Mechanism::Freshness);
        if facts.is_stale(now, timing) && !young || facts.is_deaf(timing) {
            return self.silent(now, term, (to_tell, silent_since));
        }
        self.note_running(&facts);
        let primary = match &facts.server {
            Server::Primary(primary) => primary,
            // It answers: what keeps haad out does not keep the clients out.
            Server::Refusing(_) => return None,
            Server::Stopped(_) | Server::Standby(_) => {
                return Some(Role::close(Reason::PostgresDied));
            }
            Server::Starting | Server::Silent => {
                return self.silent(now, term, (to_tell, silent_since));
            }
        };
        if silent_since.is_some() {
            return Some((Role::Primary { term, to_tell, silent_since: None }, Reason::Resumed));
        }
        let hangs = primary.flush.waiting_ms.map(Millis);
        let hangs = hangs.filter(|_| !self.is_paused());
        if hangs.is_some_and(|waits| waits >= timing.stall_timeout) {
            return Some(Role::close(Reason::DiskHangs));
        }
        let open = self.keep_door(now, proof, primary);
        self.keep_slots(now, (term, primary), open);
        if self.failsafe.runs() {
            self.reclaim(now, primary, term);
            return None;
        }
        if self.challenged().is_some() {
            self.renew(now, primary);
            if !self.off.is(Mechanism::StandStill) {
                return None;
            }
        }
        // Whoever is added meanwhile was not asked whether we may go on.
        let stays = !open && self.opens_soon(now) || self.rests_on_consent(now);
        if !stays && self.keep_voters(now, proof, primary) {
            self.keep_list(now, term, primary);
        }
        if !open {
            return None;
        }
        if self.belief.newcomer(now) {
            self.desk.look(now, Millis(100));
        }
        if to_tell.is_some() {
            self.inherited_requests(term);
            self.tell_history(now, term, to_tell, primary);
        } else {
            self.end_history(now, term, primary);
        }
        self.makes_way(now).or_else(|| self.requests(now, term, primary))
    }

    /// A Postgres that answers nothing is borne for `stall_timeout`, then counts as dead. So does one that
    /// nobody has looked at for as long: after a pause of this agent, a look comes first.
    fn silent(
        &mut self,
        now: Millis,
        term: Term,
        (to_tell, silent_since): (Option<Millis>, Option<Millis>),
    ) -> Option<(Role, Reason)> {
        let Some(since) = silent_since else {
            let role = Role::Primary { term, to_tell, silent_since: Some(now) };
            return Some((role, Reason::PostgresSilent));
        };
        let timing = self.belief.settings().timing;
        let until = since.after(timing.stall_timeout);
        self.desk.wake_at(until);
        let deaf = self.belief.facts.as_ref().is_some_and(|facts| facts.is_deaf(timing));
        // Nobody would take over.
        ((now >= until || deaf) && !self.is_paused()).then(|| Role::close(Reason::PostgresSilent))
    }
}
