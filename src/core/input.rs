//! Everything that can happen to a node. Each input updates what we believe; none is a command to act.

use serde::{Deserialize, Serialize};

use crate::discard::Discarded;
use crate::observe::{Heartbeat, PostgresFacts};
use crate::records::{StoreView, Tags};
use crate::units::{JobId, LeaseId, Millis, TxnId};
use crate::voters::Promises;

/// Something happened, or was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Time passed: `Node::deadline` was reached.
    Tick,
    /// The store, as one revision showed it.
    Store(Box<Seen>),
    /// News of our lease.
    Lease(LeaseNews),
    /// What etcd says of a lease that is another's.
    LeaseSeen(LeaseSeen),
    /// Whether any etcd member is of a release that may revoke a live lease early (before 3.5.13). Until this
    /// is heard, it is taken to be so.
    StoreRevokesEarly(bool),
    /// What Postgres is, as of `facts.began_at`.
    Postgres(Box<PostgresFacts>),
    /// The work in the job slot has ended.
    Job(JobId, JobResult),
    /// A note on our disk: a rewind or a clone has taken this back. Told again by each run of the agent until the note
    /// goes.
    Discarded(Box<Discarded>),
    /// This is on our disk.
    Promised(Promises),
    /// A peer spoke.
    Peer(Box<Heartbeat>),
    /// The operator has given this member other tags.
    Tags(Tags),
    /// The wall clock, milliseconds since 1970; told again and again while something waits for its time.
    Wall(u64),
    /// The operator stops this agent.
    Stop(Leave),
}

/// A view of the store and how it came about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// What it shows.
    pub view: StoreView,
    /// How it came.
    pub via: Via,
}

/// How a view of the store came about. Only a read and a transaction are linearizable; each was true at some
/// instant after its `asked_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The watch: the store was like this once, perhaps a while ago.
    Watch,
    /// A linearizable read.
    Read {
        /// Our clock when it was sent.
        asked_at: Millis,
    },
    /// The answer to a transaction of ours, with a view taken in the same transaction - or, when the outcome
    /// is unknown, by a linearizable read after it.
    Txn {
        /// Which.
        id: TxnId,
        /// Our clock when it was sent.
        asked_at: Millis,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What came of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every comparison held and everything was written.
    Committed,
    /// A comparison failed; nothing was written.
    Refused,
    /// No answer. It may have been applied, and may yet be.
    Unknown,
}

/// News of our lease. Not knowing is not losing: `Silent` lets the countdown go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseNews {
    /// A new lease, or a renewal that etcd confirmed.
    Alive {
        /// Which.
        id: LeaseId,
        /// Our clock when we asked: from here the lease lasts its full ttl.
        asked_at: Millis,
        /// That ttl, as etcd granted it: it outlives what the settings say, and the run of the agent that asked.
        ttl: Millis,
    },
    /// etcd does not know it any more.
    Gone {
        /// Which.
        id: LeaseId,
    },
    /// No answer to a grant or a renewal.
    Silent {
        /// Our clock when we asked.
        asked_at: Millis,
    },
}

/// The answer to `StoreWish::TimeToLive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseSeen {
    /// Which lease.
    pub id: LeaseId,
    /// Our clock when we asked: etcd looked at some instant after it, and before this came.
    pub asked_at: Millis,
    /// How long it lasts; `None` if etcd does not know it, did not answer, or not by the word of its present leader.
    pub left: Option<Left>,
}

/// How long a lease lasts if nobody renews it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Left {
    /// Not longer than this. etcd tells whole seconds.
    pub at_most: Millis,
    /// So long after a renewal.
    pub granted: Millis,
}

/// How a piece of work ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    /// As wished.
    Done,
    /// Not done: what was wrong and where, in a sentence.
    Failed(String),
    /// Given up because `Effect::Close` came in between.
    Aborted,
}

/// What becomes of Postgres when the agent stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// Hand over, stop Postgres, let go of the lease.
    StopPostgres,
    /// Leave Postgres running: another agent takes over within the lease.
    LeavePostgres,
}
