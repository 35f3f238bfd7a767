//! A standby cluster: its leader streams from another cluster, and everybody else from that leader. Opens nothing:
//! where a cluster follows another, no `Leadership` can be made.

use crate::effect::{Job, Source};
use crate::observe::{Door, PostgresFacts, Server, Standby};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Ask, Holder, Key, Record, SyncRecord, TermRecord};
use crate::routes::Follows;
use crate::site::Site;
use crate::units::{MemberName, Millis, Position, Revision, Term, Timeline};

use super::Node;
use super::abroad::has;
use super::belief::{Belief, Leader};
use super::desk::Change;
use super::rejoining::Plan;
use super::role::Role;

/// So many numbers are left to the other cluster for timelines of its own, should somebody there accept writes beside
/// us: two clusters have nothing in common that could keep them from taking the same.
const APART: u32 = 16;

/// So long whoever was promoted by hand leaves the lead to another.
const STRAYED: Millis = Millis(60_000);

impl Belief {
    /// The cluster that ours follows, if it is a standby cluster; before there is a `sync`, by what a new one is to be.
    pub(super) fn site(&self) -> Option<&Site> {
        match self.view.as_ref().and_then(|view| view.sync.as_ref()) {
            Some(kept) => kept.value.standby.as_ref(),
            None => self.first_site.as_ref(),
        }
    }

    /// In a standby cluster: our WAL is of a timeline that the leader has not told of yet, and may come to.
    pub(super) fn is_past(&self, own: &Standby, leader: &Leader) -> bool {
        let newer = own.position.timeline > leader.line.timeline;
        let said = self.peers.get(&leader.member).and_then(|(_, beat)| beat.position);
        self.site().is_some() && newer && !said.is_some_and(|end| own.left_before(end))
    }
}

impl Standby {
    /// Whether WAL that reaches this far has what ours left out: we have not gone on where it ended.
    pub(super) fn left_before(&self, end: Position) -> bool {
        self.lineage.iter().any(|fork| fork.timeline == end.timeline && fork.lsn < end.lsn)
    }
}

impl Node {
    /// Whether whoever is elected stays a standby.
    pub(super) fn stays_standby(&self) -> bool {
        self.belief.site().is_some() && !self.off.is(Mechanism::NoLeadershipInStandby)
    }

    /// What is told of it.
    pub(super) fn follows(&self, now: Millis) -> Option<Follows> {
        let site = self.belief.site()?.clone();
        let leads = self.belief.standing(now);
        let leads = leads.filter(|_| matches!(self.role, Role::StandbyLeader { .. }));
        let dry_since = leads.and(self.belief.dry_since);
        Some(Follows { site, until: leads.map(|(_, until)| until), dry_since })
    }

    /// Where our Postgres streams from, or is copied from, while we lead a standby cluster.
    fn abroad(&self) -> Option<Source> {
        let site = self.belief.site()?.clone();
        let (member, address) = (self.config.name.clone(), site.address());
        Some(Source { member, address, site: Some(site) })
    }

    pub(super) fn standby_leader(
        &mut self,
        now: Millis,
        term: Term,
        silent_since: Option<Millis>,
    ) -> Option<(Role, Reason)> {
        if self.belief.primary().is_some() {
            // Somebody promoted it by hand: its timeline is nobody's, and would win by its number.
            self.unfit.0 = now.after(STRAYED);
            return Some(Role::close(Reason::OpenWithoutLeadership));
        }
        let Some((_, until)) = self.belief.standing(now).filter(|(of, _)| *of == term) else {
            let ours = self.belief.own_leader_key().is_some();
            return Some(self.step_down(if ours { Reason::LeaseRanOut } else { Reason::Deposed }));
        };
        self.desk.wake_at(until);
        self.keep_key();
        if self.leaving.is_some() {
            return Some(self.step_down(Reason::AgentStopped));
        }
        let facts = self.belief.facts.clone()?;
        let stale = facts.is_stale(now, self.belief.settings().timing);
        match &facts.server {
            Server::Standby(standby) if !stale && silent_since.is_none() => {
                self.note_running(&facts);
                if self.lets_go_astray(now, &facts, standby) {
                    return Some(Role::close(Reason::SourceLost));
                }
                self.keep_followers(now, standby);
                self.standby_requests(now, term, (&facts, standby))
            }
            Server::Standby(_) if !stale => {
                Some((Role::StandbyLeader { term, silent_since: None }, Reason::Resumed))
            }
            Server::Stopped(_) if !stale && self.remakes(now) => {
                self.remake(now, &facts);
                None
            }
            Server::Starting if self.attaches_in_the_way() => {
                self.rejoining.plan = Plan::Settle;
                Some(Role::close(Reason::SourceLost))
            }
            Server::Starting if self.remakes(now) => None,
            Server::Stopped(_) if !stale => Some(Role::close(Reason::PostgresDied)),
            Server::Refusing(_) if !stale => None,
            Server::Stopped(_)
            | Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Standby(_)
            | Server::Primary(_) => {
                let Some(since) = silent_since else {
                    let role = Role::StandbyLeader { term, silent_since: Some(now) };
                    return Some((role, Reason::PostgresSilent));
                };
                let until = since.after(self.belief.settings().timing.stall_timeout);
                self.desk.wake_at(until);
                let over = now >= until && !self.is_paused();
                over.then(|| Role::close(Reason::PostgresSilent))
            }
        }
    }

