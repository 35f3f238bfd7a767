//! What clients did and saw, in order. Knows nothing of how it came about, and judges nothing.

use serde::{Deserialize, Serialize};

/// One thing that a client began, or learned the end of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Place in the history, from 0.
    pub index: u64,
    /// Nanoseconds since the run began, by CLOCK_MONOTONIC.
    pub time: u64,
    /// The client; after an unknown outcome it goes on under a new number.
    pub process: u32,
    pub phase: Phase,
    pub op: Op,
    /// Where a server says that it was done.
    pub stamp: Option<Stamp>,
    /// What the client was told when it was not done, or not known to be.
    pub error: Option<String>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It begins.
    Invoke,
    /// It took place.
    Ok,
    /// It did not, for certain.
    Fail,
    /// It may have.
    Info,
}

/// The server that acknowledged, and how far its WAL was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub member: String,
    pub timeline: u32,
    pub lsn: u64,
    /// Read there without the intention to write.
    pub replica: bool,
}

/// An operation. What is read is `None` until the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A transaction over lists.
    Txn(Vec<Step>),
    /// A register's read, write, and compare-and-set.
    Get { key: u64, value: Option<i64> },
    Put { key: u64, value: i64 },
    Cas { key: u64, from: i64, to: i64 },
    /// A bank's transfer and all its balances, by account.
    Transfer { from: u32, to: u32, amount: i64 },
    Balances(Option<Vec<i64>>),
    /// A set's new element, and all of it.
    Add(u64),
    All(Option<Vec<u64>>),
}

/// A step of a transaction over lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Append { key: u64, value: u64 },
    Read { key: u64, list: Option<Vec<u64>> },
}
