//! The first hours of a cluster: who initialises it, once (I7). Never touches data that are there.

use crate::effect::Job;
use crate::observe::DataDir;
use crate::reason::Reason;
use crate::records::{ClusterRecord, Kept, Key, Record};
use crate::units::{Millis, Revision, SystemId};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::Role;

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
        if own == theirs || self.is_orphan() {
            return None;
        }
        let why = format!(
            "the data directory belongs to the database system {own}, but this cluster is {theirs}: \
             point data_directory at the right data, or move it away to have this member cloned; nothing was touched"
        );
        Some((Role::Refused(why), Reason::ForeignSystem))
    }

    /// Whether the cluster is initialised; if it is not, do our part.
    pub(super) fn initialised(&mut self, now: Millis) -> bool {
        let Some(view) = self.belief.view.as_ref() else { return false };
        let cluster = view.cluster.clone();
        let data = self.belief.data().map(|(system_id, _)| system_id);
        match (cluster, data) {
            (Some(Kept { value: ClusterRecord { system_id: Some(_), .. }, .. }), _) => true,
            (None, Some(system_id)) => self.claim(now, Revision::ABSENT, Some(system_id)),
            (None, None) => self.claim_for_initdb(now),
            (Some(kept), data) if kept.value.creator == self.config.name => match data {
                Some(system_id) => self.claim(now, kept.revision, Some(system_id)),
                None => {
                    self.initdb(now);
                    false
                }
            },
            (Some(_), _) => false,
        }
    }

    fn claim_for_initdb(&mut self, now: Millis) -> bool {
        let Some(facts) = self.belief.facts.as_ref() else { return false };
        let yields = self.born_at.unwrap_or(now).after(YIELD_TO_DATA);
        if facts.data != DataDir::Empty || now < yields {
            self.desk.wake_at(yields.max(now.after(Millis(1))));
            return false;
        }
        let view = self.belief.view.as_ref();
        let data_elsewhere = view.is_some_and(|view| {
            view.members.values().any(|member| member.value.system_id.is_some())
        });
        if data_elsewhere { false } else { self.claim(now, Revision::ABSENT, None) }
    }

    fn claim(&mut self, now: Millis, revision: Revision, system_id: Option<SystemId>) -> bool {
        let (Some(lease), Some(view)) = (self.belief.lease, self.belief.view.as_ref()) else {
            return false;
        };
        if now >= lease.asked_at.after(self.belief.settings().timing.ttl) {
            return false;
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
        false
    }

    fn initdb(&mut self, now: Millis) {
        let Some(facts) = self.belief.facts.clone() else { return };
        if facts.data == DataDir::Empty && self.desk.settled(&facts) && self.may_try(now) {
            self.desk.job(Job::InitDb);
        }
    }
}
