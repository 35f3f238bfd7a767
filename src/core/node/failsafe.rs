//! The primary's side of an outage of etcd: it asks every member to let it go on, and counts their answers. Never
//! changes `sync` meanwhile; the members' side is `consent`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::lease::{Consent, Leadership};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::Holder;
use crate::units::{MemberName, Millis, Term};
use crate::voters::Question;

use super::Node;
use super::role::Role;

/// What a primary remembers of its questions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failsafe {
    /// The leadership that they are about.
    term: Term,
    /// Those that an answer may still be about.
    asked: BTreeMap<u64, Asked>,
    /// The last one's; counts through the whole run.
    last: u64,
    /// The lease has run out, and we go on.
    running: Running,
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    at: Millis,
    /// The promise that was asked for.
    ttl: Millis,
    /// What it is worth once all have answered.
    worth: Consent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Running {
    #[default]
    No,
    Yes,
}

impl Failsafe {
    /// The lease has run out, and we go on by the consent of all.
    pub(super) fn runs(&self) -> bool {
        self.running == Running::Yes
    }

    /// A lease proves our leadership again.
    pub(super) const fn ends(&mut self) {
        self.running = Running::No;
    }

    /// Until when an answer to one of our questions may bind somebody, who counts from when it came.
    pub(super) fn binds_until(&self) -> Millis {
        let ends = self.asked.values().map(|asked| asked.at.after(asked.ttl.times(2)));
        ends.max().unwrap_or_default()
    }

    fn forget(&mut self, term: Term) {
        *self = Self { term, last: self.last, ..Self::default() };
    }
}

impl Node {
    /// A primary that etcd does not answer asks every member, once a round, and counts the answers.
    pub(super) fn ask_everybody(&mut self, now: Millis) {
        let term = match self.role {
            Role::Primary { term, .. } => term,
            // What it has lasts until it is closed.
            Role::Closing(_) => return,
            Role::Waking
            | Role::Replica
            | Role::Candidate { .. }
            | Role::Promoting { .. }
            | Role::StandbyLeader { .. }
            | Role::Refused(_) => {
                self.belief.consent = None;
                return self.failsafe.forget(Term(0));
            }
        };
        if self.failsafe.term != term {
            self.belief.consent = None;
            self.failsafe.forget(term);
        }
        self.failsafe.asked.retain(|_, asked| now < asked.worth.until);
        if self.may_ask(now, term) {
            let spans = self.belief.spans();
            let last = self.failsafe.asked.last_key_value();
            let due = last.map_or(now, |(_, asked)| asked.at.after(spans.round));
            if now >= due {
                self.failsafe.last += 1;
                let worth = Consent::to(term, now, spans);
                let asked = Asked { at: now, ttl: spans.ttl, worth };
                self.failsafe.asked.insert(self.failsafe.last, asked);
            } else {
                self.desk.wake_at(due);
            }
        }
        self.count_answers(term);
        self.drop_consent(now);
    }

    /// Whether to ask: etcd answers nobody whom we would ask, and we lead unchallenged as far as anybody knows.
    fn may_ask(&self, now: Millis, term: Term) -> bool {
        let holder = self.belief.term_key().map(|kept| (&kept.value.holder, kept.value.term));
        let unchallenged = matches!(holder, Some((Holder::Leader { .. }, of)) if of == term);
        let ours = self.belief.own_leader_key().is_some_and(|key| key.value.term == term);
        let ours = ours || self.belief.is_unclaimed(term);
        let wanted = self.belief.settings().failsafe && self.belief.quorum().is_some();
        wanted && ours && unchallenged && self.is_blind(now) && self.others_are_blind(now)
    }

    fn others_are_blind(&self, now: Millis) -> bool {
        let blind = |name: &MemberName| self.belief.heard(now, name).is_some_and(|b| b.blind);
        let members = self.asked();
        if self.off.is(Mechanism::ConsentOfAll) {
            members.iter().any(blind)
        } else {
            members.iter().all(blind)
        }
    }

    /// Whose consent is needed: everybody on the list and every voter. While a write of `sync` of ours may be on its
    /// way, everybody whom we ever heard: it may have made a voter of somebody.
    fn asked(&self) -> BTreeSet<MemberName> {
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let listed = sync
            .into_iter()
            .flat_map(|sync| sync.value.members.keys().chain(sync.value.voters.keys()));
        let known = self.belief.peers.keys().filter(|_| !self.is_affirmed());
        let all = listed.chain(known);
        all.filter(|name| **name != self.config.name).cloned().collect()
    }

    /// Consent counts from the oldest question that somebody's newest answer is about.
    fn count_answers(&mut self, term: Term) {
        let Some(newest) = self.failsafe.asked.last_key_value().map(|(number, _)| *number) else {
            return;
        };
        let answered = |name: &MemberName| {
            let (_, beat) = self.belief.peers.get(name)?;
            let said = beat.consents.as_ref().filter(|said| said.leader == self.config.name)?;
            if self.off.is(Mechanism::ConsentOfQuestion) {
                return Some(newest);
            }
            (said.run == self.config.seed && said.term == term).then_some(said.number)
        };
        let members = self.asked();
        let all = if self.off.is(Mechanism::ConsentOfAll) {
            members.iter().filter_map(answered).max()
        } else {
            members.iter().map(answered).try_fold(newest, |least, said| Some(least.min(said?)))
        };
        let consent = all.and_then(|number| self.failsafe.asked.get(&number));
        let consent = consent.map(|asked| asked.worth);
        let known = self.belief.consent.map(|known| known.until);
        if consent.is_some_and(|consent| Some(consent.until) > known) {
            self.belief.consent = consent;
        }
    }

    /// A lease that lasts longer makes it needless.
    fn drop_consent(&mut self, now: Millis) {
        if !self.belief.store_is_silent && !self.rests_on_consent(now) {
            self.belief.consent = None;
            self.failsafe.asked.clear();
        }
    }

    /// Our leadership rests on consent, and would end sooner by the lease.
    pub(super) fn rests_on_consent(&self, now: Millis) -> bool {
        let by_lease = self.belief.leadership_by_lease(now).map(Leadership::until);
        let until = self.belief.leadership(now).map(Leadership::until);
        until > by_lease
    }

    /// Whether going on without etcd has begun, or ended, at this instant: that is told.
    pub(super) fn failsafe_changes(&mut self, now: Millis) -> Option<Reason> {
        let lease = self.belief.leadership_by_lease(now).is_some();
        match (self.failsafe.running, lease) {
            (Running::No, false) => {
                self.failsafe.running = Running::Yes;
                Some(Reason::Failsafe)
            }
            (Running::Yes, true) => {
                self.failsafe.running = Running::No;
                Some(Reason::StoreIsBack)
            }
            (Running::No, true) | (Running::Yes, false) => None,
        }
    }

    /// What we ask at this instant: a question that no other has followed in time binds nobody any more.
    pub(super) fn failsafe_question(&self, now: Millis) -> Option<Question> {
        let round = self.belief.settings().timing.round;
        let newest = self.failsafe.asked.last_key_value();
        let (number, asked) = newest.filter(|(_, asked)| now.since(asked.at) <= round)?;
        let Role::Primary { term, .. } = self.role else { return None };
        Some(Question {
            leader: self.config.name.clone(),
            term,
            run: self.config.seed,
            number: *number,
            ttl: asked.ttl,
        })
    }
}
