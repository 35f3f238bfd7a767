//! Everything that a node can want. Wishes: safe to repeat, safe to lose. None says how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lease::Leadership;
use crate::line::{Fork, Line};
use crate::list::List;
use crate::observe::{Door, Heartbeat};
use crate::reason::{Reason, Transition};
use crate::records::{Key, Record};
use crate::routes::Status;
use crate::settings::KeptSlot;
use crate::site::Site;
use crate::units::{Address, JobId, LeaseId, Lsn, MemberName, Millis, Revision, Timeline, TxnId};
use crate::voters::Promises;

/// A wish.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Something of the store.
    Store(StoreWish),
    /// Long work for the one job slot; the last one has ended, or never began.
    Job(JobId, Job),
    /// Close writes now: whatever is in the slot is given up, Postgres is stopped at once, and a look follows.
    Close(Reason),
    /// Look at Postgres now.
    Look,
    /// These replication slots are to exist.
    Slots(SlotsWish),
    /// Write this to disk, and sync it, before anything else is written there. Answered by `Input::Promised`; not
    /// answered while the disk does not take it.
    Promise(Promises),
    /// On a primary: commits wait for this list from now on. Seen in the facts when it is effective. Past `until` it is
    /// refused.
    List(Leadership, List),
    /// On a primary: clients are let in. Seen in the facts. Past `until` it is refused.
    OpenDoor(Leadership),
    /// The store shows what was discarded from here on: the note of it may go.
    ForgetNote(Fork),
    /// Say this to every peer.
    Beat(Box<Heartbeat>),
    /// What the API answers from now on.
    Publish(Box<Status>),
    /// A transition, to be logged once.
    Announce(Transition),
    /// The agent is to end.
    Exit(Exit),
}

/// Replication slots as they are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotsWish {
    /// These have one each.
    pub members: BTreeSet<MemberName>,
    /// What becomes of others.
    pub strangers: Strangers,
    /// Those of the operator's.
    pub kept: Kept,
    /// On a primary: whoever streams from another, and how far it is. Its slot holds no WAL before that.
    pub reached: BTreeMap<MemberName, Lsn>,
}

/// What becomes of slots that haa made for members that it does not know now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strangers {
    /// They stay: this agent has not run for long enough to know who is gone for good.
    #[default]
    Kept,
    /// They go.
    Dropped,
    /// Those of these members go: an operator said that they are gone for good.
    Named(BTreeSet<MemberName>),
}

/// The operator's slots that are to be there whoever leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// By name.
    pub slots: BTreeMap<String, KeptSlot>,
    /// Asked for in this leadership, on a primary: logical ones may be made. Any other logical one that is missing was
    /// lost, and with it how far its consumer is: one made in its place would skip changes.
    pub new: BTreeSet<String>,
    /// Taken back in this leadership: they go from the primary, unless somebody uses them.
    pub gone: BTreeSet<String>,
    /// On a primary: whoever may lead next. No consumer of changes is to be ahead of them.
    pub before: BTreeSet<MemberName>,
}

/// Something of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreWish {
    /// A lease with this time to live. Answered by `Input::Lease`.
    GrantLease {
        /// How long it lasts without renewal.
        ttl: Millis,
    },
    /// Renew it once. Answered by `Input::Lease`.
    KeepAlive(LeaseId),
    /// Let go of it and of every key on it. Not answered.
    RevokeLease(LeaseId),
    /// How long a lease that is another's lasts, as the etcd leader of this moment says, and nobody who only was it.
    /// Answered by `Input::LeaseSeen`.
    TimeToLive(LeaseId),
    /// A linearizable read of everything. Answered by `Input::Store`.
    Read,
    /// A transaction. Answered once, by `Input::Store` with `Via::Txn`, when the store can be reached again.
    Txn(Txn),
}

/// If every key is still at its revision: write and delete, all at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Txn {
    /// Comes back with the answer.
    pub id: TxnId,
    /// `mod_revision` of each key; `Revision::ABSENT` for one that must not be there.
    pub compare: Vec<(Key, Revision)>,
    /// What to write, and on which lease.
    pub put: Vec<(Record, Option<LeaseId>)>,
    /// What to delete.
    pub delete: Vec<Key>,
}

/// Where a standby streams from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Whom; ourselves, where it is another cluster.
    pub member: MemberName,
    /// Where its Postgres listens.
    pub address: Address,
    /// The other cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.site {
            Some(site) => write!(f, "the cluster at {site}"),
            None => self.member.fmt(f),
        }
    }
}

/// Where a timeline begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Begin {
    /// Its number.
    pub timeline: Timeline,
    /// Where it left the one before.
    pub lsn: Lsn,
}

/// Long work. Answered by `Input::Job`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Make a new database system in an empty data directory.
    InitDb,
    /// Copy the source's data; what is there is moved aside first. A new incarnation.
    Clone(Source),
    /// Take back what the source does not have; what is overwritten is kept aside. A new incarnation.
    /// Postgres is stopped.
    Rewind(Source),
    /// Let a standby receive from nobody; then bring it the WAL that comes next and that its leader has thrown away,
    /// from the operator's archive or from a member that still has it, and wait until that is replayed. Ends where the
    /// leader has more. While it lasts no look takes the position for exact.
    Fetch {
        /// Who may have it: the leader first, then whoever streams from it.
        from: Vec<Source>,
        /// The leader's: WAL of no other timeline is taken.
        line: Line,
    },
    /// Start Postgres, always as a standby; without a source it receives from nobody.
    Start(Option<Source>, #[serde(default)] Door),
    /// Write everything out, so that the stop after it is short. Of a primary.
    Checkpoint,
    /// Let the PgBouncers hold their clients, once the transactions that go through them have ended. Fails where they
    /// do not end in time; given up once the status does not ask for it any more.
    Hold,
    /// Let the data of a stopped primary ask for no more than the parameters say, of those of which a standby may not
    /// have less: Postgres writes that down when it runs as no standby, alone, and lets nobody in. Nothing else is
    /// written.
    Lower,
    /// Stop Postgres in order: `fast`, then `immediate` after this long.
    Stop(Millis),
    /// Let a standby stream from this source from now on, whose timeline begins there, and let clients in.
    Follow(Source, #[serde(default)] Option<Begin>),
    /// Let a standby receive from nobody, and wait until it has replayed all that it has. With a list it gets ready
    /// for being promoted on the way: commits will wait for that list, and no client is let in any more. Those who are
    /// there stay until the promotion.
    Detach(Option<List>),
    /// Open writes: leave recovery onto exactly this timeline.
    Promote {
        /// The proof; past its `until` the work is refused.
        proof: Leadership,
        /// The reserved number.
        timeline: Timeline,
        /// Whose slots are to be there before.
        slots: BTreeSet<MemberName>,
        /// Whom commits are to wait for from the first one on; `None` leaves it as it is.
        #[serde(default)]
        list: Option<List>,
        /// `Shut`: no client is let in any more before it is promoted, and none is left.
        #[serde(default)]
        door: Door,
    },
}

impl Job {
    /// Whether it only asks the archive for what may have come: done, it tells nothing.
    #[must_use]
    pub fn is_a_question(&self) -> bool {
        matches!(self, Self::Fetch { from, .. } if from.is_empty())
    }
}

/// Why the agent ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// As asked.
    Stopped,
    /// It cannot be part of this cluster: what is wrong and what to do.
    Refused(String),
}
