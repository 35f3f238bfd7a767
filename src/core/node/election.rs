//! Nobody leads: who stands, and when. The best at once, the others a stagger later each.

use crate::effect::Job;
use crate::observe::{PostgresFacts, Standby};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Ask, Holder, Kept, Key, Record, RequestState, TermRecord};
use crate::units::{MemberName, Millis, Timeline};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::Role;
use super::waits::Waits;

/// The longest pause between two attempts of one member to take over.
const LAST_ATTEMPT: Millis = Millis(30_000);

/// What the last term says about when to stand.
enum Turn {
    /// We are the candidate already.
    Ours(crate::units::Token),
    /// Another attempt is young: help it.
    Help { until: Millis },
    /// Somebody was named, and we are it, from this instant on.
    Named { covered: bool },
    /// Wait until then.
    Wait { until: Millis, why: Waits },
    /// Whoever is best, counting from then.
    Best { from: Millis },
}

/// What an operator asked for while nobody leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// Nothing.
    None,
    /// Whoever is best, however far behind.
    Best,
    /// This member.
    Us,
    /// Another one.
    Other(&'a MemberName),
}

impl Node {
    pub(super) fn election(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        standby: &Standby,
    ) -> Option<(Role, Reason)> {
        let led = self.belief.view.as_ref()?.leader.is_some();
        let quorum = self.belief.quorum().is_some();
        // Whoever was frozen looks first: somebody may have promoted its Postgres meanwhile.
        if facts.is_stale(now, self.belief.settings().timing) {
            return None;
        }
        if self.straightens(now, facts, (standby, None)) {
            return None;
        }
        // A promise may come amid other work: nothing is told of it before it was followed by detaching.
        self.answer_call(now);
        // Detaching and standing go side by side: where our WAL ends counts later, once it has come to an end.
        let detaches =
            quorum && matches!(self.desk.slot().map(|slot| &slot.job), Some(Job::Detach(_)));
        if led && !quorum || !(detaches || self.desk.settled(facts)) {
            return None;
        }
        self.give_up_voters(now);
        let bound = self.detach_if_bound(now, standby);
        self.detach_from_the_gone(now, standby);
        let Some(from) = self.opens_at(now, led) else {
            self.waits = Some(self.why_not_yet(now));
            return None;
        };
        match self.named_by_operator(now, self.turn(now, from, standby)) {
            Turn::Ours(token) if self.may_lead(now) => {
                let silent = self.belief.sitting().map(|(name, _)| self.belief.heard_at(name));
                self.chronicle.stood(now, silent.unwrap_or(from), from);
                return Some((Role::Candidate { token, since: now }, self.why()));
            }
            Turn::Help { until } => {
                self.waits = Some(Waits::Another);
                self.desk.wake_at(until);
                if !standby.detached && !quorum && !bound && self.may_try(now) {
                    self.desk.job(Job::Detach(None));
                }
            }
            Turn::Wait { until, why } => {
                self.waits = Some(why);
                self.desk.wake_at(until);
            }
            Turn::Named { covered: true } => self.stand(now, standby),
            Turn::Best { from } if self.may_lead(now) && self.within_reach(standby) => {
                if let Some(until) = self.gathers(now, from) {
                    self.waits = Some(Waits::Gathering);
                    self.desk.wake_at(until);
                    return None;
                }
                let tags = &self.config.tags;
                let before = self.belief.better_candidates(now, standby.position, tags);
                let at = from.after(self.belief.settings().timing.stagger.times(before));
                if now >= at {
                    self.stand(now, standby);
                } else {
                    self.desk.wake_at(at);
                }
            }
            Turn::Named { covered: false } => {
                self.waits = Some(Waits::NotThereYet);
                self.desk.look(now, Millis(20));
            }
            Turn::Ours(_) | Turn::Best { .. } => {
                self.waits = self.bar(now).or(Some(Waits::TooFarBehind));
            }
        }
        None
    }

