//! The agent: input in, effects out. Never decides about the cluster.

use haa_core::input::Leave;

use crate::config::Config;

pub mod clock;

/// How the agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As asked.
    Stopped,
    /// It cannot be part of this cluster: what is wrong and what to do.
    Refused(String),
}

/// Run until a signal, or until the core says that this member cannot be part of the cluster.
///
/// # Errors
/// What kept it from starting, with its cause.
pub async fn run(_config: Config, _leave: Leave) -> anyhow::Result<End> {
    anyhow::bail!("the agent's loop is not built into this haad")
}

/// An error with all its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
