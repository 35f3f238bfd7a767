//! What is seen of Postgres and heard from peers. Facts have an age; none is trusted beyond it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::line::{Fork, Line};
use crate::list::List;
use crate::parameters::Parameters;
use crate::records::Tags;
use crate::settings::Timing;
use crate::units::{
    Address, Incarnation, Instance, JobId, Lsn, MemberName, Millis, Position, Revision, SystemId,
    Term, Timeline,
};
use crate::voters::{Attempt, Grant, Question};

/// One look at our own Postgres.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PostgresFacts {
    /// Our clock when the look began: everything here is at least this young.
    pub began_at: Millis,
    /// The data directory.
    pub data: DataDir,
    /// The server.
    pub server: Server,
    /// The work that was in the job slot when the look began.
    pub job: Option<JobId>,
    /// How far the work in the slot is, in percent, if it says.
    #[serde(default)]
    pub progress: Option<u8>,
    /// `server_version_num`, from the binaries; 0 while unknown.
    pub server_version: u32,
    /// How the server stands to its parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// Of a standby: a logical slot of the settings that it has no copy of, which would be lost if it led.
    #[serde(default)]
    pub lacks_slot: Option<String>,
    /// For how many milliseconds nobody who began a connection was answered; 0 once somebody was.
    #[serde(default)]
    pub unanswered_ms: u64,
    /// Of one that starts: where the WAL segment begins for which its recovery has waited some seconds, with nothing
    /// done meanwhile; `None` if it has not, or nobody can say.
    #[serde(default)]
    pub awaits: Option<Lsn>,
    /// Slots that will lose WAL soon.
    #[serde(default)]
    pub tight_slots: Vec<TightSlot>,
    /// What is left on the file systems that hold its tables.
    #[serde(default)]
    pub room: Room,
}

/// What is left on the file system that has least, of those that hold tables.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// Not known.
    #[default]
    Unknown,
    /// Less than tables need to grow.
    None,
    /// Not enough to take over from a primary that has none: the two would take turns.
    Little,
    /// A gigabyte, or a twentieth of it.
    Enough,
}

/// A replication slot that holds nearly as much WAL as it may. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TightSlot {
    /// Its name.
    pub name: String,
    /// Bytes of WAL that may be written before it loses some.
    pub left: u64,
}

/// What is in the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataDir {
    /// Nothing, or not there.
    Empty,
    /// Something that is not ours to touch, in a sentence: not Postgres, another major version.
    Foreign(String),
    /// It could not be read this time, and why, in a sentence. Nothing follows from it but another look.
    Unreadable(String),
    /// A Postgres.
    Present {
        /// Its database system.
        system_id: SystemId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// It was cloned or rewound and cannot start without a source to stream from (`backup_label` is there),
        /// a rewind of it was broken off, or the WAL that recovery begins with is not there.
        needs_source: bool,
        /// Our initdb made it, and no Postgres was ever started in it: nobody wrote anything here.
        untouched: bool,
    },
}

impl DataDir {
    /// Whether it cannot be started alone.
    #[must_use]
    pub const fn needs_source(&self) -> bool {
        match self {
            Self::Present { needs_source, .. } => *needs_source,
            Self::Empty | Self::Foreign(_) | Self::Unreadable(_) => false,
        }
    }
}

/// The server process and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// No process of this Postgres is left, backends included.
    Stopped(Shutdown),
    /// A postmaster lives and does not accept connections yet.
    Starting,
    /// A postmaster lives, accepted connections before, and does not answer.
    Silent,
    /// A postmaster lives, answers, and does not let haad in: its sentence. A wrong password or a full house
    /// tells nothing about the database's health.
    Refusing(String),
    /// It answers and is in recovery.
    Standby(Standby),
    /// It answers and is out of recovery.
    Primary(Primary),
}

/// How a stopped Postgres ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// In order, as a primary: the position at which its shutdown checkpoint begins.
    Primary(Position),
    /// In order, as a standby.
    Standby,
    /// Not in order.
    Crashed,
    /// There is no data.
    NoData,
}

