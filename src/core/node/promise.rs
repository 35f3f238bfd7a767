//! What outlives the agent: the attempt that was granted, the highest term and version seen. On disk before anybody
//! is told (I5). Never decides who stands.

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Job};
use crate::observe::Standby;
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Holder, Kept, TermRecord};
use crate::units::{Millis, Term};
use crate::voters::{Attempt, Grant, Promises, Question};

use super::Node;

/// A disk that has not taken a promise by then is asked again.
const AGAIN: Millis = Millis(1_000);

/// What is to be on disk, and what is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promised {
    wanted: Promises,
    kept: Promises,
    asked_at: Option<Millis>,
    /// Until when we are bound to the primary that we let go on.
    consents_until: Option<Millis>,
}

impl Promised {
    /// As an earlier run left it.
    pub(super) fn found(kept: Promises) -> Self {
        Self { wanted: kept.clone(), kept, asked_at: None, consents_until: None }
    }

    /// This is on our disk.
    pub(super) fn learn(&mut self, kept: &Promises) {
        self.kept = kept.clone();
        self.asked_at = None;
    }

    fn keeps(&self, attempt: &Attempt) -> bool {
        self.kept.grant.as_ref() == Some(attempt)
    }

    fn granted(&self) -> Term {
        self.wanted.grant.as_ref().map_or(Term(0), |attempt| attempt.term)
    }

    /// The highest term that we know of.
    pub(super) fn highest(&self) -> Term {
        self.wanted.term.max(self.granted())
    }

    /// The consent that runs, and until when.
    pub(super) fn consent(&self) -> Option<(&Question, Millis)> {
        Some((self.wanted.failsafe.as_ref()?, self.consents_until?))
    }

    /// The newest consent that is on our disk.
    pub(super) const fn kept_consent(&self) -> Option<&Question> {
        self.kept.failsafe.as_ref()
    }

    /// An earlier run left a consent; nobody knows how much of it is over.
    pub(super) fn count_anew(&mut self, from: Millis) {
        if self.consents_until.is_none() {
            self.consents_until = self.wanted.failsafe.as_ref().map(|asked| from.after(asked.ttl));
        }
    }

    /// We are bound to the primary that asks this for its `ttl` from now on.
    pub(super) fn consents_to(&mut self, question: Question, now: Millis) {
        self.consents_until = self.consents_until.max(Some(now.after(question.ttl)));
        self.wanted.failsafe = Some(question);
        self.asked_at = None;
    }

    /// What we consented to is over.
    pub(super) fn consent_ends(&mut self) {
        self.wanted.failsafe = None;
        self.consents_until = None;
    }
}

impl Node {
    /// Whatever is to outlive us goes to the disk; asked again while it does not get there.
    pub(super) fn keep_promises(&mut self, now: Millis) {
        // In `async` nobody promises anything.
        let consents = self.promised.wanted.failsafe != self.promised.kept.failsafe;
        if self.belief.quorum().is_none() && !consents {
            return;
        }
        if let Some(view) = &self.belief.view {
            let term = view.term.as_ref().map_or(Term(0), |kept| kept.value.term);
            let version = view.sync.as_ref().map_or(0, |kept| kept.value.version);
            let wanted = &mut self.promised.wanted;
            wanted.term = wanted.term.max(term);
            wanted.sync_version = wanted.sync_version.max(version);
        }
        if self.off.is(Mechanism::DurableGrant) {
            self.promised.kept = self.promised.wanted.clone();
        }
        if self.off.is(Mechanism::DurableConsent) {
            self.promised.kept.failsafe = self.promised.wanted.failsafe.clone();
        }
        if self.promised.wanted == self.promised.kept {
            return;
        }
        let urgent = self.promised.wanted.grant != self.promised.kept.grant || consents;
        let due = self.promised.asked_at.is_none_or(|at| now.since(at) >= AGAIN);
        if due {
            self.promised.asked_at = Some(now);
            self.desk.wish(Effect::Promise(self.promised.wanted.clone()));
        }
        if urgent {
            self.desk.wake_at(now.after(AGAIN));
        }
    }

    /// The attempt that we are bound to: we attach to nobody until `term` has moved past it, or its candidate or a
    /// later one leads, or has led. These are facts that no later view takes back, so any view shows them.
    pub(super) fn bound(&self) -> Option<&Attempt> {
        let attempt = self.promised.wanted.grant.as_ref()?;
        if self.off.is(Mechanism::GrantBinds) {
            return None;
        }
        let view = self.belief.view.as_ref();
        let term = view.and_then(|view| view.term.as_ref()).map(|kept| &kept.value);
        let leads = view.and_then(|view| view.leader.as_ref()).map(|kept| kept.value.term);
        let past = term.is_some_and(|record| match record.holder {
            Holder::Candidate { .. } => record.term > attempt.term,
            Holder::Leader { .. } | Holder::Released { .. } => record.term >= attempt.term,
        });
        (!past && leads.is_none_or(|term| term < attempt.term)).then_some(attempt)
    }

