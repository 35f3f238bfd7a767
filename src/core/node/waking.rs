//! Waking: from knowing nothing to the first role. A restarted agent finds its own leadership here.
//! Never starts Postgres.

use crate::observe::Server;
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::Holder;
use crate::units::Millis;

use super::Node;
use super::role::Role;

impl Node {
    pub(super) fn waking(&mut self, now: Millis) -> Option<(Role, Reason)> {
        let facts = self.belief.facts.clone()?;
        let open = self.belief.primary().is_some();
        if open && now >= self.may_stay_open_until() {
            return Some(Role::close(Reason::OpenWithoutLeadership));
        }
        if open {
            self.desk.wake_at(self.may_stay_open_until());
        }
        if self.leaving.is_some() && !open {
            self.leave(now);
            return None;
        }
        if self.belief.name_is_in_use() {
            return self.wait_for_name(now);
        }
        match facts.server {
            Server::Silent | Server::Refusing(_) => return self.silent_at_birth(now),
            Server::Stopped(_) | Server::Starting | Server::Standby(_) | Server::Primary(_) => {}
        }
        self.belief.view.as_ref()?;
        if self.belief.own_leader_key().is_none() {
            return Some(if open {
                Role::close(Reason::OpenWithoutLeadership)
            } else if self.may_be_promoting() {
                Role::close(Reason::MayBePromoting)
            } else {
                (Role::Replica, Reason::Started)
            });
        }
        if self.belief.standby().is_some() && self.stays_standby() {
            let (term, _) = self.belief.standing(now)?;
            return Some((Role::StandbyLeader { term, silent_since: None }, Reason::Resumed));
        }
        if !open || !self.open_as_elected() {
            // A promotion may still be under way: only a stopped Postgres ends that leadership.
            return self.own_without_primary(now, &facts.server);
        }
        let proof = self.belief.leadership_of_key(now)?;
        let term = proof.term();
        Some((Role::Primary { term, to_tell: None, silent_since: None }, Reason::Resumed))
    }

    /// Only a standby without a source is ever promoted, and nothing recalls what was asked of it: it is started anew.
    fn may_be_promoting(&self) -> bool {
        let alone = self.belief.standby().is_some_and(|standby| standby.source.is_none());
        alone && !self.off.is(Mechanism::MayBePromoting)
    }

    /// An earlier run proved a leadership until then. Without one, nothing speaks for an open Postgres.
    fn may_stay_open_until(&self) -> Millis {
        if self.off.is(Mechanism::Remembered) {
            return Millis(u64::MAX);
        }
        self.config.remembered.map_or(Millis(0), |remembered| remembered.until)
    }

    /// Postgres is on the very timeline that our leadership reserved.
    fn open_as_elected(&self) -> bool {
        let timeline = self.belief.primary().map(|primary| primary.position.timeline);
        let record = self.belief.term_key().map(|kept| &kept.value.holder);
        match record {
            Some(Holder::Leader { timeline: reserved, .. }) => Some(*reserved) == timeline,
            Some(Holder::Candidate { .. } | Holder::Released { .. }) | None => false,
        }
    }

    /// The store names us, and our Postgres is not what it should be. One that starts may turn out to be anything, for
    /// as long as a promotion takes.
    fn own_without_primary(&mut self, now: Millis, server: &Server) -> Option<(Role, Reason)> {
        let timing = self.belief.settings().timing;
        let until = self.born_at.unwrap_or(now).after(timing.promote_timeout);
        match server {
            Server::Starting if now < until => {
                self.desk.wake_at(until);
                None
            }
            Server::Stopped(_) | Server::Standby(_) | Server::Primary(_) | Server::Starting => {
                Some(Role::close(Reason::PostgresDied))
            }
            Server::Silent | Server::Refusing(_) => None,
        }
    }

    /// A Postgres that an earlier run left and that does not answer may be open: it is borne as long as that
    /// run's leadership lasts, and no longer.
    fn silent_at_birth(&mut self, now: Millis) -> Option<(Role, Reason)> {
        let until = self.may_stay_open_until();
        if now >= until {
            return Some(Role::close(Reason::PostgresSilent));
        }
        self.desk.wake_at(until);
        None
    }

    /// The record of an agent that is no more goes with its lease; one that stays is a namesake's.
    pub(super) fn wait_for_name(&mut self, now: Millis) -> Option<(Role, Reason)> {
        let patience = self.belief.settings().timing.ttl.times(2);
        let until = self.born_at.unwrap_or(now).after(patience);
        if now < until {
            self.desk.wake_at(until);
            return None;
        }
        let name = &self.config.name;
        let other = self.belief.member(name).map(|record| record.api.to_string())?;
        let why = format!(
            "another agent at {other} uses the name {name} in this cluster: give this member a name of its \
             own in haad.toml, or stop the other agent"
        );
        Some((Role::Refused(why), Reason::NameInUse))
    }
}