/// What a standby says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standby {
    /// End of its WAL on disk. Exact when `detached`; before that a lower bound from the replayed and the flushed LSN.
    pub position: Position,
    /// The ancestry of that timeline, oldest first, as far as it is known here.
    #[serde(default)]
    pub lineage: Vec<Fork>,
    /// Timelines that leave this one at or behind its end, whose history is here and none of whose WAL was replayed:
    /// recovery may be bound for one of them, and only a restart gets it off. Not looked for while it streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Line>,
    /// Replayed up to here.
    pub replayed: Lsn,
    /// Milliseconds since the last replayed commit on the primary's clock; `None` if nothing was replayed.
    pub replay_age_ms: Option<u64>,
    /// Where `primary_conninfo` points, as a new session sees it.
    pub source: Option<Address>,
    /// It receives from nobody, cannot begin to, and has replayed all that it has: `position` is exact.
    pub detached: bool,
    /// It lets nobody in, haad no more than clients, and cannot be told another source: its snapshot is pending. It is
    /// `detached`, can be promoted, and is started anew to stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mute: bool,
    /// A WAL receiver streams.
    pub streaming: bool,
    /// It has replayed all that it has, and receives nothing from its source, which it asks again and again: `position`
    /// is exact.
    #[serde(default)]
    pub dry: bool,
    /// Replay is paused.
    pub paused: bool,
    /// Whom it lets in; `None` while it does not say.
    #[serde(default)]
    pub door: Option<Door>,
    /// Sessions of clients, ours among them; `None` while it does not say.
    #[serde(default)]
    pub sessions: Option<u32>,
    /// Where the oldest WAL that it still has begins; `None` while unknown.
    #[serde(default)]
    pub oldest: Option<Lsn>,
    /// Unix milliseconds of the postmaster's start.
    pub started_unix_ms: u64,
}

impl Standby {
    /// Milliseconds since what was replayed last was committed, by the primary's wall clock; nothing, when all that it
    /// has is replayed. Not known before the first commit was.
    #[must_use]
    pub fn behind_ms(&self) -> Option<u64> {
        if self.replayed >= self.position.lsn { Some(0) } else { self.replay_age_ms }
    }
}

/// What a primary says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Primary {
    /// Timeline, and the flushed LSN.
    pub position: Position,
    /// End of what was inserted into its WAL, flushed or not: a barrier waits for this.
    #[serde(default)]
    pub inserted: Lsn,
    /// The ancestry of its timeline, oldest first.
    pub lineage: Vec<Fork>,
    /// Where the oldest WAL that it still has begins; `None` while unknown.
    #[serde(default)]
    pub oldest: Option<Lsn>,
    /// Who streams from it, by member name; others are not listed.
    pub replicas: BTreeMap<MemberName, Walsender>,
    /// The leaders of standby clusters that stream from it, by the names that they have there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub abroad: BTreeMap<MemberName, Walsender>,
    /// Whom commits wait for, as a session shows it; `None` for a text that haa did not write.
    #[serde(default)]
    pub shown: Option<List>,
    /// As `shown`, once it is effective: every walsender has taken it, and commits that are to wait do. `None` while a
    /// change is under way, and until this agent has proven it: then it is to be wished once more.
    #[serde(default)]
    pub effective: Option<List>,
    /// Whom the postmaster lets in; `None` while unknown.
    #[serde(default)]
    pub door: Option<Door>,
    /// The replication slots that haa made, by their names.
    #[serde(default)]
    pub slots: BTreeSet<String>,
    /// How its disk fares.
    #[serde(default)]
    pub flush: FlushProbe,
    /// Unix milliseconds of the postmaster's start.
    pub started_unix_ms: u64,
}

/// Whom Postgres lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Whom the operator's rules let in.
    #[default]
    Open,
    /// The agent beside it, replication and rewinds only.
    Shut,
}

/// What became of writing a little to the WAL and flushing it, without waiting for any replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlushProbe {
    /// How long the last one took that succeeded, in milliseconds.
    pub took_ms: Option<u64>,
    /// How long the one that is under way has been waiting, in milliseconds, when the look ended.
    pub waiting_ms: Option<u64>,
}

/// One replica, as its primary sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Walsender {
    /// From its `application_name`.
    pub incarnation: Incarnation,
    /// State `streaming`; else it is catching up, or starting.
    pub streaming: bool,
    /// Flushed up to here.
    pub flushed: Lsn,
    /// Replayed up to here.
    pub replayed: Lsn,
    /// Its place on the list that its walsender has taken, from 1; 0 when it is not on it. `Any` gives all of them 1,
    /// `FirstPadded` begins with 2.
    #[serde(default)]
    pub priority: u32,
    /// Whether commits wait for it, as its walsender sees it.
    #[serde(default)]
    pub sync: SyncState,
}

/// Postgres' `sync_state` of a walsender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// Not on the list.
    #[default]
    Async,
    /// On the list, behind the first `k` (`FirstPadded`).
    Potential,
    /// Among the first `k` (`FirstPadded`).
    Sync,
    /// On the list, where any `k` count (`Any`).
    Quorum,
}

impl SyncState {
    /// What it has flushed releases commits.
    #[must_use]
    pub const fn counts(self) -> bool {
        match self {
            Self::Async | Self::Potential => false,
            Self::Sync | Self::Quorum => true,
        }
    }
}

