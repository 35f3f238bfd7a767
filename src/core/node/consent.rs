//! A member's side of an outage of etcd: it lets the primary go on, and is bound by that. On disk before it is said;
//! the primary's side is `failsafe`. Never says yes while it reaches etcd.

use crate::off::Mechanism;
use crate::records::Holder;
use crate::units::Millis;
use crate::voters::Question;

use super::Node;
use super::desk::Purpose;
use super::role::Role;

impl Node {
    /// We cannot reach etcd: our last question to it was not answered; or we are new and have seen nothing of it.
    pub(super) fn is_blind(&self, now: Millis) -> bool {
        if self.off.is(Mechanism::Blindness) && self.belief.quorum().is_some() {
            return true;
        }
        let new = self
            .born_at
            .is_none_or(|born| now.since(born) < self.belief.settings().timing.suspect_after);
        self.belief.store_is_silent || self.belief.view.is_none() && !new
    }

    /// Say yes to a primary that asks, if we may; let go of what is over.
    pub(super) fn keep_consent(&mut self, now: Millis) {
        self.promised.count_anew(self.born_at.unwrap_or(now));
        if let Some((question, until)) = self.promised.consent() {
            if now >= until || self.is_over(question) {
                self.promised.consent_ends();
            } else {
                self.desk.wake_at(until);
            }
        }
        let asks = self.belief.peers.keys();
        let asks = asks.filter_map(|name| self.belief.heard(now, name)?.question.as_ref());
        let Some(asked) = asks.max_by_key(|asked| asked.term).cloned() else { return };
        if self.may_consent(now, &asked) {
            self.promised.consents_to(asked, now);
        }
    }

    /// The leadership that we let go on has ended in the store's eyes: another began, or it was let go of.
    fn is_over(&self, question: &Question) -> bool {
        let Some(view) = self.belief.view.as_ref() else { return false };
        let later = view.leader.as_ref().is_some_and(|kept| kept.value.term > question.term);
        let released = view.term.as_ref().is_some_and(|kept| {
            let released = matches!(kept.value.holder, Holder::Released { .. });
            released && kept.value.term >= question.term
        });
        later || released
    }

    fn may_consent(&self, now: Millis, asked: &Question) -> bool {
        let newer = self.promised.consent().is_none_or(|(last, _)| {
            (last.term, last.run) != (asked.term, asked.run) || asked.number > last.number
        });
        let free = match self.role {
            Role::Waking | Role::Replica => self.belief.primary().is_none(),
            Role::Candidate { .. }
            | Role::Promoting { .. }
            | Role::Primary { .. }
            | Role::StandbyLeader { .. }
            | Role::Closing(_)
            | Role::Refused(_) => false,
        };
        let known = self.belief.term.max(self.promised.highest());
        let quorum = self.belief.view.is_none() || self.belief.quorum().is_some();
        // An attempt of ours may be on its way.
        let stands = self.desk.waits_for(&Purpose::Term);
        newer && free && quorum && asked.term >= known && !stands && self.is_blind(now)
    }

    /// The primary that we let go on: while it may, we neither stand nor grant.
    pub(super) fn consented(&self, now: Millis) -> Option<&Question> {
        let (question, until) = self.promised.consent()?;
        let binds = now < until && !self.off.is(Mechanism::ConsentBinds);
        (binds && !self.is_over(question)).then_some(question)
    }

    /// The newest yes that is on our disk and binds us.
    pub(super) fn failsafe_answer(&self, now: Millis) -> Option<Question> {
        let (_, until) = self.promised.consent()?;
        self.promised.kept_consent().filter(|_| now < until).cloned()
    }

    /// Until when the leader that we know of leads on our word.
    pub(super) fn vouched(&self, now: Millis) -> Option<Millis> {
        let question = self.consented(now)?;
        let (leader, term) = self.belief.sitting()?;
        let (_, until) = self.promised.consent()?;
        (*leader == question.leader && term == question.term).then_some(until)
    }
}
