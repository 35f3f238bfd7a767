//! What the node tells: its member record, its heartbeats, and the status that the API answers from. On change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Job};
use crate::observe::{Door, Heartbeat, PeerState, Server, Standby};
use crate::records::{Kept, Key, MemberRecord, MemberRole, Record, RequestId};
use crate::routes::{Follows, MemberStatus, PoolsAre, Status};
use crate::units::{Lsn, MemberName, Millis, Position, Revision, Term};
use crate::voters::{Attempt, Question};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::{Closing, How, Role};

/// The status is told again with the first heartbeat after this long, for the ages and positions in it; sooner where a
/// route would be closed by then, because what voters said is not told again.
const STATUS_AGAIN: Millis = Millis(250);
/// A replica with a leader has little to say: it speaks so many times in `suspect_after`.
const BEATS: u64 = 4;

/// What in a heartbeat must be told at once when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Urgent {
    term: Term,
    state: PeerState,
    fit: bool,
    exact: Option<Position>,
    suspects: Option<Term>,
    bound: Option<Attempt>,
    grants: bool,
    asks: Option<Attempt>,
    blind: bool,
    gave_up: bool,
    question: Option<Question>,
    consents: Option<Question>,
    settings: Revision,
    drained: Revision,
}

/// What was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    beats: u64,
    beat_at: Option<Millis>,
    status_at: Option<Millis>,
    urgent: Option<Urgent>,
    record: Option<MemberRecord>,
    leadership: Option<crate::lease::Leadership>,
    leader: Option<(MemberName, Term)>,
    #[serde(default)]
    follows: Option<Follows>,
    #[serde(default)]
    settings: Revision,
    #[serde(default)]
    drained: BTreeSet<MemberName>,
    #[serde(default)]
    pools: PoolsAre,
    #[serde(default)]
    errand: Option<RequestId>,
    /// Routes to us are closed: somebody stands against us, or too few voters speak.
    closed: bool,
}

impl Node {
    /// Tell what has changed.
    pub(super) fn publish(&mut self, now: Millis) {
        let record = self.member_record();
        self.keep_record(now, &record);
        let beat_due = self.beat(now);
        let leadership = self.belief.leadership(now);
        let leader = self.leader_key();
        let follows = self.follows(now);
        let backed = self.backed_until(now);
        let closed = backed == Some(Millis(0));
        let settings = self.settings_revision();
        let drained = self.belief.all_drained();
        let pools = self.pools();
        let errand = self.errand(now);
        let changed = self.told.settings != settings
            || self.told.pools != pools
            || self.told.errand != errand
            || self.told.drained != drained
            || self.told.record.as_ref() != Some(&record)
            || self.told.closed != closed
            || self.told.leadership != leadership
            || self.told.follows != follows
            || self.told.leader != leader;
        let quarter = Millis(self.belief.settings().timing.suspect_after.0 / BEATS);
        let again = STATUS_AGAIN.min(quarter);
        let due = self.told.status_at.is_none_or(|at| now.since(at) >= again);
        if changed || beat_due && due {
            self.told.status_at = Some(now);
            self.told.record = Some(record.clone());
            self.told.leadership = leadership;
            self.told.leader = leader;
            self.told.follows = follows;
            self.told.settings = settings;
            self.told.drained = drained;
            self.told.pools = pools;
            self.told.errand = errand;
            self.told.closed = closed;
            let status = self.status(now, record, backed);
            self.desk.wish(Effect::Publish(Box::new(status)));
        }
    }

    fn settings_revision(&self) -> Revision {
        seen(self.belief.view.as_ref().and_then(|view| view.settings.as_ref()))
    }

    fn leader_key(&self) -> Option<(MemberName, Term)> {
        let leader = self.belief.view.as_ref()?.leader.as_ref()?;
        Some((leader.value.member.clone(), leader.value.term))
    }

