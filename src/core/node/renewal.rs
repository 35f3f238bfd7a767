//! A healthy primary against whom somebody stands, or whose key was gone when etcd came back: it goes on in a new term
//! of its own. Never changes its voters meanwhile.

use crate::observe::Primary;
use crate::reason::Reason;
use crate::records::{Holder, Kept, Key, LeaderRecord, Record, SyncRecord, TermRecord};
use crate::units::{Millis, Term};

use super::Node;
use super::desk::{Change, Purpose, seen};

impl Node {
    /// Somebody stands against our leadership: the attempt, as `term` has it.
    pub(super) fn challenged(&self) -> Option<&Kept<TermRecord>> {
        self.belief.own_leader_key()?;
        let kept = self.belief.term_key()?;
        match kept.value.holder {
            Holder::Candidate { .. } => Some(kept),
            Holder::Leader { .. } | Holder::Released { .. } => None,
        }
    }

    /// The number of our leadership, after a renewal that is proven, and why it was made.
    pub(super) fn renewed(&self, now: Millis, term: Term) -> Option<(Term, Reason)> {
        let proof = self.belief.leadership(now)?;
        let reason = self.belief.term_key().map_or(Reason::Renewed, |kept| kept.value.reason);
        (proof.term() > term).then_some((proof.term(), reason))
    }

    /// End an attempt that has come to nothing: our Postgres never stopped, our leadership is proven, and enough voters
    /// hear us. Granters see `term` past their grant and follow again; the timeline goes on.
    pub(super) fn renew(&mut self, now: Millis, primary: &Primary) {
        let Some(attempt) = self.challenged().cloned() else { return };
        let timing = self.belief.settings().timing;
        let began = self.belief.term_seen.1;
        // Whoever could acknowledge nothing before the attempt gives it more time.
        let lonely = self.was_lonely_before(began);
        let patience = if lonely { timing.alone_after } else { timing.attempt_timeout };
        let until = began.after(patience);
        if now < until {
            return self.desk.wake_at(until);
        }
        let Some(sync) = self.belief.quorum() else { return };
        let me = &self.config.name;
        let hear = |name: &&_| self.belief.heard(now, name).is_some_and(|b| b.hears.contains(me));
        let hearing = sync.other_voters().keys().filter(hear).count();
        if hearing < sync.k as usize || self.desk.waits_for(&Purpose::Term) {
            return self.desk.wake_at(now.after(Millis(100)));
        }
        self.lead_on(&attempt, primary, Reason::Renewed);
    }

    /// `leader` hangs on the lease that we hold: a new one, where `ttl` was changed. Until it does, the old one counts.
    pub(super) fn keep_key(&mut self) {
        let (Some(lease), Some(key)) = (self.belief.lease, self.belief.own_leader_key().cloned())
        else {
            return;
        };
        if key.lease == Some(lease.id) {
            return;
        }
        let compare = vec![(Key::Leader, key.revision), (Key::Term, seen(self.belief.term_key()))];
        let change = Change::default().put_on(lease.id, Record::Leader(key.value));
        self.desk.txn(Purpose::Term, compare, change);
    }

    /// Our key was gone when etcd came back; nobody has stood, and no voter could have granted. We hold every
    /// acknowledged commit, and our Postgres never stopped: the same leadership, on the same timeline.
    pub(super) fn reclaim(&mut self, now: Millis, primary: &Primary, term: Term) {
        let last = self.belief.term_key().filter(|_| self.belief.is_unclaimed(term)).cloned();
        let Some(last) = last else { return };
        match self.belief.lease {
            Some(lease) if !self.belief.lease_is_doubtful(lease) => {
                self.lead_on(&last, primary, Reason::Reclaimed);
            }
            Some(_) | None => self.desk.wake_at(now.after(Millis(100))),
        }
    }

    /// One transaction: a new term of ours after `last`, on our lease; nothing else has changed meanwhile.
    fn lead_on(&mut self, last: &Kept<TermRecord>, primary: &Primary, reason: Reason) {
        let (Some(sync), Some(lease)) = (self.belief.quorum().cloned(), self.belief.lease) else {
            return;
        };
        if self.desk.waits_for(&Purpose::Term) {
            return;
        }
        let term = last.value.term.next();
        let position = primary.lineage.last().map_or(primary.position, |fork| {
            crate::units::Position { timeline: fork.timeline, lsn: fork.lsn }
        });
        let token = self.desk.token();
        let member = self.config.name.clone();
        let timeline = primary.position.timeline;
        let holder = Holder::Leader { member: member.clone(), token, timeline, position };
        let record = TermRecord { term, holder, reason, ..last.value.clone() };
        let view = self.belief.view.as_ref();
        let compare = vec![
            (Key::Term, last.revision),
            (Key::Leader, seen(self.belief.own_leader_key())),
            (Key::Sync, seen(view.and_then(|view| view.sync.as_ref()))),
        ];
        let leader = LeaderRecord { member, term, instance: self.config.instance };
        let sync = SyncRecord { version: sync.version + 1, term, ..sync };
        let change = Change::default()
            .put(Record::Term(record))
            .put_on(lease.id, Record::Leader(leader))
            .put(Record::Sync(sync));
        self.desk.txn(Purpose::Term, compare, change);
    }
}
