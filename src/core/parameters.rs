//! How a server stands to the parameters that are written for it. Changes none.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::units::Revision;

/// Those of which a standby may not have less than its primary had, in the order of `pg_control`:
/// <https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN>.
pub const LIMITS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// How a server stands to the parameters that are written for it. A restart is answered by it, and in place it is made
/// with what its data ask for; nothing else is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// It has read what the settings of this revision say.
    pub taken: Revision,
    /// Why it does not take its files as they are, in a sentence.
    pub objection: Option<String>,
    /// What its files say and it takes at its next start only.
    pub pending: Vec<Pending>,
    /// Parameters of the settings that are others on this member.
    pub own: Vec<Own>,
}

impl Parameters {
    /// Those of [`LIMITS`] that are to be lower.
    pub fn lower(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().filter(|pending| pending.limit() == Some(Ordering::Less))
    }
}

/// A parameter that waits for a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pending {
    /// Which.
    pub name: String,
    /// What the server goes by, with its unit.
    pub running: String,
    /// What the files say; `None` if they do not name it any more.
    pub written: Option<String>,
}

impl Pending {
    /// Of one of [`LIMITS`]: how what is written stands to what the server goes by.
    #[must_use]
    pub fn limit(&self) -> Option<Ordering> {
        let (written, running) = (self.written.as_ref()?.parse::<u64>(), self.running.parse());
        let known = LIMITS.contains(&self.name.as_str());
        known.then_some(written.ok()?.cmp(&running.ok()?))
    }
}

/// A parameter of the settings that is another on one member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Own {
    /// Which.
    pub name: String,
    /// What the member's files say.
    pub value: String,
    /// Where they do.
    pub from: String,
}
