//! What is kept in etcd, one type a key. Never how it gets there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::asks::{Altered, Ask, Due, Loss, Manner, RequestId, RequestRecord, RequestState};
use crate::discard::Discarded;
use crate::line::{Fork, Line};
use crate::reason::Reason;
use crate::settings::{Durability, Settings};
use crate::site::Site;
use crate::units::{
    Address, Incarnation, Instance, LeaseId, MemberName, Position, Revision, SystemId, Term,
    Timeline, Token,
};

/// `cluster`: which database system this cluster is. Written once, by compare-and-swap (I7).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Who initialises it, or did.
    pub creator: MemberName,
    /// `None` while initdb runs; the key then hangs on the creator's lease.
    pub system_id: Option<SystemId>,
}

/// `term`: the newest leadership or attempt. Its revision is the fencing token of an election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TermRecord {
    /// The number.
    pub term: Term,
    /// The highest timeline number that any leadership ever reserved (I14).
    pub reserved: Timeline,
    /// Who stands, leads, or has let go.
    pub holder: Holder,
    /// Why this record was written.
    pub reason: Reason,
}

/// Who a term belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Holder {
    /// An attempt. It may still end in nothing.
    Candidate {
        /// Who stands.
        member: MemberName,
        /// Drawn for this attempt alone.
        token: Token,
    },
    /// A leadership.
    Leader {
        /// Who leads.
        member: MemberName,
        /// Of the attempt that made it.
        token: Token,
        /// The timeline that this leadership creates, or continues after a renewal.
        timeline: Timeline,
        /// Where the leader's WAL ended when it was elected: at or before it, a member follows at once.
        position: Position,
    },
    /// A leadership that ended by its own will, its Postgres seen stopped.
    Released {
        /// Who led.
        member: MemberName,
        /// Start of the shutdown checkpoint if Postgres was stopped in order: who has a later position has everything.
        checkpoint: Option<Position>,
        /// Who is to stand, on a switchover.
        successor: Option<MemberName>,
    },
}

impl Holder {
    /// The member in question.
    #[must_use]
    pub const fn member(&self) -> &MemberName {
        match self {
            Self::Candidate { member, .. }
            | Self::Leader { member, .. }
            | Self::Released { member, .. } => member,
        }
    }
}

/// `leader`, on the leader's lease: who may accept writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// Who leads.
    pub member: MemberName,
    /// Its leadership.
    pub term: Term,
    /// Which agent of that name.
    pub instance: Instance,
}

/// `sync`: who holds what was acknowledged, and on which timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SyncRecord {
    /// Counts the writes of this record; each member remembers the highest that it saw.
    pub version: u64,
    /// The leadership that wrote it.
    pub term: Term,
    /// The leader that wrote it; it holds every acknowledged commit.
    pub primary: MemberName,
    /// The timeline of its leadership and where that comes from: what a member's WAL is compared with.
    pub line: Line,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// The voters, the primary among them (`quorum`; empty in `async`).
    pub voters: BTreeMap<MemberName, Incarnation>,
    /// How many voters beside the primary have flushed an acknowledged commit.
    pub k: u32,
    /// The members that may stand in `async`, and are asked in a store outage: those that have streamed and are
    /// not further behind than `maximum_lag_on_failover`.
    pub members: BTreeMap<MemberName, Incarnation>,
    /// The cluster that this one follows, if it is a standby cluster: then nobody accepts writes. Here, and not among
    /// the settings: whoever is elected has compared this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Site>,
}

/// `members/<name>`, on the member's lease: written on change only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Tells a restart from a namesake.
    pub instance: Instance,
    /// Where its Postgres listens.
    pub postgres: Address,
    /// Where its API and its peers' service listen.
    pub api: Address,
    /// haad's version.
    pub version: String,
    /// Postgres' version, as `server_version_num`; 0 while unknown.
    pub server_version: u32,
    /// The operator's tags.
    pub tags: Tags,
    /// What it does.
    pub role: MemberRole,
    /// Its database system, once it has data.
    pub system_id: Option<SystemId>,
    /// Its data's incarnation, once it has data.
    pub incarnation: Option<Incarnation>,
    /// Timeline of its Postgres; `None` while unknown.
    pub timeline: Option<Timeline>,
}

