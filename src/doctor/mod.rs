//! What is not as it should be in a setup, why that matters and what to do about it. Changes nothing, and never says
//! how the cluster is at this moment: that is the verdict.
//!
//! | module | owns |
//! |---|---|
//! | `examiner` | gathers the facts of one member |
//! | `server`, `store`, `host` | what follows from those of its Postgres, of etcd, of its machine and its file |
//! | `standby` | what follows from what the cluster that ours follows says |
//! | `archive` | what follows from those of its archiver |
//! | `between` | what follows from those of all members, one beside the other |

mod archive;
pub mod between;
mod examiner;
mod host;
mod server;
mod standby;
mod store;

use std::fmt::Display;
use std::time::Duration;

use haa_core::settings::Durability;
use serde::{Deserialize, Serialize};

pub use examiner::{Examiner, Sources};

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do: a command, where one does it.
    pub remedy: String,
}

/// How bad something is. Problems come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It breaks what haa promises, or will.
    Problem,
    /// It would be better otherwise; there may be reasons for it.
    Advice,
}

/// `GET /doctor`: what one member knows, and what it finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Whose.
    pub member: String,
    /// Its haad's release.
    pub version: String,
    /// Its server's `server_version_num`, if that answered.
    pub server_version: Option<u32>,
    /// Its wall clock as it answered, milliseconds since 1970.
    pub unix_ms: u64,
    /// It bears the tag `nofailover`, or `nostream`.
    pub nofailover: bool,
    /// Its tags keep it from voting.
    pub never_votes: bool,
    /// Whom its tags let it stream from.
    pub replicatefrom: Option<String>,
    /// Commits wait for replicas, or are to.
    pub quorum: bool,
    /// How long its disk takes to flush a page.
    pub flush: Option<Spread>,
    /// How long etcd takes to answer a linearizable read.
    pub etcd_read: Option<Spread>,
    /// What it finds.
    pub findings: Vec<Finding>,
}

/// Measured times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them took no longer.
    pub p50_us: u64,
    /// All but one of a hundred took no longer.
    pub p99_us: u64,
}

/// What the findings about Postgres depend on beside Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Promise {
    /// `None` while this member has not read it.
    durability: Option<Durability>,
    /// How many members the store knows.
    members: usize,
}

impl Finding {
    fn problem(what: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Problem, what, why, remedy)
    }

    fn advice(what: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Advice, what, why, remedy)
    }

    /// Nobody knows that it is well, so that it does not count as well.
    fn unseen(what: &str, why: impl Display, remedy: &str) -> Self {
        let what = format!("{what} was not looked at: {why}");
        Self::problem(what, "what nobody has looked at may be as bad as it can be", remedy)
    }

    fn new(
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity, what: what.into(), why: why.into(), remedy: remedy.into() }
    }
}

impl Spread {
    /// Of these; `None` of none.
    #[must_use]
    pub fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted: Vec<u64> =
            times.iter().map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).collect();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get((sorted.len().checked_sub(1)? * share).div_ceil(100));
        Some(Self { p50_us: *at(50)?, p99_us: *at(99)? })
    }
}

/// Microseconds as people read them.
fn readable(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_what_was_measured() {
        let times: Vec<Duration> = (1..=101).map(Duration::from_millis).collect();
        let spread = Spread::of(&times).expect("there are some");
        assert_eq!((spread.p50_us, spread.p99_us), (51_000, 100_000));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(readable(12_345), "12.3 ms");
    }
}
