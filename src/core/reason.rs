//! Why a node changed: one enum for the log, the API and `haactl`. Each says a sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Term;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The agent starts.
    Started,
    /// The first leadership of a new cluster.
    Bootstrap,
    /// The `leader` key is gone: its lease ran out.
    LeaderLost,
    /// The last leader let go because its Postgres died.
    PostgresDied,
    /// The last leader let go on an operator's wish.
    Switchover,
    /// An operator named the new leader.
    Failover,
    /// An operator took the last leader out of use.
    Drained,
    /// An operator restarts the last leader's Postgres, and it is to lead again.
    Restarted,
    /// An operator has this cluster follow another.
    ClusterDemoted,
    /// An operator has this cluster accept writes, which followed another.
    ClusterPromoted,
    /// The last leader's agent was stopped in order.
    AgentStopped,
    /// The transaction that makes a leader was accepted.
    Elected,
    /// Another candidate or leader was faster.
    OutRun,
    /// Another member has more WAL.
    HandedOver,
    /// Postgres came out of recovery on the reserved timeline.
    Promoted,
    /// The lease was not renewed in time.
    LeaseRanOut,
    /// The store names another leader.
    Deposed,
    /// Postgres is out of recovery and we do not lead.
    OpenWithoutLeadership,
    /// Postgres did not leave recovery in time, or on another timeline than the reserved one.
    CannotPromote,
    /// Postgres answers no query.
    PostgresSilent,
    /// Postgres answers, and its WAL does not get to the disk.
    DiskHangs,
    /// There is no room for what would be written.
    DiskFull,
    /// The member that Postgres was to be copied or streamed from does not lead any more.
    SourceLost,
    /// Recovery waits for WAL that the member which it is to come from does not have any more.
    WalGone,
    /// Writes were seen closed.
    Closed,
    /// Enough voters say that the primary is lost, and its lease may still live.
    TakenOver,
    /// A healthy primary ended a failed attempt against it by a new term of its own.
    Renewed,
    /// The lease has run out, etcd cannot be reached, and every member lets the primary go on.
    Failsafe,
    /// etcd has renewed the lease of a primary that went on without it.
    StoreIsBack,
    /// The primary's key was gone when etcd came back, and nobody else had stood: it leads on in a new term.
    Reclaimed,
    /// An earlier run of the agent may have asked Postgres to be promoted.
    MayBePromoting,
    /// An agent that restarted found its own leadership alive.
    Resumed,
    /// The data belongs to another database system.
    ForeignSystem,
    /// The data directory holds something that is not ours.
    ForeignData,
    /// Another agent uses our name.
    NameInUse,
}

impl Reason {
    /// The sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Started => "the agent started",
            Self::Bootstrap => "the cluster is new",
            Self::LeaderLost => "the leader's lease ran out",
            Self::PostgresDied => "the leader's Postgres died and its agent let go",
            Self::Switchover => "an operator asked for a switchover",
            Self::Failover => "an operator asked for a failover",
            Self::Drained => "an operator drained the leader",
            Self::Restarted => "an operator restarted the leader's Postgres in place",
            Self::ClusterDemoted => "an operator has this cluster follow another",
            Self::ClusterPromoted => {
                "an operator has this cluster, which followed another, accept writes"
            }
            Self::AgentStopped => "the leader's agent was stopped in order",
            Self::Elected => "this member was elected",
            Self::OutRun => "another member was faster",
            Self::HandedOver => "another member has more WAL",
            Self::Promoted => "Postgres left recovery on the reserved timeline",
            Self::LeaseRanOut => "the lease was not renewed in time",
            Self::Deposed => "the store names another leader",
            Self::OpenWithoutLeadership => "Postgres is out of recovery without a leadership",
            Self::CannotPromote => "Postgres could not be promoted",
            Self::PostgresSilent => "Postgres answers no query",
            Self::DiskHangs => "the disk takes no WAL",
            Self::DiskFull => "the primary's disk is full, and another member's is not",
            Self::SourceLost => "the member that it was to stream from does not lead any more",
            Self::WalGone => "recovery would wait for ever for WAL that the leader has no more",
            Self::Closed => "writes were seen closed",
            Self::TakenOver => "enough voters lost the primary",
            Self::Renewed => "a healthy primary ended an attempt against it",
            Self::Failsafe => "etcd is away, and every member lets the primary go on",
            Self::StoreIsBack => "etcd is back and has renewed the lease",
            Self::Reclaimed => "the lease had ended in etcd while nobody reached it",
            Self::MayBePromoting => {
                "an earlier run of the agent may have asked Postgres to be promoted"
            }
            Self::Resumed => "the agent found its own leadership alive",
            Self::ForeignSystem => "the data belongs to another database system",
            Self::ForeignData => "the data directory holds something else",
            Self::NameInUse => "another agent uses this name",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// A change of role, as it is logged and told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transition {
    /// The role that was left, such as `replica`.
    pub from: String,
    /// The role that was taken.
    pub to: String,
    /// Why.
    pub reason: Reason,
    /// The term in question.
    pub term: Term,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} in term {}: {}", self.from, self.to, self.term, self.reason)
    }
}
