//! What a run promised and what is known of the cluster beside its clients. Judges nothing.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Checker;

/// What a history is judged by. `Default` is the strictest that needs nothing but the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The isolation that transactions over lists asked for.
    pub isolation: Isolation,
    /// What reads on replicas promised.
    pub replica_reads: ReplicaReads,
    /// Clients from this number on were promised their own writes, whatever the others were.
    pub sessions_from: Option<u32>,
    /// What follows from something that was read and is gone in the end.
    pub exposure: Exposure,
    /// Nanoseconds since the run began, after which everything was healed and caught up: what is read from
    /// then on is final, on replicas too. Without it the last read on a primary is taken for final.
    pub final_reads_from: Option<u64>,
    /// The history of the timeline that the last primary is on, oldest first, with itself at the end.
    pub final_timeline: Vec<TimelineEnd>,
    /// What all balances of the bank are together; without it what they were first.
    pub bank_total: Option<i64>,
    /// Who led, by the cluster's own record, in the order of terms.
    pub leaderships: Vec<Leadership>,
    /// By how many nanoseconds that record may be late or early beside the clients' clock.
    pub record_slack: u64,
    /// For how many nanoseconds after another one began to lead a deposed primary may be read: its lease. What is read
    /// there then is judged as a replica's.
    pub deposed_reads: u64,
    /// For how many nanoseconds after that it may say that it accepts writes: in `quorum`, `suspect_after`.
    pub deposed_says: u64,
    /// How many attempts the search for an order may make, for each register.
    pub budget: u64,
    /// Nanoseconds since the run began: an operator accepted that what was acknowledged before may be lost. It counts
    /// as unknown then, but for who wrote when.
    pub loss_accepted: Option<u64>,
    /// Checks without which the run is not judged. What is not here may be left out for lack of matter.
    pub demanded: Vec<Checker>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            isolation: Isolation::Serializable,
            replica_reads: ReplicaReads::Stale,
            sessions_from: None,
            exposure: Exposure::Fails,
            final_reads_from: None,
            final_timeline: Vec::new(),
            bank_total: None,
            leaderships: Vec::new(),
            record_slack: 250_000_000,
            deposed_reads: 0,
            deposed_says: 0,
            budget: 2_000_000,
            loss_accepted: None,
            demanded: Vec::new(),
        }
    }
}

/// What Postgres was asked for, and with it the model that is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Judged as strong read-committed.
    #[value(help = "As Postgres has it by default")]
    ReadCommitted,
    /// Judged as strict-serializable on the primary; replicas, which know no SERIALIZABLE, are expected to
    /// read at REPEATABLE READ and are judged as snapshots.
    #[value(help = "As if one after the other")]
    Serializable,
}

/// What a client is promised that reads on replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaReads {
    /// Nothing but the past.
    Stale,
    /// What the same client wrote, and no less than it read on a replica before.
    Session,
}

/// Whether it is a failure that something was read and is gone in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// It is.
    Fails,
    /// It is told apart, unless it was acknowledged: the profile in which a wait for replicas may be
    /// cancelled, after which Postgres shows the row.
    Counted,
}

/// A timeline in the history of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEnd {
    /// Its number.
    pub timeline: u32,
    /// Where the next one branches off; `None` for the last.
    pub end: Option<u64>,
}

/// A leadership as the cluster recorded it. Times are nanoseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// Its number: a later one is greater.
    pub term: u64,
    /// The member that led.
    pub leader: String,
    /// The timeline it wrote, if it came to writing.
    pub timeline: Option<u32>,
    /// Since when it was allowed to write.
    pub from: u64,
    /// Until when; `None` if it still was when the run ended.
    pub to: Option<u64>,
}
