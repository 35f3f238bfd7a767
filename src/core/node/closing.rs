//! Closing: writes are being closed. Only a Postgres seen stopped ends it; what we hold in the store is let go after.

use serde::{Deserialize, Serialize};

use crate::effect::Job;
use crate::observe::{Server, Shutdown};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Holder, Key, Record, TermRecord};
use crate::units::{MemberName, Millis, Position};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::{Closing, How, Role};

/// How long Postgres has to end once it is told to end at once. A disk that hangs lets no process end.
const AT_ONCE: Millis = Millis(2_000);

/// What is written when the leadership is let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LetGo {
    reason: Reason,
    checkpoint: Option<Position>,
    successor: Option<MemberName>,
}

impl Node {
    pub(super) fn closing(&mut self, now: Millis, closing: &Closing) -> Option<(Role, Reason)> {
        let settled = self.belief.facts.as_ref().filter(|facts| self.desk.settled(facts)).cloned();
        if let Some(Server::Stopped(shutdown)) = settled.as_ref().map(|facts| &facts.server) {
            self.let_go = Some(LetGo::after(closing, *shutdown));
            if closing.reason == Reason::PostgresDied {
                let attempt = self.belief.settings().timing.attempt_timeout;
                self.rejoining.yields_until = now.after(attempt);
            }
            return Some((Role::Replica, Reason::Closed));
        }
        if self.off.is(Mechanism::ReleaseAfterStop) {
            self.let_go = Some(LetGo::after(closing, Shutdown::Crashed));
            self.release();
        }
        match &closing.how {
            How::AtOnce => self.desk.close(now, closing.reason),
            How::InOrder { until, .. } => {
                let proof = self.belief.leadership(now).filter(|_| now < *until);
                let Some(proof) = proof else {
                    return Some(Role::close(closing.reason));
                };
                self.desk.wake_at(proof.until().min(*until));
                if settled.is_some() {
                    self.desk.job(Job::Stop(self.belief.settings().timing.stop_timeout));
                }
            }
        }
        None
    }

    /// When an orderly stop that begins now has come to its end: `stop_timeout` in order, a moment at once.
    pub(super) fn stopped_until(&self, now: Millis) -> Millis {
        now.after(self.belief.settings().timing.stop_timeout).after(AT_ONCE)
    }

    /// What is written when a leadership is let go that had opened nothing.
    pub(super) fn lets_go_because(&mut self, reason: Reason) {
        self.let_go = Some(LetGo { reason, checkpoint: None, successor: None });
    }

    /// Whoever does not lead and is still named by `leader` lets go of it. Postgres is closed: a replica's is
    /// never open, and whoever led has come here through `Closing`.
    pub(super) fn release(&mut self) {
        let Some(key) = self.belief.own_leader_key().cloned() else {
            self.let_go = None;
            return;
        };
        let term = self.belief.term_key().cloned();
        let mut compare = vec![(Key::Leader, key.revision), (Key::Term, seen(term.as_ref()))];
        let mut change = Change::default().delete(Key::Leader);
        let go = self.let_go.clone();
        match term.map(|kept| kept.value) {
            Some(last) if last.is_led_by(&self.config.name) && last.term == key.value.term => {
                let holder = Holder::Released {
                    member: self.config.name.clone(),
                    checkpoint: go.as_ref().and_then(|go| go.checkpoint),
                    successor: go.as_ref().and_then(|go| go.successor.clone()),
                };
                let reason = go.as_ref().map_or(Reason::PostgresDied, |go| go.reason);
                let end = go.filter(|go| go.reason == Reason::ClusterDemoted);
                if let Some((also, more)) =
                    end.and_then(|go| go.checkpoint).and_then(|end| self.demotion(end))
                {
                    compare.extend(also);
                    change = more.delete(Key::Leader);
                }
                change = change.put(Record::Term(TermRecord { holder, reason, ..last }));
            }
            Some(_) | None => compare.truncate(1),
        }
        self.desk.txn(Purpose::Term, compare, change);
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
        Self { reason: closing.reason, checkpoint, successor }
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