    /// Etcd shows less than our own disk: what it says of voters and terms is not believed.
    pub(super) fn store_is_behind(&self) -> bool {
        let Some(view) = &self.belief.view else { return false };
        let term = view.term.as_ref().map_or(Term(0), |kept| kept.value.term);
        let version = view.sync.as_ref().map_or(0, |kept| kept.value.version);
        let known = &self.promised.wanted;
        let behind = term < known.term || version < known.sync_version;
        behind && !self.off.is(Mechanism::WentBack)
    }

    /// Somebody stands: the attempt, from `term` or from the candidate itself, if it reached us first.
    fn call(&self, now: Millis) -> Option<Attempt> {
        let seen = self.belief.term_key().and_then(Kept::attempt);
        let heard = self.belief.peers.keys();
        let heard = heard.filter_map(|name| self.belief.heard(now, name)?.asks.clone());
        heard.chain(seen).max_by_key(|attempt| attempt.term)
    }

    fn is_voter(&self) -> bool {
        self.belief.quorum().is_some() && self.belief.listed(&self.config.name)
    }

    /// A voter grants whoever stands first in a term, if it knows no higher one.
    pub(super) fn answer_call(&mut self, now: Millis) {
        let Some(call) = self.call(now) else { return };
        let newer = call.term > self.promised.granted() && call.term >= self.belief.term;
        let free = self.consented(now).is_none();
        if self.is_voter() && newer && free && !self.store_is_behind() {
            self.promise(call);
        }
    }

    /// We are bound to this attempt from now on.
    pub(super) fn promise(&mut self, attempt: Attempt) {
        if self.promised.wanted.grant.as_ref() != Some(&attempt) {
            self.promised.wanted.grant = Some(attempt);
            self.promised.asked_at = None;
        }
    }

    /// Whoever is bound receives from nobody. The promise is on its way to the disk meanwhile: only both are a grant.
    pub(super) fn detach_if_bound(&mut self, now: Millis, standby: &Standby) -> bool {
        if self.bound().is_none() {
            return false;
        }
        let off = self.off.is(Mechanism::Detach);
        if !standby.detached && !off && self.may_try(now) {
            self.desk.job(Job::Detach(None));
        }
        true
    }

    /// A leader that let go has told us so. Where its Postgres is dead, or we have all that it left, nothing more comes
    /// from there, and whoever stands will ask.
    pub(super) fn detach_from_the_gone(&mut self, now: Millis, standby: &Standby) {
        let Some(TermRecord {
            holder: Holder::Released { checkpoint, successor, .. }, reason, ..
        }) = self.belief.term_key().map(|kept| &kept.value)
        else {
            return;
        };
        let has_all = checkpoint.is_some_and(|at| standby.position > at);
        let over = *reason == Reason::PostgresDied || has_all;
        let next = match successor {
            Some(name) => *name == self.config.name,
            None => {
                let tags = &self.config.tags;
                self.belief.better_candidates(now, standby.position, tags) == 0
            }
        };
        let off = self.off.is(Mechanism::Detach) || self.is_paused();
        if over && self.is_voter() && !standby.detached && !off && self.may_try(now) {
            if next && self.may_lead(now) {
                self.detach_to_lead(now);
            } else {
                self.desk.job(Job::Detach(None));
            }
        }
    }

    /// What we grant: promised on disk, and detached.
    pub(super) fn grant(&self) -> Option<Grant> {
        let attempt = self.bound().filter(|attempt| self.promised.keeps(attempt))?;
        self.belief.facts.as_ref().filter(|facts| self.desk.settled(facts))?;
        let standby = self.belief.standby()?;
        let (_, incarnation) = self.belief.data()?;
        let exact = standby.detached || self.off.is(Mechanism::Detach);
        let position = standby.position;
        exact.then(|| Grant { attempt: attempt.clone(), incarnation, position })
    }
}

impl Kept<TermRecord> {
    /// The attempt that this record is, if it is one.
    pub(super) fn attempt(&self) -> Option<Attempt> {
        match &self.value.holder {
            Holder::Candidate { member, token } => Some(Attempt {
                candidate: member.clone(),
                term: self.value.term,
                revision: self.revision,
                token: *token,
            }),
            Holder::Leader { .. } | Holder::Released { .. } => None,
        }
    }
}