    /// Since when there may be an election: nobody leads, or enough voters lost the leader.
    fn opens_at(&mut self, now: Millis, led: bool) -> Option<Millis> {
        // An attempt of ours that the store shows has begun already: what keeps from the next does not end it.
        let holder = self.belief.term_key().map(|kept| &kept.value.holder);
        let ours =
            matches!(holder, Some(Holder::Candidate { member, .. }) if *member == self.config.name);
        if self.is_paused() && !ours {
            return None;
        }
        if !led || ours {
            return Some(self.belief.leaderless_since.unwrap_or(now));
        }
        let from = self.may_take_over(now)?;
        let (not_before, _) = self.attempts;
        if now < not_before {
            self.desk.wake_at(not_before);
            return None;
        }
        Some(from.max(not_before))
    }

    /// An operator's failover goes over `maximum_lag_on_failover`.
    fn within_reach(&self, standby: &Standby) -> bool {
        match self.wish() {
            Wish::Best | Wish::Us => true,
            Wish::None | Wish::Other(_) => self.belief.close_enough(standby.position),
        }
    }

    /// When all were lost, the first to be back may be far behind: without a word of the last primary's end,
    /// everybody who may stand is heard first, within bounds.
    fn gathers(&self, now: Millis, from: Millis) -> Option<Millis> {
        let until = from.after(self.belief.settings().timing.gather_timeout);
        let asked = self.wish() != Wish::None || self.belief.quorum().is_some();
        let asked = asked || self.belief.site().is_some() || self.off.is(Mechanism::Gathering);
        let known = asked || self.belief.last_end().is_some() || self.belief.end_is_told(now);
        (!known && now < until).then_some(until)
    }

    fn turn(&self, now: Millis, from: Millis, standby: &Standby) -> Turn {
        let timing = self.belief.settings().timing;
        let Some(kept) = self.belief.term_key() else { return Turn::Best { from } };
        let (_, seen_at) = self.belief.term_seen;
        match &kept.value.holder {
            Holder::Candidate { member, token } if *member == self.config.name => {
                Turn::Ours(*token)
            }
            Holder::Candidate { .. } => {
                let stale = seen_at.after(timing.attempt_timeout);
                if now < stale { Turn::Help { until: stale } } else { Turn::Best { from: stale } }
            }
            Holder::Released { member, checkpoint, successor } => {
                let until = seen_at.after(timing.successor_timeout);
                match successor {
                    Some(name) if *name == self.config.name => {
                        let covered = checkpoint.is_none_or(|at| standby.position > at)
                            || self.off.is(Mechanism::Cover);
                        Turn::Named { covered: covered || now >= until }
                    }
                    Some(name) if now < until && self.belief.member(name).is_some() => {
                        Turn::Wait { until, why: Waits::Another }
                    }
                    Some(_) | None if kept.value.reason == Reason::PostgresDied => {
                        self.after_own_death(now, member)
                    }
                    Some(_) | None => Turn::Best { from },
                }
            }
            Holder::Leader { member, .. } => self.after_a_loss(now, from, &member.clone()),
        }
    }

    /// Whom an operator named in a failover goes before whoever is best, as long as it is there and does it.
    fn named_by_operator(&self, now: Millis, turn: Turn) -> Turn {
        let Turn::Best { from } = turn else { return turn };
        let until = from.after(self.belief.settings().timing.successor_timeout);
        match self.wish() {
            Wish::Us => Turn::Named { covered: true },
            Wish::Other(name) if now < until && self.belief.member(name).is_some() => {
                Turn::Wait { until, why: Waits::Another }
            }
            Wish::Other(_) | Wish::Best | Wish::None => turn,
        }
    }

    /// If it was our Postgres that died, whoever else is fit goes first: it is ready, and ours may die again.
    fn after_own_death(&self, now: Millis, dead: &MemberName) -> Turn {
        let until = self.belief.term_seen.1.after(self.belief.settings().timing.attempt_timeout);
        if *dead == self.config.name && now < until && self.belief.any_candidate(now) {
            return Turn::Wait { until, why: Waits::Another };
        }
        Turn::Best { from: self.belief.leaderless_since.unwrap_or(now) }
    }

