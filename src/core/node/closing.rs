//! Closing: writes are being closed. Only a Postgres seen stopped ends it; what we hold in the store is let go after.

use serde::{Deserialize, Serialize};

use crate::effect::Job;
use crate::observe::{Server, Shutdown};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Holder, Key, Record, TermRecord};
use crate::units::{MemberName, Millis, Position, Term};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::{Closing, How, Role};

/// How long Postgres has to end once it is told to end at once. A disk that hangs lets no process end.
const AT_ONCE: Millis = Millis(2_000);

/// Whoever was heard within this is there.
const FRESH: Millis = Millis(300);

/// What is written when the leadership is let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LetGo {
    reason: Reason,
    checkpoint: Option<Position>,
    successor: Option<MemberName>,
    /// Until when others may be bound to us, who let us go on without etcd.
    #[serde(default)]
    binds_until: Millis,
}

impl Node {
    pub(super) fn closing(&mut self, now: Millis, closing: &Closing) -> Option<(Role, Reason)> {
        let settled = self.belief.facts.as_ref().filter(|facts| self.desk.settled(facts)).cloned();
        if let Some(Server::Stopped(shutdown)) = settled.as_ref().map(|facts| &facts.server) {
            let shutdown = self.lowered(now, &closing.how, *shutdown)?;
            let binds_until = self.failsafe.binds_until();
            self.let_go = Some(LetGo { binds_until, ..LetGo::after(closing, shutdown) });
            if self.leaves_to_others(closing) {
                let attempt = self.belief.settings().timing.attempt_timeout;
                self.rejoining.yields_until = now.after(attempt);
            }
            return Some((Role::Replica, Reason::Closed));
        }
        if self.off.is(Mechanism::ReleaseAfterStop) {
            self.let_go = Some(LetGo::after(closing, Shutdown::Crashed));
            self.release(now);
        }
        match &closing.how {
            How::AtOnce => self.desk.close(now, closing.reason),
            How::InOrder { until, .. } => {
                let proof = self.belief.leadership(now).filter(|_| now < *until);
                let Some(proof) = proof else {
                    return Some(Role::close(closing.reason));
                };
                self.desk.wake_at(proof.until().min(*until));
                if let Some(facts) = settled {
                    self.will_lower(closing.reason, &facts);
                    self.desk.job(Job::Stop(self.belief.settings().timing.stop_timeout));
                }
            }
        }
        None
    }

    /// Clients wait for somebody else's promotion, and not for our Postgres.
    fn leaves_to_others(&self, closing: &Closing) -> bool {
        match &closing.how {
            How::InOrder { successor, .. } => successor.as_ref() != Some(&self.config.name),
            How::AtOnce => closing.reason == Reason::PostgresDied,
        }
    }

    /// When an orderly stop that begins now has come to its end: `stop_timeout` in order, a moment at once.
    pub(super) fn stopped_until(&self, now: Millis) -> Millis {
        now.after(self.belief.settings().timing.stop_timeout).after(AT_ONCE)
    }

    /// What is written when a leadership is let go that had opened nothing.
    pub(super) fn lets_go_because(&mut self, reason: Reason) {
        self.let_go =
            Some(LetGo { reason, checkpoint: None, successor: None, binds_until: Millis(0) });
    }

    /// Whoever does not lead and is still named by `leader` lets go of it. Postgres is closed: a replica's is
    /// never open, and whoever led has come here through `Closing`.
    pub(super) fn release(&mut self, now: Millis) {
        let Some(key) = self.belief.own_leader_key().cloned() else {
            self.let_go = None;
            return;
        };
        if self.desk.waits_for(&Purpose::Term) {
            return;
        }
        let term = self.belief.term_key().cloned();
        let mut compare = vec![(Key::Leader, key.revision), (Key::Term, seen(term.as_ref()))];
        let mut change = Change::default().delete(Key::Leader);
        let go = self.let_go.clone();
        match term.map(|kept| kept.value) {
            Some(last) if last.is_led_by(&self.config.name) && last.term == key.value.term => {
                let (term, holder) = self.who_is_next(now, last.term);
                let reason = go.as_ref().map_or(Reason::PostgresDied, |go| go.reason);
                let end = go.filter(|go| go.reason == Reason::ClusterDemoted);
                if let Some((also, more)) =
                    end.and_then(|go| go.checkpoint).and_then(|end| self.demotion(end))
                {
                    compare.extend(also);
                    change = more.delete(Key::Leader);
                }
                change = change.put(Record::Term(TermRecord { term, holder, reason, ..last }));
            }
            Some(_) | None => compare.truncate(1),
        }
        self.desk.txn(Purpose::Term, compare, change);
    }

    /// The candidate of the next term, where we can name one; else nobody stands yet.
    fn who_is_next(&mut self, now: Millis, term: Term) -> (Term, Holder) {
        if let Some(member) = self.nominee(now) {
            return (term.next(), Holder::Candidate { member, token: self.desk.token() });
        }
        let go = self.let_go.as_ref();
        let holder = Holder::Released {
            member: self.config.name.clone(),
            checkpoint: go.and_then(|go| go.checkpoint),
            successor: go.and_then(|go| go.successor.clone()),
        };
        (term, holder)
    }

    /// Whom our release makes the candidate of the next term, so that nobody has to see it and stand first. Voters
    /// count what it has, as they do of whoever stands by itself: a wrong choice costs time, and no commit.
    fn nominee(&self, now: Millis) -> Option<MemberName> {
        let go = self.let_go.as_ref()?;
        // In `async` whoever stands has to know where our WAL ended.
        self.belief.quorum()?;
        // Whoever let us go on without etcd is free again only by the word that we do not.
        if now < go.binds_until {
            return None;
        }
        let best = match &go.successor {
            Some(name) => Some(name).filter(|name| self.belief.is_candidate(now, name)),
            None if go.reason == Reason::PostgresDied && !self.is_paused() => {
                self.belief.best_candidate(now)
            }
            None => None,
        };
        let heard = |name: &MemberName| self.belief.peers.get(name).map(|(at, _)| now.since(*at));
        best.filter(|name| heard(name).is_some_and(|ago| ago < FRESH)).cloned()
    }
}

impl LetGo {
    fn after(closing: &Closing, shutdown: Shutdown) -> Self {
        let checkpoint = match shutdown {
            Shutdown::Primary(position) => Some(position),
            Shutdown::Standby | Shutdown::Crashed | Shutdown::NoData => None,
        };
        let successor = match &closing.how {
            How::InOrder { successor, .. } => successor.clone(),
            How::AtOnce => None,
        };
        Self { reason: closing.reason, checkpoint, successor, binds_until: Millis(0) }
    }
}

impl TermRecord {
    fn is_led_by(&self, name: &MemberName) -> bool {
        match &self.holder {
            Holder::Leader { member, .. } => member == name,
            Holder::Candidate { .. } | Holder::Released { .. } => false,
        }
    }
}
