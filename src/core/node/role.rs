//! The roles of a node. Each holds what is only true in it.

use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::units::{MemberName, Millis, Term, Timeline, Token};

/// What a node is doing about the leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It does not know the store and its own Postgres yet.
    Waking,
    /// It does not lead: it follows, or gets ready to.
    Replica,
    /// It stands.
    Candidate {
        /// Of this attempt.
        token: Token,
        /// When the attempt was seen in the store.
        since: Millis,
    },
    /// It was elected; its Postgres is being promoted.
    Promoting {
        /// Its leadership.
        term: Term,
        /// The number that was reserved for it.
        timeline: Timeline,
        /// When it was seen elected.
        since: Millis,
        /// When it began to stand.
        stood_at: Millis,
    },
    /// It accepts writes, for as long as it can prove that it may.
    Primary {
        /// Its leadership.
        term: Term,
        /// From standing to accepting writes; `None` once that is written into the history, or after a resumption.
        to_tell: Option<Millis>,
        /// Since when Postgres does not answer.
        silent_since: Option<Millis>,
    },
    /// It leads a standby cluster: its Postgres stays in recovery and follows another cluster.
    StandbyLeader {
        /// Its leadership.
        term: Term,
        /// Since when Postgres does not answer.
        silent_since: Option<Millis>,
    },
    /// Writes are being closed. What we hold in the store is kept until Postgres is seen stopped.
    Closing(Closing),
    /// It cannot be part of this cluster.
    Refused(String),
}

/// A leadership, or a Postgres that is open without one, on its way to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closing {
    /// Why.
    pub reason: Reason,
    /// How.
    pub how: How,
}

/// How writes are closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Now.
    AtOnce,
    /// By an orderly stop, so that the replicas have everything.
    InOrder {
        /// Who is to lead after us.
        successor: Option<MemberName>,
        /// Postgres has stopped by then, or its disk hangs: what is left is closed at once.
        #[serde(default)]
        until: Millis,
    },
}

impl Role {
    /// As it is told.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waking => "waking",
            Self::Replica => "replica",
            Self::Candidate { .. } => "candidate",
            Self::Promoting { .. } => "promoting",
            Self::Primary { .. } => "primary",
            Self::StandbyLeader { .. } => "standby_leader",
            Self::Closing(_) => "closing",
            Self::Refused(_) => "refused",
        }
    }

    /// Ending at once.
    pub(super) const fn close(reason: Reason) -> (Self, Reason) {
        (Self::Closing(Closing { reason, how: How::AtOnce }), reason)
    }

    /// Ending in order, by then at the latest.
    pub(super) const fn hand_over(
        reason: Reason,
        successor: Option<MemberName>,
        until: Millis,
    ) -> (Self, Reason) {
        (Self::Closing(Closing { reason, how: How::InOrder { successor, until } }), reason)
    }
}