    /// A leader's key vanished without a release. Where etcd may have revoked its lease early, it may not know
    /// and write on for one ttl - unless it says itself that its Postgres is closed.
    fn after_a_loss(&self, now: Millis, from: Millis, lost: &MemberName) -> Turn {
        // Whoever was away may have missed that leadership, and seen no leader for long.
        let from = from.max(self.belief.term_seen.1);
        let closed = *lost == self.config.name || self.belief.has_closed(now, lost);
        let until = from.after(self.belief.settings().timing.ttl);
        let until = until.max(self.belief.longer_leases_until);
        let mourns = self.belief.store_revokes_early && self.belief.quorum().is_none();
        let mourns = mourns && !self.off.is(Mechanism::Mourning);
        if mourns && !closed && now < until {
            return Turn::Wait { until, why: Waits::LastLeaderMayWrite };
        }
        Turn::Best { from }
    }

    /// What an operator wishes in a failover that is not done yet.
    pub(super) fn wish(&self) -> Wish<'_> {
        let requests = self.belief.view.iter().flat_map(|view| view.requests.values());
        let mut wishes = requests.filter_map(|kept| match (&kept.value.ask, &kept.value.state) {
            (Ask::Failover { to: None, .. }, RequestState::Pending) => Some(Wish::Best),
            (Ask::Failover { to: Some(to), .. }, RequestState::Pending) => {
                Some(if *to == self.config.name { Wish::Us } else { Wish::Other(to) })
            }
            _ => None,
        });
        wishes.next().unwrap_or(Wish::None)
    }

    /// Why there is an election, for the record.
    fn why(&self) -> Reason {
        match self.wish() {
            Wish::Best | Wish::Us => return Reason::Failover,
            Wish::None | Wish::Other(_) => {}
        }
        let led = self.belief.view.as_ref().is_some_and(|view| view.leader.is_some());
        match self.belief.term_key().map(|kept| &kept.value) {
            None => Reason::Bootstrap,
            Some(TermRecord { holder: Holder::Leader { .. }, .. }) if led => Reason::TakenOver,
            Some(TermRecord { holder: Holder::Candidate { .. }, reason, .. }) => *reason,
            Some(TermRecord { holder: Holder::Leader { .. }, .. }) => Reason::LeaderLost,
            Some(TermRecord { holder: Holder::Released { .. }, reason, .. }) => *reason,
        }
    }

    /// Move `term` to ourselves. Its new revision is the fencing token of this attempt.
    fn stand(&mut self, now: Millis, standby: &Standby) {
        if !self.may_lead(now) || self.desk.waits_for(&Purpose::Term) {
            return;
        }
        let last = self.belief.term_key().cloned();
        let token = self.desk.token();
        let record = TermRecord {
            term: last.as_ref().map_or(self.belief.term, |kept| kept.value.term).next(),
            reserved: last.as_ref().map_or(Timeline(0), |kept| kept.value.reserved),
            holder: Holder::Candidate { member: self.config.name.clone(), token },
            reason: self.why(),
        };
        self.propose(last.as_ref(), record);
        if self.belief.sitting().is_some() {
            let (_, wait) = self.attempts;
            self.attempts = (now.after(wait), wait.times(2).min(LAST_ATTEMPT));
        }
        let detach = self.belief.quorum().is_none() && !self.off.is(Mechanism::Detach);
        if !standby.detached && detach {
            self.desk.job(Job::Detach(None));
        }
    }

    pub(super) fn propose(&mut self, last: Option<&Kept<TermRecord>>, record: TermRecord) {
        let leader = match self.belief.quorum() {
            Some(_) => seen(self.belief.view.as_ref().and_then(|view| view.leader.as_ref())),
            None => crate::units::Revision::ABSENT,
        };
        let compare = vec![(Key::Term, seen(last)), (Key::Leader, leader)];
        self.desk.txn(Purpose::Term, compare, Change::default().put(Record::Term(record)));
    }
}