    /// Our record in the store is as it should be, and on the lease that we hold.
    fn keep_record(&mut self, now: Millis, record: &MemberRecord) {
        let name = &self.config.name;
        let (Some(lease), Some(view)) = (self.belief.lease, self.belief.view.as_ref()) else {
            return;
        };
        let alive = now < lease.asked_at.after(lease.ttl);
        let kept = view.members.get(name);
        let theirs = kept.is_some_and(|kept| kept.value.instance != self.config.instance);
        let right = kept.is_some_and(|kept| kept.value == *record && kept.lease == Some(lease.id));
        if right || theirs || !alive || self.leaving_for_good() || self.role == Role::Waking {
            return;
        }
        let compare = vec![(Key::Member(name.clone()), seen(kept))];
        let change =
            Change::default().put_on(lease.id, Record::Member(name.clone(), record.clone()));
        self.desk.txn(Purpose::Member, compare, change);
    }

    const fn leaving_for_good(&self) -> bool {
        self.exited || matches!(self.role, Role::Refused(_))
    }

    fn member_record(&self) -> MemberRecord {
        let data = self.belief.data();
        let role = self.member_role();
        MemberRecord {
            instance: self.config.instance,
            postgres: self.config.postgres.clone(),
            api: self.config.api.clone(),
            version: self.config.version.clone(),
            server_version: self.belief.facts.as_ref().map_or(0, |facts| facts.server_version),
            tags: self.config.tags.clone(),
            role,
            system_id: data.map(|(system_id, _)| system_id),
            incarnation: data.map(|(_, incarnation)| incarnation),
            timeline: self.belief.server().and_then(Server::timeline),
        }
    }

    pub(super) fn member_role(&self) -> MemberRole {
        match &self.role {
            Role::Primary { term, .. } => match self.belief.primary().and_then(|p| p.door) {
                Some(Door::Shut) => MemberRole::Opening { term: *term },
                Some(Door::Open) | None => MemberRole::Primary { term: *term },
            },
            Role::Promoting { term, .. } => MemberRole::Promoting { term: *term },
            Role::StandbyLeader { term, .. } if self.belief.standby().is_some() => {
                MemberRole::StandbyLeader { term: *term }
            }
            Role::Closing(_) => MemberRole::Closing,
            Role::Refused(_) => MemberRole::Refused,
            Role::Waking | Role::Replica | Role::Candidate { .. } | Role::StandbyLeader { .. } => {
                self.standby_role()
            }
        }
    }

    fn standby_role(&self) -> MemberRole {
        match self.desk.slot().map(|slot| &slot.job) {
            Some(Job::InitDb) => return MemberRole::Initialising,
            Some(Job::Clone(_)) => return MemberRole::Cloning,
            Some(Job::Rewind(_)) => return MemberRole::Rewinding,
            Some(Job::Start(..)) => return MemberRole::Starting,
            Some(
                Job::Fetch { .. }
                | Job::Checkpoint
                | Job::Hold
                | Job::Lower
                | Job::Stop(_)
                | Job::Follow(..)
                | Job::Detach(_)
                | Job::Promote { .. },
            )
            | None => {}
        }
        match self.belief.server() {
            Some(Server::Standby(standby)) if standby.streaming => MemberRole::Streaming,
            Some(
                Server::Standby(_) | Server::Silent | Server::Refusing(_) | Server::Primary(_),
            ) => MemberRole::Replica,
            Some(Server::Starting) => MemberRole::Starting,
            Some(Server::Stopped(_)) | None => MemberRole::Stopped,
        }
    }

    /// Between two heartbeats when nothing changes.
    pub(super) fn beat_interval(&self) -> Millis {
        let timing = self.belief.settings().timing;
        let led = self.belief.view.as_ref().is_some_and(|view| view.leader.is_some());
        if self.role == Role::Replica && led {
            timing.heartbeat.max(Millis(timing.suspect_after.0 / BEATS))
        } else {
            timing.heartbeat
        }
    }

