//! What the node believes, and how an input changes it. Never decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::input::{Input, LeaseNews, Outcome, Seen, Via};
use crate::lease::{Consent, Lease};
use crate::line::Line;
use crate::observe::{
    DataDir, Heartbeat, PeerState, PostgresFacts, Primary, Room, Server, Standby,
};
use crate::off::{Mechanism, Off};
use crate::records::{Holder, Kept, LeaderRecord, MemberRecord, StoreView, TermRecord};
use crate::settings::Settings;
use crate::site::Site;
use crate::units::{
    Address, Incarnation, Instance, LeaseId, Lsn, MemberName, Millis, Position, Revision, SystemId,
    Term,
};

use super::Config;

/// What the node believes about the world outside its own wishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Belief {
    pub(super) me: MemberName,
    instance: Instance,
    /// What the settings are until the store shows some.
    first_settings: Settings,
    /// What a new cluster follows.
    #[serde(default)]
    pub(super) first_site: Option<Site>,
    /// The newest view of the store; `None` until the first linearizable one.
    pub(super) view: Option<StoreView>,
    /// The highest term seen in any view.
    pub(super) term: Term,
    /// Our lease, as last confirmed.
    pub(super) lease: Option<Lease>,
    /// After `ttl` was lowered: until when a leader that has not heard of it may count on the longer one.
    #[serde(default)]
    pub(super) longer_leases_until: Millis,
    /// The ttl that we asked for last; etcd may have granted more.
    pub(super) asked_ttl: Option<Millis>,
    /// The lease at the time of the last linearizable view that showed `leader` as ours on it.
    pub(super) confirmed: Option<(Term, Lease)>,
    /// The last look at Postgres.
    pub(super) facts: Option<Arc<PostgresFacts>>,
    /// The last heartbeat of each peer, and when it came.
    pub(super) peers: BTreeMap<MemberName, (Millis, Heartbeat)>,
    /// The newest term in which each peer was heard to have its Postgres out of recovery.
    #[serde(default)]
    opened_in: BTreeMap<MemberName, Term>,
    /// Where the WAL of the newest primary ended when it was last heard.
    pub(super) primary_position: Option<Position>,
    /// The store has shown less than it had before: etcd was restored, or is another one.
    pub(super) store_went_back: bool,
    /// The last read showed less than we have seen; perhaps it was only slow.
    #[serde(default)]
    store_in_doubt: bool,
    /// When the newest view came.
    #[serde(default)]
    view_at: Millis,
    /// When the newest linearizable view was asked for.
    pub(super) linear_at: Option<Millis>,
    /// When the store last answered us: the instant we asked.
    pub(super) store_heard_at: Option<Millis>,
    /// In `quorum`: our last question to the store that came to an end was not answered.
    #[serde(default)]
    pub(super) store_is_silent: bool,
    /// When the leader began to say that it cannot reach the store.
    #[serde(default)]
    pub(super) leader_blind_at: Option<Millis>,
    /// Since when the sitting leader says that it will not lead on.
    pub(super) gave_up_since: Option<Millis>,
    /// Every member lets us go on, and until when.
    #[serde(default)]
    pub(super) consent: Option<Consent>,
    /// Between which two instants of our clock etcd saw no renewal of another's lease.
    #[serde(default)]
    pub(super) quiet: BTreeMap<LeaseId, (Millis, Millis)>,
    /// A leader whose key vanished may not know it yet.
    pub(super) store_revokes_early: bool,
    /// When we first saw the leader that the newest view names.
    pub(super) led_since: Millis,
    /// Since when our standby does not stream.
    pub(super) dry_since: Option<Millis>,
    /// How far our standby has replayed, and since when no further though there is WAL.
    #[serde(default)]
    pub(super) replay: Option<(Lsn, Millis)>,
    /// Since when the disk of our Postgres is full, as far back as this leadership.
    #[serde(default)]
    pub(super) full_since: Option<Millis>,
    /// Since when no view shows a leader.
    pub(super) leaderless_since: Option<Millis>,
    /// The revision of `term` that is in force, and when we first saw it.
    pub(super) term_seen: (Revision, Millis),
    /// The wall clock, milliseconds since 1970, and when we were told.
    #[serde(default)]
    pub(super) wall: Option<(Millis, u64)>,
    #[serde(skip)]
    pub(super) off: Off,
}

/// The leader, as `leader` and `term` agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) member: MemberName,
    pub(super) term: Term,
    /// The timeline of its leadership and its ancestry.
    pub(super) line: Line,
}

