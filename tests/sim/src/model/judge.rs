//! The invariants over a small world, judged at each thing that could break one. They change nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use haa_core::reason::Reason;
use haa_core::records::{Holder, LeaderRecord};
use haa_core::units::{Millis, Term};
use serde::Serialize;

use crate::model::scope::STEP;
use crate::model::sometimes::Sometimes;
use crate::model::state::{Life, Link, State, name};
use crate::postgres::Process;
use crate::wal::{BranchId, Wal};
use crate::world::Held;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// In a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What the invariants remember of the past.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    highest: Term,
    leaders: BTreeMap<Term, usize>,
}

/// How a `leader` key went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its lease ended.
    Expired,
    /// By a member's own transaction.
    By,
}

/// An election that began after so long without trouble goes to the most advanced: longer than a silence that
/// counts and the wait for reports.
const CALM: Millis = Millis(4 * STEP.0);

impl State {
    fn broken(&mut self, invariant: &'static str, what: String) {
        self.noted.violation.get_or_insert(Violation { invariant, what });
    }

    /// The `leader` key.
    #[must_use]
    pub fn leader_key(&self) -> Option<LeaderRecord> {
        self.etcd.view.leader.as_ref().map(|kept| kept.value.clone())
    }

    /// etcd changed: I3, and I11 if the leader's key went.
    pub(super) fn judge_store(&mut self, before: Option<LeaderRecord>, how: Gone) {
        let after = self.leader_key();
        if let Some(old) = before.filter(|old| Some(old) != after.as_ref()) {
            if how == Gone::Expired {
                self.note(Sometimes::LeaseExpired);
            }
            // I11: when a leadership lapses, writes are closed before the lease can end elsewhere.
            let open = self.index(&old.member).filter(|m| self.members[*m].postgres.open());
            if open.is_some() {
                let (who, term) = (old.member, old.term);
                self.broken("I11", format!("{who}'s leadership of term {term} ended, writes open"));
            }
        }
        let Some(record) = self.etcd.view.term.as_ref().map(|kept| kept.value.clone()) else {
            return;
        };
        // I3: a term has at most one leader; terms only grow.
        let highest = self.ledger.highest;
        if record.term < highest {
            self.broken("I3", format!("the term went back from {highest} to {}", record.term));
        }
        if record.term > highest {
            Rc::make_mut(&mut self.ledger).highest = record.term;
        }
        if let Some(leader) = after {
            self.leads(leader.term, self.index(&leader.member));
        }
        match &record.holder {
            Holder::Leader { member, .. } | Holder::Released { member, .. } => {
                self.leads(record.term, self.index(member));
            }
            Holder::Candidate { .. } => {}
        }
    }

    fn leads(&mut self, term: Term, member: Option<usize>) {
        let Some(member) = member else { return };
        match self.ledger.leaders.get(&term) {
            Some(known) if *known == member => {}
            Some(known) => {
                let both = (name(*known), name(member));
                self.broken(
                    "I3",
                    format!("term {term} has two leaders, {} and {}", both.0, both.1),
                );
            }
            None => drop(Rc::make_mut(&mut self.ledger).leaders.insert(term, member)),
        }
    }

    /// I9: `/primary` says yes only with an unexpired leadership and an open Postgres; never on two members.
    pub(super) fn judge_routes(&mut self) {
        let says = |m: &usize| {
            let who = &self.members[*m];
            who.life == Life::Running
                && who.says_primary.is_some_and(|until| self.local(*m) < until)
        };
        let primaries: Vec<usize> = (0..self.members.len()).filter(says).collect();
        if primaries.len() > 1 {
            self.broken("I9", "/primary says yes on two members".to_owned());
        }
        for m in primaries {
            // A Postgres that has just died is still called primary until its end is noticed.
            match self.members[m].postgres.process {
                Process::Primary | Process::Down => {}
                Process::Starting | Process::Standby | Process::Promoting(_) => {
                    let what = format!("/primary says yes on {}, which is in recovery", name(m));
                    self.broken("I9", what);
                }
            }
        }
    }