    /// Say it every heartbeat, and at once when something changed that an election rests on.
    fn beat(&mut self, now: Millis) -> bool {
        let interval = self.beat_interval();
        let due = self.told.beat_at.is_none_or(|at| now.since(at) >= interval);
        let (state, position, replayed) = self.peer_state();
        let fit = self.may_lead(now);
        let exact = if state == PeerState::Detached { position } else { None };
        let suspects = self.suspects(now).map(|(term, _)| term);
        let bound = self.bound().cloned();
        let (grant, asks) = (self.grant(), self.asks());
        let (blind, gave_up) = (self.is_blind(now), self.gave_up());
        let (question, consents) = (self.failsafe_question(now), self.failsafe_answer(now));
        let (settings, drained) = (self.settings_revision(), self.belief.drained_at());
        let urgent = Urgent {
            term: self.belief.term,
            state,
            fit,
            exact,
            suspects,
            bound: bound.clone(),
            grants: grant.is_some(),
            asks: asks.clone(),
            blind,
            gave_up,
            question: question.clone(),
            consents: consents.clone(),
            settings,
            drained,
        };
        if !due && self.told.urgent.as_ref() == Some(&urgent) {
            self.desk.wake_at(self.told.beat_at.unwrap_or(now).after(interval));
            return false;
        }
        self.told.beats += 1;
        self.told.beat_at = Some(now);
        self.told.urgent = Some(urgent);
        let facts = self.belief.facts.as_ref();
        let beat = Heartbeat {
            from: self.config.name.clone(),
            instance: self.config.instance,
            run: self.config.seed,
            number: self.told.beats,
            term: self.belief.term,
            state,
            position,
            replayed,
            fit,
            oldest: self.oldest(),
            tags: self.config.tags.clone(),
            upstream: self.upstream_now(),
            behind_ms: self.belief.standby().and_then(Standby::behind_ms),
            sessions: self.belief.standby().and_then(|standby| standby.sessions),
            progress: facts.and_then(|facts| facts.progress),
            hears: self.hears(now),
            asks,
            bound,
            grant,
            suspects,
            blind,
            gave_up,
            question,
            consents,
            stalled: self.belief.is_stalled(),
            settings,
            drained,
            parameters: facts.map(|facts| facts.parameters.clone()).unwrap_or_default(),
            lacks_slot: facts.and_then(|facts| facts.lacks_slot.clone()),
            tight_slots: facts.map(|facts| facts.tight_slots.clone()).unwrap_or_default(),
            room: facts.map(|facts| facts.room).unwrap_or_default(),
        };
        self.desk.wish(Effect::Beat(Box::new(beat)));
        true
    }

    fn hears(&self, now: Millis) -> Vec<MemberName> {
        let known = self.belief.peers.keys();
        known.filter(|name| self.belief.heard(now, name).is_some()).cloned().collect()
    }

    /// Whoever follows a leader may lack what it has thrown away.
    fn oldest(&self) -> Option<Lsn> {
        let leads = matches!(self.role, Role::StandbyLeader { .. });
        let standby = self.belief.standby().filter(|_| leads).and_then(|standby| standby.oldest);
        self.belief.primary().and_then(|primary| primary.oldest).or(standby)
    }

    /// The key is ours and is to go: what keeps it from going is no reason for others to wait.
    fn gave_up(&self) -> bool {
        let closes = match &self.role {
            Role::Closing(Closing { how, .. }) => *how == How::AtOnce,
            Role::Replica => true,
            Role::Waking
            | Role::Candidate { .. }
            | Role::Promoting { .. }
            | Role::Primary { .. }
            | Role::StandbyLeader { .. }
            | Role::Refused(_) => false,
        };
        closes && self.belief.own_leader_key().is_some() && self.belief.quorum().is_some()
    }

    fn peer_state(&self) -> (PeerState, Option<Position>, Option<Lsn>) {
        match self.belief.server() {
            Some(Server::Stopped(_)) => (PeerState::Stopped, None, None),
            Some(Server::Starting | Server::Silent | Server::Refusing(_)) | None => {
                (PeerState::NotReady, None, None)
            }
            Some(Server::Primary(primary)) => {
                let end = primary.position;
                (PeerState::Primary, Some(end), Some(end.lsn))
            }
            Some(Server::Standby(standby)) => {
                let state = match (standby.detached, standby.streaming) {
                    (true, _) => PeerState::Detached,
                    (false, true) => PeerState::Streaming,
                    (false, false) => PeerState::Standby,
                };
                (state, Some(standby.position), Some(standby.replayed))
            }
        }
    }

