//! What clients did: every write that was acknowledged, and where. Never how a client finds a server.

use haa_core::units::Lsn;
use serde::Serialize;

use crate::time::At;
use crate::wal::{BranchId, Histories, Wal};

/// A write that a client saw succeed.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Which write.
    pub write: u64,
    /// When.
    pub at: At,
    /// By whose Postgres.
    pub member: usize,
    /// On which branch.
    pub branch: BranchId,
    /// Where its commit record ends.
    pub end: Lsn,
}

impl Acknowledged {
    /// Whether this WAL holds it.
    #[must_use]
    pub fn is_in(&self, wals: &Histories, wal: Wal) -> bool {
        wals.holds(wal, Wal { branch: self.branch, end: self.end })
    }
}

/// How a client finds the server that it writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Way {
    /// It asks any agent for the route.
    Routed,
    /// It holds sessions to every server and writes wherever it can: it catches a zombie.
    Pinned,
}