    /// I8: no data is overwritten unless another member leads in a later term; a copy that never became consistent
    /// may be made anew under the leader that it was made of.
    pub(super) fn judge_overwriting(&mut self, member: usize, lost: Wal, was: Held) {
        self.note(Sometimes::Overwritten);
        let written = self.wals.branch(lost.branch).term.unwrap_or_default();
        let enough = |term: Term| match was {
            Held::Data => term > written,
            Held::IncompleteCopy => term >= written,
        };
        let mut leaders = self.ledger.leaders.iter();
        if !leaders.any(|(term, leader)| enough(*term) && *leader != member) {
            let lost = self.wals.position(lost);
            let what = format!("{}'s data up to {lost} were overwritten", name(member));
            self.broken("I8", what);
        }
    }

    /// I10: a member whose WAL has diverged never streams before it was rewound or cloned.
    pub(super) fn judge_source(&mut self, member: usize, source: usize) {
        let from = &self.members[source].postgres;
        let (Some(own), Some(theirs)) = (self.members[member].postgres.wal(), from.wal()) else {
            return;
        };
        if from.open() && !self.wals.holds(theirs, own) {
            let (own, theirs) = (self.wals.position(own), self.wals.position(theirs));
            let what = format!(
                "{}, diverged at {own}, is told to follow {} at {theirs}",
                name(member),
                name(source)
            );
            self.broken("I10", what);
        }
    }

    /// A Postgres came out of recovery: I1, I14, A1.
    pub(super) fn judge_opening(&mut self, member: usize, id: BranchId) {
        let branch = *self.wals.branch(id);
        let leads_anew = self.wals.all().iter().rev().nth(1).map(|last| last.creator);
        if leads_anew.is_some_and(|last| last != member) && branch.term.is_some() {
            self.note(Sometimes::ChangedHands);
        }
        let reason = self.etcd.view.term.as_ref().map(|kept| kept.value.reason);
        if reason == Some(Reason::Switchover) {
            self.note(Sometimes::Switchover);
        }
        // I1: at any instant at most one member can acknowledge a write.
        let others = 0..self.members.len();
        let other = others.into_iter().find(|m| *m != member && self.members[*m].postgres.open());
        if let Some(other) = other {
            let what = format!("{} and {} both accept writes", name(other), name(member));
            self.broken("I1", what);
        }
        // I14: one leadership, one timeline.
        let twins = self.wals.all().iter().enumerate().filter(|(at, _)| *at != id.0 as usize);
        let twins: Vec<_> = twins.map(|(_, other)| *other).collect();
        if twins.iter().any(|other| other.timeline == branch.timeline) {
            self.broken("I14", format!("timeline {} was made twice", branch.timeline));
        }
        if twins.iter().any(|other| other.term.is_some() && other.term == branch.term) {
            let term = branch.term.unwrap_or_default();
            self.broken("I14", format!("term {term} made a second timeline"));
        }
        self.judge_election(member, branch.parent);
    }

    /// A1: an election goes to the most advanced of those that can be heard.
    fn judge_election(&mut self, member: usize, parent: Option<(BranchId, haa_core::units::Lsn)>) {
        let Some((branch, end)) = parent else { return };
        let took = Wal { branch, end };
        let lacks =
            |wal: Wal| self.acked.iter().filter(|commit| !self.wals.holds(wal, commit.0)).count();
        let lacking = lacks(took);
        if lacking == 0 {
            return;
        }
        let better = (0..self.members.len()).find(|other| {
            let wal = self.members[*other].postgres.wal();
            *other != member && self.could_lead(*other) && wal.is_some_and(|w| lacks(w) < lacking)
        });
        self.note(Sometimes::Lost);
        if let Some(other) = better.filter(|_| self.is_calm(member)) {
            let what = format!(
                "{} was elected without an acknowledged write that {} has",
                name(member),
                name(other)
            );
            self.broken("A1", what);
        }
    }

    fn is_calm(&self, member: usize) -> bool {
        let who = &self.members[member];
        who.life == Life::Running && who.link == Link::Up && self.now.since(who.troubled) >= CALM
    }

    fn could_lead(&self, member: usize) -> bool {
        let who = &self.members[member];
        let incarnation = who.postgres.disk.map(|disk| disk.incarnation);
        let sync = self.etcd.view.sync.as_ref();
        let listed = sync.and_then(|kept| kept.value.members.get(&name(member)).copied());
        self.is_calm(member)
            && who.postgres.process == Process::Standby
            && listed.is_some()
            && listed == incarnation
    }
}