    /// Its Postgres waits for the other cluster, which may be gone, and an operator wants another to lead, or this one
    /// to accept writes: started by itself it can be asked.
    fn attaches_in_the_way(&self) -> bool {
        let asks = |ask: &Ask| {
            matches!(
                ask,
                Ask::PromoteCluster { .. } | Ask::Switchover { .. } | Ask::Failover { .. }
            )
        };
        let asked = self.open_requests().iter().any(|(_, request)| asks(&request.ask));
        asked && matches!(self.rejoining.plan, Plan::Attach(_))
    }

    /// Nothing was open: the key goes without a stop.
    fn step_down(&mut self, reason: Reason) -> (Role, Reason) {
        self.lets_go_because(reason);
        (Role::Replica, reason)
    }

    /// Streams from the other cluster, whoever accepts writes there.
    pub(super) fn follow_abroad(&mut self, now: Millis, facts: &PostgresFacts, standby: &Standby) {
        let Some(source) = self.abroad() else { return };
        if !self.desk.settled(facts) {
            return;
        }
        let attached = standby.source.as_ref() == Some(&source.address);
        if attached && standby.door != Some(Door::Shut) {
            return self.ready_slots(now);
        }
        if !self.may_try(now) {
            return;
        }
        match self.belief.standing(now) {
            Some((term, _)) if standby.mute => self.attaches(now, term),
            Some(_) | None => self.desk.job(Job::Follow(source, None)),
        }
    }

    /// Copies the other cluster anew in the place of our data, and starts the copy.
    fn remake(&mut self, now: Millis, facts: &PostgresFacts) {
        let Some(source) = self.abroad() else { return };
        if !self.desk.settled(facts) || !self.may_try(now) {
            return;
        }
        if self.is_given_up() {
            self.desk.job(Job::Clone(source));
        } else {
            self.desk.job(Job::Start(Some(source), Door::Open));
        }
    }

    fn has_replayed(&self, now: Millis, name: &MemberName, at: Position) -> bool {
        self.belief.heard(now, name).is_some_and(|beat| {
            let own = beat.position.zip(beat.replayed);
            own.is_some_and(|(end, lsn)| has(Position { lsn, ..end }, at))
        })
    }

    /// What makes a standby cluster one that accepts writes, as far as it can be done in one step: from then on there
    /// is an election like any other. Our Postgres receives from nobody any more. Only who has what was named may lead.
    pub(super) fn turned(
        &self,
        now: Millis,
        standby: &Standby,
        at_least: Option<Position>,
    ) -> Option<(Vec<(Key, Revision)>, Change)> {
        let view = self.belief.view.as_ref()?;
        let (last, sync) = (view.term.as_ref()?, view.sync.as_ref()?);
        let mut members = sync.value.members.clone();
        members.retain(|name, _| at_least.is_none_or(|at| self.has_replayed(now, name, at)));
        members.insert(self.config.name.clone(), self.belief.data()?.1);
        let highest = self.belief.highest_timeline();
        let term = TermRecord {
            reserved: Timeline(highest.0.saturating_add(APART)),
            holder: Holder::Released {
                member: self.config.name.clone(),
                checkpoint: None,
                successor: Some(self.config.name.clone()),
            },
            reason: Reason::ClusterPromoted,
            ..last.value.clone()
        };
        let record = SyncRecord {
            version: sync.value.version + 1,
            line: standby.line(),
            members,
            standby: None,
            ..sync.value.clone()
        };
        let change =
            Change::default().put(Record::Term(term)).put(Record::Sync(record)).delete(Key::Leader);
        Some((vec![(Key::Term, last.revision), (Key::Sync, sync.revision)], change))
    }
}
