//! The first hours of a cluster: who initialises it, once (I7). Never changes data that are there.

use std::cmp::Reverse;

use crate::effect::Job;
use crate::observe::{DataDir, PeerState, PostgresFacts, Server};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{ClusterRecord, Kept, Key, MemberRecord, Record};
use crate::units::{MemberName, Millis, Position, Revision, SystemId};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::Role;
use super::waits::Waits;

/// An agent without data lets those that have some come first.
const YIELD_TO_DATA: Millis = Millis(1_000);

impl Node {
    /// Whether our data may be here at all; if not, the refusal.
    pub(super) fn check_data(&self) -> Option<(Role, Reason)> {
        // While a clone or a rewind is at work, what lies there is neither one thing nor the other.
        let facts = self.belief.facts.as_ref().filter(|facts| self.desk.settled(facts))?;
        if let DataDir::Foreign(what) = &facts.data {
            return Some((Role::Refused(what.clone()), Reason::ForeignData));
        }
        let (own, _) = self.belief.data()?;
        let cluster = self.belief.view.as_ref()?.cluster.as_ref()?;
        let theirs = cluster.value.system_id?;
        if own == theirs || self.is_orphan() || self.off.is(Mechanism::Foreign) {
            return None;
        }
        let why = format!(
            "the data directory belongs to the database system {own}, but this cluster is {theirs}: \
             point data_directory at the right data, or move it away to have this member cloned; nothing was touched"
        );
        Some((Role::Refused(why), Reason::ForeignSystem))
    }

    /// Whether the cluster is initialised; if it is not, do our part.
    pub(super) fn initialised(&mut self, now: Millis, facts: &PostgresFacts) -> bool {
        let Some(view) = self.belief.view.as_ref() else { return false };
        let cluster = view.cluster.clone();
        match cluster {
            Some(Kept { value: ClusterRecord { system_id: Some(_), .. }, .. }) => return true,
            Some(kept) if kept.value.creator == self.config.name && self.belief.registered() => {
                match self.belief.data() {
                    Some((system_id, _)) => self.claim(now, kept.revision, Some(system_id)),
                    None => self.initdb(now),
                }
            }
            None if self.belief.registered() => self.found(now, facts),
            Some(_) | None => {}
        }
        false
    }

    /// Nobody has initialised the cluster. Whoever has data goes first, and of those whoever has most.
    fn found(&mut self, now: Millis, facts: &PostgresFacts) {
        let yields = self.born_at.unwrap_or(now).after(YIELD_TO_DATA);
        if now < yields {
            self.desk.wake_at(yields);
        }
        match facts.data {
            // Of what it made nobody could become the primary.
            DataDir::Empty | DataDir::Present { untouched: true, .. }
                if self.config.tags.nofailover =>
            {
                self.waits = Some(Waits::NoFailover);
            }
            DataDir::Present { untouched: false, system_id, needs_source, .. } => {
                match &facts.server {
                    Server::Stopped(_) if !needs_source => self.bring_up(now, facts, None),
                    Server::Standby(standby) if standby.detached => {
                        if now >= yields && self.has_most(now, system_id, standby.position) {
                            self.claim(now, Revision::ABSENT, Some(system_id));
                        }
                    }
                    Server::Standby(_) if self.desk.settled(facts) => {
                        self.desk.job(Job::Detach(None))
                    }
                    Server::Standby(_)
                    | Server::Stopped(_)
                    | Server::Starting
                    | Server::Silent
                    | Server::Refusing(_)
                    | Server::Primary(_) => {}
                }
            }
            DataDir::Present { untouched: true, system_id, .. } => {
                if now >= yields && !self.data_elsewhere() {
                    self.claim(now, Revision::ABSENT, Some(system_id));
                }
            }
            DataDir::Empty if now >= yields && !self.data_elsewhere() => {
                self.claim(now, Revision::ABSENT, None);
            }
            DataDir::Empty | DataDir::Foreign(_) | DataDir::Unreadable(_) => {}
        }
    }

    fn data_elsewhere(&self) -> bool {
        self.others().any(|(_, record)| record.system_id.is_some())
    }

    fn others(&self) -> impl Iterator<Item = (&MemberName, &MemberRecord)> {
        let members = self.belief.view.iter().flat_map(|view| &view.members);
        let others = members.filter(|(name, _)| **name != self.config.name);
        others.map(|(name, kept)| (name, &kept.value))
    }

    /// Data were there before the cluster was, or etcd lost it: the member that has the end of them is its
    /// creator. Nobody can know who else has some, so everybody gets as much time to speak as after the loss of all.
    fn has_most(&mut self, now: Millis, system_id: SystemId, own: Position) -> bool {
        let until = self.born_at.unwrap_or(now).after(self.belief.settings().timing.gather_timeout);
        let name = &self.config.name;
        let same: Vec<_> =
            self.others().filter(|(_, record)| record.system_id == Some(system_id)).collect();
        let exact = |name: &MemberName| {
            let beat = self.belief.heard(now, name);
            beat.filter(|beat| beat.state == PeerState::Detached).and_then(|beat| beat.position)
        };
        let most = same.iter().all(|(other, record)| match exact(other) {
            Some(theirs) => {
                record.tags.nofailover || (theirs, Reverse(*other)) < (own, Reverse(name))
            }
            None => true,
        });
        let allowed = !self.config.tags.nofailover || same.is_empty();
        self.waits = Some(Waits::Gathering);
        self.desk.wake_at(now.after(Millis(100)));
        most && allowed && now >= until || self.off.is(Mechanism::Claim)
    }

    fn claim(&mut self, now: Millis, revision: Revision, system_id: Option<SystemId>) {
        let (Some(lease), Some(view)) = (self.belief.lease, self.belief.view.as_ref()) else {
            return;
        };
        if now >= lease.asked_at.after(lease.ttl) {
            return;
        }
        let record =
            Record::Cluster(ClusterRecord { creator: self.config.name.clone(), system_id });
        let mut compare = vec![(Key::Cluster, revision)];
        let change = match system_id {
            None => Change::default().put_on(lease.id, record),
            Some(_) => {
                compare.push((Key::Settings, seen(view.settings.as_ref())));
                let settings = self.belief.settings().clone();
                Change::default().put(record).put(Record::Settings(settings))
            }
        };
        self.desk.txn(Purpose::Cluster, compare, change);
    }

    fn initdb(&mut self, now: Millis) {
        let Some(facts) = self.belief.facts.clone() else { return };
        if facts.data == DataDir::Empty && self.desk.settled(&facts) && self.may_try(now) {
            self.desk.job(Job::InitDb);
        }
    }
}