/// What a member says that it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum MemberRole {
    /// It leads this term, its Postgres is out of recovery and accepts connections.
    Primary {
        /// Its leadership.
        term: Term,
    },
    /// It leads this term and is being opened.
    Promoting {
        /// Its leadership.
        term: Term,
    },
    /// It leads this term and can be copied and streamed from; clients are let in when enough voters have flushed
    /// the beginning of its timeline.
    Opening {
        /// Its leadership.
        term: Term,
    },
    /// It leads this term of a standby cluster: it streams from the other cluster, and can be copied and streamed from.
    StandbyLeader {
        /// Its leadership.
        term: Term,
    },
    /// A standby that follows the leader and streams from it.
    Streaming,
    /// A standby that does not stream at the moment.
    Replica,
    /// Its Postgres is being started.
    Starting,
    /// initdb runs, or the first start.
    Initialising,
    /// It is being copied from another member.
    Cloning,
    /// Its divergent WAL is being taken back.
    Rewinding,
    /// Writes are being closed.
    Closing,
    /// No Postgres runs.
    Stopped,
    /// It will not run; its log and `GET /patroni` say why.
    Refused,
}

/// What the operator says about a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// Never leads.
    pub nofailover: bool,
    /// Breaks ties between candidates with the same position; the larger wins.
    pub failover_priority: i32,
    /// Not offered to readers.
    pub noloadbalance: bool,
    /// Others are cloned from it rather than from the leader.
    pub clonefrom: bool,
    /// Never a voter.
    #[serde(with = "word", skip_serializing_if = "std::ops::Not::not")]
    pub nosync: bool,
    /// Streams from this member instead of from the leader, while that one is well. Never a voter.
    #[serde(deserialize_with = "name", skip_serializing_if = "Option::is_none")]
    pub replicatefrom: Option<MemberName>,
    /// Receives from nobody, and lives on the operator's archive. Never a voter.
    #[serde(with = "word", skip_serializing_if = "std::ops::Not::not")]
    pub nostream: bool,
    /// Any other tags, shown and usable as `?tag_KEY=VALUE`.
    #[serde(flatten)]
    pub free: BTreeMap<String, String>,
}

impl Tags {
    /// Whether acknowledged commits may rest on it: whoever votes may lead, and streams from the leader.
    #[must_use]
    pub const fn votes(&self) -> bool {
        !self.nofailover && !self.nosync && self.attends()
    }

    /// Whether it is to stream from the leader. Whoever is not is on no list, and leads by an operator's word alone.
    #[must_use]
    pub const fn attends(&self) -> bool {
        self.replicatefrom.is_none() && !self.nostream
    }

    /// What decides between members with as much WAL, the greater first: the operator's number, then whether it is
    /// where the last leader was, as far as both say: its clients are there.
    #[must_use]
    pub fn preference(&self, last: Option<&Self>) -> (i32, bool) {
        let own = self.free.get("site");
        let near = own.is_some() && own == last.and_then(|last| last.free.get("site"));
        (self.failover_priority, near)
    }
}

/// It was free once: what is no name names nobody.
fn name<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<MemberName>, D::Error> {
    Ok(String::deserialize(text)?.parse().ok())
}

/// A tag that is younger than others, as an agent that does not know it reads it: among the free ones, which are texts.
mod word {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(on: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if *on { "true" } else { "false" })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<bool, D::Error> {
        Ok(String::deserialize(text)? == "true")
    }
}

/// `history/<term>`: a leadership that came to accept writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Who.
    pub leader: MemberName,
    /// The timeline that it created.
    pub timeline: Timeline,
    /// What it forked from.
    pub fork: Option<Fork>,
    /// Why there was an election.
    pub reason: Reason,
    /// Wall clock when it began to accept writes, milliseconds since 1970; stamped by the store.
    pub at_unix_ms: u64,
    /// From this member's standing to its accepting writes, in milliseconds.
    pub took_ms: u64,
    /// When each step was done.
    #[serde(default)]
    pub phases: Phases,
    /// Who could have led, and why each did or did not.
    #[serde(default)]
    pub candidates: BTreeMap<MemberName, Considered>,
}

/// The steps to a leadership, each in milliseconds since the last sign of the leader before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// It was clear that another leader is needed.
    pub noticed_ms: u64,
    /// `term` showed that it stands.
    pub stood_ms: u64,
    /// It had the grants, or in `async` the reports, that it needed.
    pub granted_ms: u64,
    /// `leader` named it.
    pub elected_ms: u64,
    /// Its Postgres left recovery.
    pub promoted_ms: u64,
    /// Clients were let in: the first write was possible.
    pub open_ms: u64,
    /// Everybody who is to follow it streamed.
    pub attached_ms: Option<u64>,
}

impl Phases {
    /// The steps that were taken, by name, in their order. One that was skipped is behind the one before it.
    #[must_use]
    pub fn taken(&self) -> Vec<(&'static str, u64)> {
        let steps = [
            ("noticed", Some(self.noticed_ms)),
            ("stood", Some(self.stood_ms)),
            ("granted", Some(self.granted_ms)),
            ("elected", Some(self.elected_ms)),
            ("promoted", Some(self.promoted_ms)),
            ("open", Some(self.open_ms)),
            ("attached", self.attached_ms),
        ];
        let (mut taken, mut last) = (Vec::new(), 0);
        for (name, at) in steps {
            if let Some(at) = at.filter(|at| *at >= last) {
                taken.push((name, at));
                last = at;
            }
        }
        taken
    }
}

