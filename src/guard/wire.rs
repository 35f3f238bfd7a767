//! What an agent and its guard say to each other: one line of JSON each, every one answered. Never who says it when.

use std::path::PathBuf;

use haa_core::units::{Millis, Term};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Two that speak different ones do not work together.
pub(super) const PROTOCOL: u32 = 1;

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// The first of a connection.
    Hello { protocol: u32, data_directory: PathBuf },
    /// From now on this deadline stands, in place of the one before.
    Arm(Deadline),
    /// Postgres was seen stopped: no deadline stands.
    Disarm,
    /// The agent ends. So does the guard, if no deadline stands or no Postgres runs.
    Leave,
}

/// When writes are to be closed unless a later deadline comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deadline {
    /// The leadership that ends then.
    pub(super) term: Term,
    /// By `CLOCK_BOOTTIME`.
    pub(super) until: Millis,
    /// What the agent knows of the Postgres that runs now.
    pub(super) writes: Writes,
}

/// Whether a Postgres can be out of recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Writes {
    /// It is, or its promotion is about to begin: it is closed without another look.
    Opened,
    /// That is to be looked at when the deadline has come.
    AsFound,
}

/// From the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// To `Hello`: adopted.
    Watching { pid: u32 },
    /// To `Arm`: the deadline stands, for this postmaster if one runs.
    Armed { postmaster: Option<u32> },
    /// To `Disarm` and `Leave`.
    Done,
    /// Another protocol.
    Protocol { mine: u32 },
    /// To `Hello`: it guards another data directory.
    Elsewhere { data_directory: PathBuf },
    /// Not understood, or not said by the agent that it listens to.
    Refused { why: String },
}

/// Writes one line.
pub(super) async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    said: &T,
) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    to.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_was_when_the_protocol_got_its_number() {
        let deadline = Deadline { term: Term(7), until: Millis(5), writes: Writes::Opened };
        let line = serde_json::to_string(&Request::Arm(deadline)).unwrap();
        assert_eq!(line, r#"{"arm":{"term":7,"until":5,"writes":"opened"}}"#);
        let hello = Request::Hello { protocol: PROTOCOL, data_directory: "/d".into() };
        let line = serde_json::to_string(&hello).unwrap();
        assert_eq!(line, r#"{"hello":{"protocol":1,"data_directory":"/d"}}"#);
        assert_eq!(serde_json::to_string(&Request::Leave).unwrap(), r#""leave""#);
        let reply = serde_json::to_string(&Reply::Armed { postmaster: Some(3) }).unwrap();
        assert_eq!(reply, r#"{"armed":{"postmaster":3}}"#);
    }
}
