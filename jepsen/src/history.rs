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
    /// Whether this is its beginning, or how it ended.
    pub phase: Phase,
    /// What was asked, and in an answer what was read.
    pub op: Op,
    /// Where a server says that it was done. Every answer `Ok` should bear one.
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

/// The server that acknowledged, and where in its WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The member that answered.
    pub member: String,
    /// Its timeline then.
    pub timeline: u32,
    /// A place before the commit record: `pg_current_wal_insert_lsn()` in the transaction itself, after
    /// its last write. Taken later it would count WAL of others, and blame a failover that lost only that.
    /// On a replica: `pg_last_wal_replay_lsn()`, in the statement that reads or before it.
    pub lsn: u64,
    /// Read there without the intention to write: it may lie in the past. What is read without this, also at a
    /// member that a client is bound to, is judged as the newest there is.
    pub replica: bool,
}

/// An operation. What is read is `None` until the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A transaction over lists.
    Txn(Vec<Step>),
    /// A register's read. Every register begins as 0.
    Get {
        /// Which register.
        key: u64,
        /// What it held.
        value: Option<i64>,
    },
    /// A register's write.
    Put {
        /// Which register.
        key: u64,
        /// What it holds from now on.
        value: i64,
    },
    /// A compare-and-set: `Fail` when the register held something else.
    Cas {
        /// Which register.
        key: u64,
        /// What it must hold.
        from: i64,
        /// What it holds from now on.
        to: i64,
    },
    /// A bank's transfer.
    Transfer {
        /// The account that pays.
        from: u32,
        /// The account that is paid.
        to: u32,
        /// How much.
        amount: i64,
    },
    /// All balances of a bank in one snapshot, by account.
    Balances(Option<Vec<i64>>),
    /// A set's new element: never added twice.
    Add(u64),
    /// All of a set, with what is there twice.
    All(Option<Vec<u64>>),
}

/// A step of a transaction over lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// An element goes to the end of a list. No element is appended to a list twice.
    Append {
        /// Which list.
        key: u64,
        /// The element.
        value: u64,
    },
    /// All of a list.
    Read {
        /// Which list.
        key: u64,
        /// What it held; a list that is not there is an empty one.
        list: Option<Vec<u64>>,
    },
}
