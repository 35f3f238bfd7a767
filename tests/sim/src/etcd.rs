//! etcd as one linearizable store: revisions, leases, transactions. Never the way to it, which loses and delays.

use std::collections::BTreeMap;

use haa_core::discard::Discarded;
use haa_core::effect::Txn;
use haa_core::input::Left;
use haa_core::records::{HistoryRecord, Kept, Key, Record, StoreView};
use haa_core::units::{LeaseId, Millis, Revision, Term};
use serde::Serialize;

use crate::time::At;

/// What is under the cluster's prefix.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Etcd {
    /// Everything but the history.
    pub view: StoreView,
    /// `history/`
    pub history: BTreeMap<Term, HistoryRecord>,
    /// `history/discarded/`
    pub discarded: Vec<Discarded>,
    leases: BTreeMap<LeaseId, Granted>,
    last_lease: i64,
}

/// A lease that etcd knows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Granted {
    /// Its time to live.
    pub ttl: At,
    /// When it ends if nobody renews it; etcd notices up to half a second later.
    pub ends: At,
}

/// Whether a transaction was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Every comparison held.
    Yes,
    /// One did not, or it put a key on a lease that is gone.
    No,
}

impl Etcd {
    /// A new lease.
    pub fn grant(&mut self, now: At, ttl: Millis) -> LeaseId {
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        let ttl = At::ms(ttl.0);
        self.leases.insert(id, Granted { ttl, ends: now.after(ttl) });
        id
    }

    /// Renews a lease, and says for how long; not if it is not there.
    pub fn keep_alive(&mut self, now: At, id: LeaseId) -> Option<Millis> {
        let lease = self.leases.get_mut(&id)?;
        lease.ends = now.after(lease.ttl);
        Some(Millis(lease.ttl.0 / 1_000))
    }

    /// When a lease ends as things stand.
    #[must_use]
    pub fn lease(&self, id: LeaseId) -> Option<Granted> {
        self.leases.get(&id).copied()
    }

    /// What etcd tells of a lease: whole seconds, the rest of one left out.
    #[must_use]
    pub fn left(&self, now: At, id: LeaseId) -> Option<Left> {
        let lease = self.lease(id)?;
        let seconds = lease.ends.since(now).0 / 1_000_000;
        let granted = Millis(lease.ttl.0 / 1_000);
        Some(Left { at_most: Millis((seconds + 1) * 1_000), granted })
    }

    /// The leases that are alive.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// A new etcd leader, or a restart: every lease begins anew with its full time.
    pub fn refresh_leases(&mut self, now: At) {
        for lease in self.leases.values_mut() {
            lease.ends = now.after(lease.ttl);
        }
    }

    /// Ends a lease and deletes every key on it; true if a key went.
    pub fn revoke(&mut self, id: LeaseId) -> bool {
        if self.leases.remove(&id).is_none() {
            return false;
        }
        let on = Some(id);
        let mut doomed = Vec::new();
        let view = &self.view;
        doomed.extend(view.leader.iter().filter(|k| k.lease == on).map(|_| Key::Leader));
        doomed.extend(view.cluster.iter().filter(|k| k.lease == on).map(|_| Key::Cluster));
        let members = view.members.iter().filter(|(_, k)| k.lease == on);
        doomed.extend(members.map(|(name, _)| Key::Member(name.clone())));
        if doomed.is_empty() {
            return false;
        }
        self.view.revision.0 += 1;
        for key in &doomed {
            self.delete(key);
        }
        true
    }

    /// All or nothing.
    pub fn apply(&mut self, txn: &Txn) -> Applied {
        let held = txn.compare.iter().all(|(key, revision)| self.revision(key) == *revision);
        let leases = txn.put.iter().filter_map(|(_, lease)| *lease);
        if !held || leases.into_iter().any(|lease| !self.leases.contains_key(&lease)) {
            return Applied::No;
        }
        if !txn.put.is_empty() || !txn.delete.is_empty() {
            self.view.revision.0 += 1;
            for key in &txn.delete {
                self.delete(key);
            }
            for (record, lease) in &txn.put {
                self.put(record.clone(), *lease);
            }
        }
        Applied::Yes
    }