impl Belief {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            me: config.name.clone(),
            instance: config.instance,
            first_settings: config.settings.clone(),
            first_site: config.follows.clone(),
            view: None,
            term: Term(0),
            lease: None,
            asked_ttl: None,
            longer_leases_until: Millis(0),
            confirmed: None,
            facts: None,
            peers: BTreeMap::new(),
            opened_in: BTreeMap::new(),
            primary_position: None,
            store_went_back: false,
            store_in_doubt: false,
            view_at: Millis(0),
            linear_at: None,
            store_heard_at: None,
            store_is_silent: false,
            leader_blind_at: None,
            gave_up_since: None,
            consent: None,
            quiet: BTreeMap::new(),
            store_revokes_early: true,
            led_since: Millis(0),
            dry_since: None,
            replay: None,
            full_since: None,
            leaderless_since: None,
            term_seen: (Revision::ABSENT, Millis(0)),
            wall: None,
            off: Off::default(),
        }
    }

    /// Learn what `input` tells about the world.
    pub(super) fn learn(&mut self, now: Millis, input: &Input) {
        match input {
            Input::Tick
            | Input::Job(..)
            | Input::Discarded(_)
            | Input::Tags(_)
            | Input::Promised(_)
            | Input::Stop(_) => {}
            Input::StoreRevokesEarly(early) => self.store_revokes_early = *early,
            Input::Store(seen) => self.learn_store(now, seen),
            Input::Lease(news) => self.learn_lease(*news),
            Input::LeaseSeen(seen) => self.learn_lease_of_another(now, seen),
            Input::Postgres(facts) => self.learn_postgres(facts),
            Input::Peer(beat) => self.learn_peer(now, beat),
            Input::Wall(unix_ms) => self.wall = Some((now, *unix_ms)),
        }
    }

    fn learn_store(&mut self, now: Millis, seen: &Seen) {
        if let Via::Read { asked_at } | Via::Txn { asked_at, .. } = seen.via {
            self.store_heard_at = self.store_heard_at.max(Some(asked_at));
            self.store_is_silent = false;
        }
        let first = self.view.is_none();
        if self.is_older(seen) || (first && seen.via == Via::Watch) {
            return;
        }
        self.view_at = now;
        let term = seen.view.term.as_ref();
        let revision = term.map_or(Revision::ABSENT, |kept| kept.revision);
        if first || revision != self.term_seen.0 {
            self.term_seen = (revision, now);
        }
        self.term = self.term.max(term.map_or(Term(0), |kept| kept.value.term));
        self.leaderless_since = match seen.view.leader {
            Some(_) => None,
            None => self.leaderless_since.or(Some(now)),
        };
        let key = |view: &StoreView| view.leader.as_ref().map(|kept| kept.value.clone());
        if self.view.as_ref().and_then(key) != key(&seen.view) {
            self.led_since = now;
        }
        let ttl = self.settings().timing.ttl;
        self.view = Some(seen.view.clone());
        if self.settings().timing.ttl < ttl {
            self.longer_leases_until = now.after(ttl);
        }
        if let Via::Read { asked_at } | Via::Txn { asked_at, .. } = seen.via {
            self.linear_at = self.linear_at.max(Some(asked_at));
        }
        self.confirm(seen.via);
    }

    /// Whether it shows less than we have seen. A read that was slow may have been overtaken by the watch; one that was
    /// asked for later is not, and no store that keeps its history shows an older term in a newer revision. A store
    /// that went back once is not believed any more: its revisions will overtake what we have seen.
    fn is_older(&mut self, seen: &Seen) -> bool {
        let older = self.view.as_ref().is_some_and(|old| seen.view.revision < old.revision);
        let term = seen.view.term.as_ref().map_or(Term(0), |kept| kept.value.term);
        let back = match seen.via {
            Via::Read { asked_at } if older => asked_at > self.view_at,
            Via::Read { .. } | Via::Txn { .. } | Via::Watch => !older && term < self.term,
        };
        if let Via::Read { .. } = seen.via {
            self.store_in_doubt = older;
        }
        self.store_went_back |= back;
        (older || self.store_went_back) && !self.off.is(Mechanism::WentBack)
    }

    /// Only a linearizable view asked for after the lease was renewed confirms the leadership of that renewal.
    fn confirm(&mut self, via: Via) {
        let asked_at = match via {
            Via::Watch if self.off.is(Mechanism::Confirmation) => {
                self.lease.map_or(Millis(0), |lease| lease.asked_at)
            }
            Via::Watch => return,
            Via::Txn { outcome: Outcome::Unknown, .. } => return,
            Via::Read { asked_at } | Via::Txn { asked_at, .. } => asked_at,
        };
        let (Some(lease), Some(leader)) = (self.lease, self.own_leader_key()) else { return };
        if leader.lease == Some(lease.id) && asked_at >= lease.asked_at {
            self.confirmed = Some((leader.value.term, lease));
        }
    }

    fn learn_lease(&mut self, news: LeaseNews) {
        match news {
            LeaseNews::Alive { id, asked_at, ttl } => {
                self.store_heard_at = self.store_heard_at.max(Some(asked_at));
                self.store_is_silent = false;
                if self.lease.is_none_or(|old| asked_at > old.asked_at) {
                    let lease = Lease::granted(id, asked_at, ttl, self.settings().timing);
                    let counts = if self.off.is(Mechanism::Margin) { ttl } else { lease.counts };
                    self.lease = Some(Lease { counts, ..lease });
                    if self.off.is(Mechanism::Confirmation) {
                        self.confirm(Via::Watch);
                    }
                }
            }
            LeaseNews::Gone { id } => {
                self.store_is_silent = false;
                if self.lease.is_some_and(|lease| lease.id == id) {
                    self.lease = None;
                    self.confirmed = None;
                }
            }
            LeaseNews::Silent { asked_at } => {
                let newest = self.store_heard_at.is_none_or(|heard| asked_at > heard);
                self.store_is_silent |= newest && self.quorum().is_some();
                self.asked_ttl = None;
            }
        }
    }

    fn learn_postgres(&mut self, facts: &PostgresFacts) {
        if self.facts.as_ref().is_none_or(|old| facts.began_at >= old.began_at) {
            let streams = match &facts.server {
                Server::Standby(standby) => standby.streaming,
                Server::Stopped(_)
                | Server::Starting
                | Server::Silent
                | Server::Refusing(_)
                | Server::Primary(_) => true,
            };
            self.dry_since = if streams { None } else { self.dry_since.or(Some(facts.began_at)) };
            if let Server::Primary(primary) = &facts.server {
                self.primary_position = Some(primary.position);
            }
            self.watch_replay(facts);
            let full = (facts.room == Room::None).then_some(facts.began_at);
            self.full_since = full.map(|now| self.full_since.unwrap_or(now));
            let mut facts = facts.clone();
            // One that is open stays in sight: what has no leadership is closed.
            if facts.is_deaf(self.settings().timing) && matches!(facts.server, Server::Standby(_)) {
                facts.server = Server::Silent;
            }
            self.facts = Some(Arc::new(facts));
        }
    }

    fn learn_peer(&mut self, now: Millis, beat: &Heartbeat) {
        if beat.from == self.me {
            return;
        }
        let late = self.peers.get(&beat.from).is_some_and(|(_, old)| {
            (old.instance, old.run) == (beat.instance, beat.run) && old.number >= beat.number
        });
        if late {
            return;
        }
        let leads = self.leader().is_some_and(|leader| leader.member == beat.from);
        let first = beat.state == PeerState::Primary || self.site().is_some();
        if leads && first && beat.position.is_some() {
            self.primary_position = beat.position;
        }
        let sitting = self.sitting().is_some_and(|(leader, _)| *leader == beat.from);
        let was_blind = self.peers.get(&beat.from).is_some_and(|(_, old)| old.blind);
        if sitting && beat.blind && !was_blind {
            self.leader_blind_at = Some(now);
        }
        if sitting && self.quorum().is_some() {
            self.gave_up_since = self.gave_up_since.or(Some(now)).filter(|_| beat.gave_up);
        }
        if beat.state == PeerState::Primary {
            self.opened_in.insert(beat.from.clone(), beat.term);
        }
        self.peers.insert(beat.from.clone(), (now, beat.clone()));
    }

    pub(super) fn settings(&self) -> &Settings {
        let kept = self.view.as_ref().and_then(|view| view.settings.as_ref());
        kept.map_or(&self.first_settings, |kept| &kept.value)
    }

    /// The `leader` key, if it names us: this agent, not a namesake.
    pub(super) fn own_leader_key(&self) -> Option<&Kept<LeaderRecord>> {
        let leader = self.view.as_ref()?.leader.as_ref()?;
        let same = leader.value.instance == self.instance || self.off.is(Mechanism::Namesake);
        let ours = leader.value.member == self.me && same;
        ours.then_some(leader)
    }

    /// The `term` record.
    pub(super) fn term_key(&self) -> Option<&Kept<TermRecord>> {
        self.view.as_ref()?.term.as_ref()
    }

    /// The leader, where `leader`, `term` and `sync` agree; in between their changes there is none.
    pub(super) fn leader(&self) -> Option<Leader> {
        let view = self.view.as_ref()?;
        let (key, record) = (&view.leader.as_ref()?.value, &view.term.as_ref()?.value);
        match &record.holder {
            Holder::Leader { member, .. } if *member == key.member && record.term == key.term => {
                let sync = &view.sync.as_ref()?.value;
                let line = (sync.term == key.term).then(|| sync.line.clone())?;
                Some(Leader { member: member.clone(), term: key.term, line })
            }
            Holder::Leader { .. } | Holder::Candidate { .. } | Holder::Released { .. } => None,
        }
    }

    /// One read showed less than we had seen: a second one tells whether it was only slow.
    pub(super) const fn doubts_store(&self) -> bool {
        self.store_in_doubt && !self.store_went_back
    }

    pub(super) fn server(&self) -> Option<&Server> {
        self.facts.as_ref().map(|facts| &facts.server)
    }

    pub(super) fn standby(&self) -> Option<&Standby> {
        match self.server()? {
            Server::Standby(standby) => Some(standby),
            Server::Stopped(_)
            | Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Primary(_) => None,
        }
    }

    pub(super) fn primary(&self) -> Option<&Primary> {
        match self.server()? {
            Server::Primary(primary) => Some(primary),
            Server::Stopped(_)
            | Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Standby(_) => None,
        }
    }

    /// The data's system identifier and incarnation, if there are data.
    pub(super) fn data(&self) -> Option<(SystemId, Incarnation)> {
        match self.facts.as_ref()?.data {
            DataDir::Present { system_id, incarnation, .. } => Some((system_id, incarnation)),
            DataDir::Empty | DataDir::Foreign(_) | DataDir::Unreadable(_) => None,
        }
    }

    /// Whether this agent is in the store under its name.
    pub(super) fn registered(&self) -> bool {
        self.member(&self.me).is_some_and(|record| record.instance == self.instance)
            || self.off.is(Mechanism::Namesake)
    }

    /// Whether another agent is in the store under our name.
    pub(super) fn name_is_in_use(&self) -> bool {
        self.member(&self.me).is_some_and(|record| record.instance != self.instance)
            && !self.off.is(Mechanism::Namesake)
    }

    /// A member's record in the store: it is there while its lease lives.
    pub(super) fn member(&self, name: &MemberName) -> Option<&MemberRecord> {
        Some(&self.view.as_ref()?.members.get(name)?.value)
    }

    /// Where a member's Postgres listens.
    pub(super) fn address(&self, name: &MemberName) -> Option<Address> {
        self.member(name).map(|record| record.postgres.clone())
    }

    /// Whether the last leader's own heartbeat says that its Postgres is closed: we have heard it open in this term. A
    /// standby that it was before its promotion tells nothing.
    pub(super) fn has_closed(&self, now: Millis, leader: &MemberName) -> bool {
        let opened = self.opened_in.get(leader).is_some_and(|term| *term >= self.term);
        let beat = self.heard(now, leader).filter(|beat| opened && beat.term >= self.term);
        beat.is_some_and(|beat| match beat.state {
            PeerState::Stopped
            | PeerState::Standby
            | PeerState::Streaming
            | PeerState::Detached => true,
            PeerState::NotReady | PeerState::Primary => false,
        })
    }

    /// Whether an acknowledged commit may rest on our data.
    pub(super) fn is_voter(&self) -> bool {
        let own = self.data().map(|(_, incarnation)| incarnation);
        let voters = self.quorum().map(|sync| &sync.voters);
        voters.is_some_and(|voters| own.is_some() && voters.get(&self.me).copied() == own)
    }

    /// Whether commits may wait for this member, whatever its data are.
    pub(super) fn is_named_voter(&self, name: &MemberName) -> bool {
        self.quorum().is_some_and(|sync| sync.voters.contains_key(name))
    }

    /// A peer's last heartbeat, if it is young enough to count on.
    pub(super) fn heard(&self, now: Millis, name: &MemberName) -> Option<&Heartbeat> {
        let (at, beat) = self.peers.get(name)?;
        (now.since(*at) < self.settings().timing.suspect_after).then_some(beat)
    }
}