/// A member at an election, as the winner knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Considered {
    /// Where its WAL ended, if it said.
    pub position: Option<Position>,
    /// Why it did or did not lead.
    pub verdict: Verdict,
}

/// Why a member did or did not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It leads.
    Chosen,
    /// It has as much WAL: priority, name, or who stood first decided.
    AsGood,
    /// It has less WAL.
    Behind,
    /// Its data are not what acknowledged commits rest on.
    NotListed,
    /// Its Postgres did not run.
    NotRunning,
    /// Its tags, or a promotion of its that failed.
    Unfit,
    /// It was not heard.
    Silent,
}

impl Verdict {
    /// For people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Chosen => "was chosen",
            Self::AsGood => "has as much WAL; priority, site, name, or who stood first decided",
            Self::Behind => "has less WAL",
            Self::NotListed => "its data are not what acknowledged commits rest on",
            Self::NotRunning => "its Postgres did not run",
            Self::Unfit => "is tagged nofailover, or could not be promoted lately",
            Self::Silent => "was not heard",
        }
    }
}

/// `drained/<name>`: an operator has taken this member out of use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DrainRecord {
    /// Who asked, and from where.
    pub by: String,
    /// Wall clock of the agent that was asked, milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// A value with what etcd says about its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept<T> {
    /// The value.
    pub value: T,
    /// `mod_revision`.
    pub revision: Revision,
    /// The lease that the key hangs on.
    pub lease: Option<LeaseId>,
}

/// Everything under the cluster's prefix (but for `history` and `events`) as it stood at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreView {
    /// The store's revision that this shows.
    pub revision: Revision,
    /// `cluster`
    pub cluster: Option<Kept<ClusterRecord>>,
    /// `settings`
    pub settings: Option<Kept<Settings>>,
    /// `term`
    pub term: Option<Kept<TermRecord>>,
    /// `leader`
    pub leader: Option<Kept<LeaderRecord>>,
    /// `sync`
    pub sync: Option<Kept<SyncRecord>>,
    /// `members/`
    pub members: BTreeMap<MemberName, Kept<MemberRecord>>,
    /// `drained/`
    #[serde(default)]
    pub drained: BTreeMap<MemberName, Kept<DrainRecord>>,
    /// `requests/`
    pub requests: BTreeMap<RequestId, Kept<RequestRecord>>,
}

/// A key under the cluster's prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// `cluster`
    Cluster,
    /// `settings`
    Settings,
    /// `term`
    Term,
    /// `leader`
    Leader,
    /// `sync`
    Sync,
    /// `members/<name>`
    Member(MemberName),
    /// `drained/<name>`
    Drained(MemberName),
    /// `requests/<id>`
    Request(RequestId),
    /// `events/<id>`
    Event(RequestId),
    /// `history/<term>`
    History(Term),
    /// `history/discarded/<member>/<fork>`
    Discarded(MemberName, Fork),
}

/// A value to be written under the key of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Under `cluster`.
    Cluster(ClusterRecord),
    /// Under `settings`.
    Settings(Settings),
    /// Under `term`.
    Term(TermRecord),
    /// Under `leader`.
    Leader(LeaderRecord),
    /// Under `sync`.
    Sync(SyncRecord),
    /// Under `members/<name>`.
    Member(MemberName, MemberRecord),
    /// Under `drained/<name>`.
    Drained(MemberName, DrainRecord),
    /// Under `requests/<id>`.
    Request(RequestId, RequestRecord),
    /// Under `events/<id>`: a request that has come to its end, for people to read. No decision needs it.
    Event(RequestId, RequestRecord),
    /// Under `history/<term>`.
    History(Term, HistoryRecord),
    /// Under `history/discarded/<member>/<fork>`.
    Discarded(Discarded),
}

impl Record {
    /// The key that it is written under.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Cluster(_) => Key::Cluster,
            Self::Settings(_) => Key::Settings,
            Self::Term(_) => Key::Term,
            Self::Leader(_) => Key::Leader,
            Self::Sync(_) => Key::Sync,
            Self::Member(name, _) => Key::Member(name.clone()),
            Self::Drained(name, _) => Key::Drained(name.clone()),
            Self::Request(id, _) => Key::Request(id.clone()),
            Self::Event(id, _) => Key::Event(id.clone()),
            Self::History(term, _) => Key::History(*term),
            Self::Discarded(lost) => lost.key(),
        }
    }
}