    /// `mod_revision` of a key.
    #[must_use]
    pub fn revision(&self, key: &Key) -> Revision {
        let view = &self.view;
        match key {
            Key::Cluster => of(view.cluster.as_ref()),
            Key::Settings => of(view.settings.as_ref()),
            Key::Term => of(view.term.as_ref()),
            Key::Leader => of(view.leader.as_ref()),
            Key::Sync => of(view.sync.as_ref()),
            Key::Member(name) => of(view.members.get(name)),
            Key::Drained(name) => of(view.drained.get(name)),
            Key::Request(id) => of(view.requests.get(id)),
            // For people; nothing compares it.
            Key::Event(_) => Revision::ABSENT,
            // Written once by its leader and never compared with anything but absence.
            Key::History(term) => Revision(i64::from(self.history.contains_key(term))),
            Key::Discarded(..) => {
                Revision(i64::from(self.discarded.iter().any(|lost| lost.key() == *key)))
            }
        }
    }

    fn delete(&mut self, key: &Key) {
        let view = &mut self.view;
        match key {
            Key::Cluster => view.cluster = None,
            Key::Settings => view.settings = None,
            Key::Term => view.term = None,
            Key::Leader => view.leader = None,
            Key::Sync => view.sync = None,
            Key::Member(name) => drop(view.members.remove(name)),
            Key::Drained(name) => drop(view.drained.remove(name)),
            Key::Request(id) => drop(view.requests.remove(id)),
            Key::Event(_) => {}
            Key::History(term) => drop(self.history.remove(term)),
            Key::Discarded(..) => self.discarded.retain(|lost| lost.key() != *key),
        }
    }

    fn put(&mut self, record: Record, lease: Option<LeaseId>) {
        let view = &mut self.view;
        let revision = view.revision;
        match record {
            Record::Cluster(value) => view.cluster = Some(Kept { value, revision, lease }),
            Record::Settings(value) => view.settings = Some(Kept { value, revision, lease }),
            Record::Term(value) => view.term = Some(Kept { value, revision, lease }),
            Record::Leader(value) => view.leader = Some(Kept { value, revision, lease }),
            Record::Sync(value) => view.sync = Some(Kept { value, revision, lease }),
            Record::Member(name, value) => {
                view.members.insert(name, Kept { value, revision, lease });
            }
            Record::Drained(name, value) => {
                view.drained.insert(name, Kept { value, revision, lease });
            }
            Record::Request(id, value) => {
                view.requests.insert(id, Kept { value, revision, lease });
            }
            Record::Event(..) => {}
            Record::History(term, value) => {
                self.history.insert(term, value);
            }
            Record::Discarded(value) => self.discarded.push(value),
        }
    }
}

fn of<T>(kept: Option<&Kept<T>>) -> Revision {
    kept.map_or(Revision::ABSENT, |kept| kept.revision)
}

#[cfg(test)]
mod tests {
    use haa_core::records::LeaderRecord;
    use haa_core::units::{Instance, TxnId};

    use super::*;

    fn lead(term: u64, on: LeaseId, expected: Revision) -> Txn {
        let member = "n1".parse().expect("a legal name");
        let record =
            Record::Leader(LeaderRecord { member, term: Term(term), instance: Instance(1) });
        Txn {
            id: TxnId(term),
            compare: vec![(Key::Leader, expected)],
            put: vec![(record, Some(on))],
            delete: vec![],
        }
    }

    #[test]
    fn a_key_goes_with_its_lease_and_a_comparison_is_all_or_nothing() {
        let mut etcd = Etcd::default();
        let lease = etcd.grant(At(0), Millis(10_000));
        assert_eq!(etcd.apply(&lead(1, lease, Revision::ABSENT)), Applied::Yes);
        assert_eq!(etcd.apply(&lead(2, lease, Revision::ABSENT)), Applied::No);
        assert_eq!(etcd.revision(&Key::Leader), Revision(1));
        assert!(etcd.revoke(lease));
        assert_eq!(etcd.revision(&Key::Leader), Revision::ABSENT);
        assert_eq!(etcd.apply(&lead(3, lease, Revision::ABSENT)), Applied::No);
        assert_eq!(etcd.keep_alive(At(1), lease), None);
    }

    #[test]
    fn a_key_put_anew_on_another_lease_leaves_the_old_one() {
        let mut etcd = Etcd::default();
        let old = etcd.grant(At(0), Millis(10_000));
        let new = etcd.grant(At(0), Millis(10_000));
        etcd.apply(&lead(1, old, Revision::ABSENT));
        etcd.apply(&lead(2, new, Revision(1)));
        assert!(!etcd.revoke(old));
        assert!(etcd.view.leader.is_some());
    }
}
