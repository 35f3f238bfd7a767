//! The candidate: detached, it hears where the others' WAL ends, then asks for the leadership in one transaction.

use std::collections::BTreeMap;

use crate::line::Line;
use crate::observe::Standby;
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Holder, Kept, Key, LeaderRecord, Record, SyncRecord, TermRecord};
use crate::settings::Durability;
use crate::units::{MemberName, Millis, Revision, Term, Timeline, Token};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::Role;

impl Node {
    pub(super) fn candidate(
        &mut self,
        now: Millis,
        token: Token,
        since: Millis,
    ) -> Option<(Role, Reason)> {
        // A candidate's is a standby. This one somebody promoted by hand, and it may be long until an answer comes.
        let borne = self.off.is(Mechanism::OpenWithoutLeadership);
        if self.belief.primary().is_some() && !borne {
            return Some(Role::close(Reason::OpenWithoutLeadership));
        }
        if let Some(timeline) = self.elected(token) {
            if let Some((term, _)) = self.belief.standing(now).filter(|_| self.stays_standby()) {
                return Some((Role::StandbyLeader { term, silent_since: None }, Reason::Elected));
            }
            // The watch may show it before the answer or a read confirms it: only then it is proven.
            let term = self.belief.leadership_of_key(now)?.term();
            self.chronicle.elected(now);
            let role = Role::Promoting { term, timeline, since: now, stood_at: since };
            return Some((role, Reason::Elected));
        }
        let attempt = self.belief.term_key().filter(|kept| kept.value.is_candidacy(token)).cloned();
        let leader = self.belief.view.as_ref().and_then(|view| view.leader.as_ref()).is_some();
        // With voters, the lease of the old leader does not matter: without them it acknowledges nothing.
        let leader = leader && self.belief.quorum().is_none();
        let (Some(attempt), false, true) = (attempt, leader, self.may_lead(now)) else {
            return Some((Role::Replica, Reason::OutRun));
        };
        let Some(standby) = self.belief.standby().cloned() else {
            return Some((Role::Replica, Reason::PostgresDied));
        };
        let settled = self.belief.facts.as_ref().is_some_and(|facts| self.desk.settled(facts));
        if !settled || self.desk.waits_for(&Purpose::Term) {
            return None;
        }
        if let (Some(_), Some(ours)) = (self.belief.quorum(), attempt.attempt()) {
            // Our own grant is like any other: on disk, and detached.
            self.promise(ours);
        }
        if !standby.detached && !self.off.is(Mechanism::Detach) {
            self.detach_to_lead(now);
            return None;
        }
        if self.belief.quorum().is_some() {
            self.give_up_voters(now);
            return self.ballot(now, &attempt, token, &standby);
        }
        let patience = since.after(self.belief.settings().timing.report_timeout);
        if now < patience && self.belief.reports_missing(now) {
            self.desk.wake_at(patience);
            return None;
        }
        match self.belief.further_ahead(now, standby.position) {
            Some(better) => {
                self.pass_on(&attempt, better);
                Some((Role::Replica, Reason::HandedOver))
            }
            None => {
                self.ask_for_leadership(now, &attempt, token, &standby);
                None
            }
        }
    }

    /// The leader transaction was accepted: `leader` names us in the term of our attempt.
    fn elected(&self, token: Token) -> Option<Timeline> {
        let key = self.belief.own_leader_key()?;
        let record = &self.belief.term_key()?.value;
        let Holder::Leader { token: of, timeline, .. } = &record.holder else { return None };
        let ours = *of == token && record.term == key.value.term;
        ours.then_some(*timeline)
    }

    /// Move the attempt, in a new term, to a member that has more WAL.
    pub(super) fn pass_on(&mut self, attempt: &Kept<TermRecord>, better: MemberName) {
        let record = TermRecord {
            term: attempt.value.term.next(),
            holder: Holder::Candidate { member: better, token: self.desk.token() },
            ..attempt.value.clone()
        };
        self.propose(Some(attempt), record);
    }

    /// One transaction makes a leader: conditioned on our own attempt, on `sync` as we read it, and on nobody leading.
    pub(super) fn ask_for_leadership(
        &mut self,
        now: Millis,
        attempt: &Kept<TermRecord>,
        token: Token,
        standby: &Standby,
    ) {
        let considered = self.considered(now, standby.position);
        self.chronicle.granted(now, considered);
        let (Some(lease), Some(view)) = (self.belief.lease, self.belief.view.as_ref()) else {
            return;
        };
        let member = self.config.name.clone();
        let instance = self.config.instance;
        let term = attempt.value.term;
        // A standby cluster's timelines are the other cluster's: nothing is reserved, and nothing forks.
        let line = standby.line();
        let (timeline, reserved, line) = if self.stays_standby() {
            (standby.position.timeline, attempt.value.reserved, line)
        } else {
            let next = self.belief.free_timeline();
            (next, next, line.fork(standby.position.lsn, next))
        };
        let record = TermRecord {
            term,
            reserved,
            holder: Holder::Leader {
                member: member.clone(),
                token,
                timeline,
                position: standby.position,
            },
            reason: attempt.value.reason,
        };
        let mut compare = vec![(Key::Term, attempt.revision)];
        if !self.off.is(Mechanism::SyncInLeadership) {
            compare.push((Key::Sync, seen(view.sync.as_ref())));
        }
        if self.belief.quorum().is_none() {
            compare.push((Key::Leader, Revision::ABSENT));
        }
        let sync = self.sync_under(term, line, view.sync.as_ref().map(|kept| &kept.value));
        let change = Change::default()
            .put(Record::Term(record))
            .put_on(lease.id, Record::Leader(LeaderRecord { member, term, instance }))
            .put(Record::Sync(sync));
        self.desk.txn(Purpose::Term, compare, change);
    }

    /// `sync` as it was, with ourselves as the primary.
    fn sync_under(&self, term: Term, line: Line, last: Option<&SyncRecord>) -> SyncRecord {
        let own = self.belief.data().map(|(_, incarnation)| incarnation);
        let mut members = last.map_or_else(BTreeMap::new, |sync| sync.members.clone());
        members.extend(own.map(|incarnation| (self.config.name.clone(), incarnation)));
        SyncRecord {
            version: last.map_or(0, |sync| sync.version) + 1,
            term,
            primary: self.config.name.clone(),
            line,
            durability: last.map_or(Durability::Async, |sync| sync.durability),
            voters: last.map_or_else(BTreeMap::new, |sync| sync.voters.clone()),
            k: last.map_or(0, |sync| sync.k),
            members,
            standby: self.belief.site().cloned(),
        }
    }
}

impl TermRecord {
    /// Whether it is the attempt with this token.
    fn is_candidacy(&self, token: Token) -> bool {
        match &self.holder {
            Holder::Candidate { token: of, .. } => *of == token,
            Holder::Leader { .. } | Holder::Released { .. } => false,
        }
    }
}
