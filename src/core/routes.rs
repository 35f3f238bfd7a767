//! Where to write and where to read: a safety decision, therefore here. Answers from memory, never from Postgres.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::lease::Leadership;
use crate::observe::{Heartbeat, PostgresFacts, Server};
use crate::reads::ReplicaDemand;
use crate::records::{
    ClusterRecord, MemberRecord, MemberRole, RequestId, RequestRecord, SyncRecord,
};
use crate::settings::Settings;
use crate::site::Site;
use crate::units::{Address, Lsn, MemberName, Millis, Position, Revision, Term};

/// What the API answers from; published by the node whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    /// This member.
    pub me: MemberName,
    /// Its own record, as it would stand in the store.
    pub record: MemberRecord,
    /// The role that the node is in, such as `replica` or `candidate`.
    pub role: String,
    /// Why it is in it.
    pub reason: String,
    /// Why this member does not stand while nobody leads, or decides nothing at all.
    pub waits: Option<String>,
    /// The highest term seen.
    pub term: Term,
    /// The proof that it may accept writes; look at `until` before you use it.
    pub leadership: Option<Leadership>,
    /// In `quorum`: until when enough voters are known to stand by it; zero when somebody stands against it.
    #[serde(default)]
    pub backed: Option<Millis>,
    /// Its leadership rests on the consent of every member, and not on a lease.
    #[serde(default)]
    pub failsafe: bool,
    /// Until when the leader is known to lead without the store: it was let go on, by this member too.
    #[serde(default)]
    pub vouched: Option<Millis>,
    /// This member's standby has replayed nothing for `stall_timeout`, though there is WAL.
    #[serde(default)]
    pub stalled: bool,
    /// Whom this member's standby streams from.
    #[serde(default)]
    pub upstream: Option<MemberName>,
    /// The last look at Postgres.
    pub postgres: Option<PostgresFacts>,
    /// The `leader` key.
    pub leader: Option<(MemberName, Term)>,
    /// Every member that the store knows, this one included.
    pub members: BTreeMap<MemberName, MemberStatus>,
    /// Where the primary's WAL ended when it was last heard.
    pub primary_position: Option<Position>,
    /// The cluster.
    pub cluster: Option<ClusterRecord>,
    /// `sync`
    pub sync: Option<SyncRecord>,
    /// Who is drained.
    #[serde(default)]
    pub drained: BTreeSet<MemberName>,
    /// What the PgBouncers are to do.
    #[serde(default)]
    pub pools: PoolsAre,
    /// What operators asked for.
    pub requests: BTreeMap<RequestId, RequestRecord>,
    /// Which of them this member's agent is to carry out by itself, now.
    #[serde(default)]
    pub errand: Option<RequestId>,
    /// The settings in force.
    pub settings: Settings,
    /// The revision of the settings in the store that those are; "absent" while none were read.
    #[serde(default)]
    pub settings_revision: Revision,
    /// When the store last answered us (lease or read), on our clock.
    pub store_heard_at: Option<Millis>,
    /// What this cluster follows, if it is a standby cluster.
    #[serde(default)]
    pub follows: Option<Follows>,
}

/// What a standby cluster follows, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Follows {
    /// The other cluster.
    pub site: Site,
    /// On its leader: until when it leads.
    pub until: Option<Millis>,
    /// On its leader: since when nothing comes from there.
    pub dry_since: Option<Millis>,
}

/// What the PgBouncers before this cluster are to do, by the word of this member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolsAre {
    /// It has none, or it does not accept writes: it says nothing.
    #[default]
    Left,
    /// To hold their clients: the leadership is about to be handed over.
    Held,
    /// Nothing yet, but it will accept writes in this term in a moment.
    Soon(Term),
    /// To let their clients through, to this member: it accepts writes in this term.
    Free(Term),
}

/// A member, as the store and its heartbeats show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberStatus {
    /// From the store.
    pub record: MemberRecord,
    /// What it said last, and when we heard it on our clock; `None` for ourselves and for the silent.
    pub heard: Option<(Millis, Heartbeat)>,
}

/// Whether a check passes; if not, why.
pub type Answer = Result<(), &'static str>;

/// Where to write and where to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Routes {
    /// The newest term known here.
    pub term: Term,
    /// Milliseconds since the store last confirmed what this answer rests on.
    pub age_ms: u64,
    /// Where to write; `None` while nobody accepts writes.
    pub primary: Option<Route>,
    /// Where to read.
    pub replicas: Vec<Route>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Whose.
    pub member: MemberName,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Bytes of WAL that it has not replayed, for a replica whose lag is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Sessions of clients that it has, for a replica that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}