    /// Our attempt, while we stand.
    fn asks(&self) -> Option<Attempt> {
        match &self.role {
            Role::Candidate { .. } if self.belief.quorum().is_some() => {
                self.belief.term_key().and_then(Kept::attempt)
            }
            Role::Candidate { .. }
            | Role::Waking
            | Role::Replica
            | Role::Promoting { .. }
            | Role::Primary { .. }
            | Role::StandbyLeader { .. }
            | Role::Closing(_)
            | Role::Refused(_) => None,
        }
    }

    /// Until when enough voters have said that they granted nothing: with `k` of them on our side, too few are left
    /// for an election. `None` where none are needed; zero while somebody stands against us.
    fn backed_until(&self, now: Millis) -> Option<Millis> {
        let Role::Primary { term, .. } = self.role else { return None };
        let sync = self.belief.quorum()?;
        if self.challenged().is_some() {
            return Some(Millis(0));
        }
        let free = |name: &MemberName| {
            let (at, beat) = self.belief.peers.get(name)?;
            let bound = beat.bound.as_ref().is_some_and(|attempt| attempt.term > term);
            // Whoever follows a later leader is bound to nobody any more.
            (!bound && beat.term <= term)
                .then(|| at.after(self.belief.settings().timing.suspect_after))
        };
        let mut until: Vec<Millis> = sync.other_voters().keys().filter_map(free).collect();
        until.retain(|until| now < *until);
        until.sort_by_key(|until| std::cmp::Reverse(*until));
        match sync.k {
            0 => None,
            k => Some(until.get(k as usize - 1).copied().unwrap_or_default()),
        }
    }

    fn status(&self, now: Millis, record: MemberRecord, backed: Option<Millis>) -> Status {
        let view = self.belief.view.as_ref();
        let mut members: BTreeMap<MemberName, MemberStatus> = BTreeMap::new();
        for (name, kept) in view.into_iter().flat_map(|view| &view.members) {
            let heard = self.belief.peers.get(name).cloned();
            members.insert(name.clone(), MemberStatus { record: kept.value.clone(), heard });
        }
        let reason = match &self.role {
            Role::Refused(why) => why.clone(),
            Role::Waking
            | Role::Replica
            | Role::Candidate { .. }
            | Role::Promoting { .. }
            | Role::Primary { .. }
            | Role::StandbyLeader { .. }
            | Role::Closing(_) => self.reason.sentence().to_owned(),
        };
        let requests = view.into_iter().flat_map(|view| &view.requests);
        Status {
            me: self.config.name.clone(),
            record,
            role: self.role.name().to_owned(),
            reason,
            waits: self.waiting().map(|waits| waits.sentence().to_owned()),
            term: self.belief.term,
            leadership: self.told.leadership,
            backed,
            failsafe: self.rests_on_consent(now),
            vouched: self.vouched(now),
            stalled: self.belief.is_stalled(),
            upstream: self.upstream_now(),
            postgres: self.belief.facts.as_deref().cloned(),
            leader: self.leader_key(),
            members,
            primary_position: self.belief.primary_position,
            cluster: view.and_then(|view| view.cluster.as_ref()).map(|kept| kept.value.clone()),
            sync: view.and_then(|view| view.sync.as_ref()).map(|kept| kept.value.clone()),
            drained: self.told.drained.clone(),
            pools: self.told.pools,
            requests: requests.map(|(id, kept)| (id.clone(), kept.value.clone())).collect(),
            errand: self.told.errand.clone(),
            settings: self.belief.settings().clone(),
            settings_revision: self.settings_revision(),
            store_heard_at: self.belief.store_heard_at,
            follows: self.follows(now),
        }
    }
}