/// What an agent says to the others, every 100 ms and on change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who.
    pub from: MemberName,
    /// Of this agent; numbers below begin anew with another.
    pub instance: Instance,
    /// Drawn at each start of the agent: its numbers begin anew with it.
    #[serde(default)]
    pub run: u64,
    /// Counts up: an older one that comes late is dropped.
    pub number: u64,
    /// The highest term that it has seen in the store.
    pub term: Term,
    /// What its Postgres is.
    pub state: PeerState,
    /// End of its WAL (flushed, on a primary); `None` while unknown.
    pub position: Option<Position>,
    /// Replayed up to here.
    pub replayed: Option<Lsn>,
    /// Of a primary: where the oldest WAL that it still has begins.
    #[serde(default)]
    pub oldest: Option<Lsn>,
    /// It may lead as far as it knows itself: fit, allowed, on the list.
    pub fit: bool,
    /// The operator's tags.
    pub tags: Tags,
    /// Whom it streams from.
    #[serde(default)]
    pub upstream: Option<MemberName>,
    /// How long ago what it has and did not replay was committed; see [`Standby::behind_ms`].
    #[serde(default)]
    pub behind_ms: Option<u64>,
    /// Sessions of clients on a standby; see [`Standby::sessions`].
    #[serde(default)]
    pub sessions: Option<u32>,
    /// How far it is with being cloned or rewound, in percent.
    #[serde(default)]
    pub progress: Option<u8>,
    /// Whom it has heard within `suspect_after`.
    pub hears: Vec<MemberName>,
    /// It stands, and asks every voter for its grant of this.
    #[serde(default)]
    pub asks: Option<Attempt>,
    /// The attempt that it is bound to: promised on its disk, whether it has detached already or not.
    #[serde(default)]
    pub bound: Option<Attempt>,
    /// What it grants: promised on its disk, and it has detached.
    #[serde(default)]
    pub grant: Option<Grant>,
    /// The leader of this term is lost, as far as it can see: neither a heartbeat nor WAL came for long enough.
    #[serde(default)]
    pub suspects: Option<Term>,
    /// It cannot reach the store.
    #[serde(default)]
    pub blind: bool,
    /// `leader` names it, and it will not lead on: it closes writes, or cannot let go. Whoever can may take over.
    #[serde(default)]
    pub gave_up: bool,
    /// A standby that has replayed nothing for `stall_timeout`, though there is WAL.
    #[serde(default)]
    pub stalled: bool,
    /// It leads, cannot reach the store, and asks every member to let it go on.
    #[serde(default)]
    pub question: Option<Question>,
    /// The question that it said yes to: promised on its disk.
    #[serde(default)]
    pub consents: Option<Question>,
    /// The revision of the settings that it goes by; "absent" while it has read none.
    #[serde(default)]
    pub settings: Revision,
    /// The revision of the newest `drained/<name>` that it goes by; "absent" while it knows none.
    #[serde(default)]
    pub drained: Revision,
    /// How its server stands to its parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// See [`PostgresFacts::lacks_slot`].
    #[serde(default)]
    pub lacks_slot: Option<String>,
    /// See [`PostgresFacts::tight_slots`].
    #[serde(default)]
    pub tight_slots: Vec<TightSlot>,
    /// See [`PostgresFacts::room`].
    #[serde(default)]
    pub room: Room,
}

/// What a peer's Postgres is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// No server.
    Stopped,
    /// Not answering yet, or not any more.
    NotReady,
    /// A standby that may still receive.
    Standby,
    /// A standby that streams.
    Streaming,
    /// A standby that receives from nobody; its position is exact.
    Detached,
    /// Out of recovery.
    Primary,
}

impl PostgresFacts {
    /// Whether they are too old to tell anything: looks come twice a second, and one that gets no answer ends
    /// in `Silent`.
    #[must_use]
    pub fn is_stale(&self, now: Millis, timing: Timing) -> bool {
        now.since(self.began_at) >= timing.stall_timeout
    }

    /// Whether nobody new was let in for so long that whoever is connected tells nothing any more: backends live on
    /// when their postmaster hangs.
    #[must_use]
    pub fn is_deaf(&self, timing: Timing) -> bool {
        Millis(self.unanswered_ms) >= timing.stall_timeout
    }
}

impl Standby {
    /// Its timeline with its ancestry.
    #[must_use]
    pub fn line(&self) -> Line {
        Line { timeline: self.position.timeline, forks: self.lineage.clone() }
    }
}

impl Primary {
    /// Its timeline with its ancestry.
    #[must_use]
    pub fn line(&self) -> Line {
        Line { timeline: self.position.timeline, forks: self.lineage.clone() }
    }
}

impl Server {
    /// The timeline that it is on, as far as it says.
    #[must_use]
    pub const fn timeline(&self) -> Option<Timeline> {
        match self {
            Self::Standby(standby) => Some(standby.position.timeline),
            Self::Primary(primary) => Some(primary.position.timeline),
            Self::Stopped(_) | Self::Starting | Self::Silent | Self::Refusing(_) => None,
        }
    }
}