impl Routes {
    /// Where to read. Where a reader is to have replayed a position and none has, the primary stands for them: it has
    /// every acknowledged commit.
    #[must_use]
    pub fn reading(&self, demand: &ReplicaDemand) -> Vec<Route> {
        match &self.primary {
            Some(primary) if self.replicas.is_empty() && demand.min_lsn.is_some() => {
                vec![primary.clone()]
            }
            Some(_) | None => self.replicas.clone(),
        }
    }
}

impl Route {
    pub(crate) fn to(member: &MemberName, address: &Address) -> Self {
        let (host, port) = (address.host.clone(), address.port);
        Self { member: member.clone(), host, port, lag_bytes: None, sessions: None }
    }
}

impl Status {
    /// `/primary` (I9): an unexpired leadership, and a Postgres that is out of recovery and answers.
    ///
    /// # Errors
    /// Why not.
    pub fn primary(&self, now: Millis) -> Answer {
        if self.follows.is_some() {
            return Err("this cluster is a standby of another: nobody here accepts writes");
        }
        self.leads(now)?;
        let Some(facts) = self.postgres.as_ref() else {
            return Err("Postgres was not looked at yet");
        };
        if facts.is_stale(now, self.settings.timing) {
            return Err("this member leads, but nothing was heard of its Postgres for too long");
        }
        if facts.is_deaf(self.settings.timing) {
            return Err("this member leads, but its Postgres lets nobody in any more");
        }
        match self.backed {
            Some(Millis(0)) => {
                return Err(
                    "this member leads, but another stands against it or its voters are silent",
                );
            }
            Some(until) if now >= until => {
                return Err("this member leads, but too few voters were heard lately");
            }
            Some(_) | None => {}
        }
        match (&self.record.role, &facts.server) {
            (MemberRole::Opening { .. }, _) => Err(
                "this member leads, and waits for its voters to have the beginning of its timeline",
            ),
            (MemberRole::Primary { .. }, Server::Primary(_) | Server::Refusing(_)) => Ok(()),
            _ => Err("this member leads, but its Postgres does not accept writes yet"),
        }
    }

    /// `/leader`: an unexpired leadership.
    ///
    /// # Errors
    /// Why not.
    pub fn leads(&self, now: Millis) -> Answer {
        if self.follows.is_some() {
            return self.leads_standbys(now);
        }
        match self.leadership {
            Some(proof) if now < proof.until() => Ok(()),
            Some(_) => Err("this member's leadership has run out"),
            None => Err("this member does not lead"),
        }
    }

    /// `/health`: Postgres answers, in any role.
    ///
    /// # Errors
    /// Why not.
    pub fn healthy(&self) -> Answer {
        match self.postgres.as_ref().map(|facts| &facts.server) {
            Some(Server::Primary(_) | Server::Standby(_)) => Ok(()),
            Some(Server::Starting) => Err("Postgres is starting"),
            Some(Server::Silent) => Err("Postgres does not answer"),
            Some(Server::Refusing(_)) => Err("Postgres does not let haad in"),
            Some(Server::Stopped(_)) => Err("Postgres is not running"),
            None => Err("Postgres was not looked at yet"),
        }
    }

    /// Where to write and to read, from any member. What the store said counts for one ttl; longer where this member
    /// leads, or has let the leader go on without the store.
    ///
    /// # Errors
    /// The age in milliseconds of what we know, when it is too old to be told (`None`: nothing is known).
    pub fn routes(&self, now: Millis) -> Result<Routes, Option<u64>> {
        self.routes_for(now, &ReplicaDemand::default())
    }

    /// The same, with those replicas only that meet the demand.
    ///
    /// # Errors
    /// As [`Status::routes`].
    pub fn routes_for(&self, now: Millis, demand: &ReplicaDemand) -> Result<Routes, Option<u64>> {
        let heard = self.store_heard_at.ok_or(None)?;
        let age = now.since(heard);
        let known = self.primary(now).is_ok() || self.vouched.is_some_and(|until| now < until);
        if age >= self.settings.timing.ttl && !known {
            return Err(Some(age.0));
        }
        Ok(Routes {
            term: self.term,
            age_ms: age.0,
            primary: self.primary_route(now),
            replicas: self.readers(now, demand),
        })
    }

    fn primary_route(&self, now: Millis) -> Option<Route> {
        if self.primary(now).is_ok() {
            return Some(Route::to(&self.me, &self.record.postgres));
        }
        let (leader, term) = self.leader.as_ref().filter(|(leader, _)| *leader != self.me)?;
        let record = &self.members.get(leader)?.record;
        let open = record.role == MemberRole::Primary { term: *term };
        open.then(|| Route::to(leader, &record.postgres))
    }

    /// Bytes that the primary had written, when last heard, and a replica at `replayed` has not replayed.
    #[must_use]
    pub fn lag(&self, replayed: Lsn) -> Option<u64> {
        self.primary_position.map(|primary| primary.lsn.bytes_since(replayed))
    }
}
