//! The agent: input in, effects out. Never decides about the cluster.

mod calls;
pub mod clock;
mod errands;
#[cfg(test)]
mod fuzz;
mod herald;
pub mod journal;
mod memory;
mod notes;
mod promises;
mod reload;
mod run;
mod signals;
mod tally;
mod wall;

pub(crate) use memory::LOCK;
pub use memory::{Memory, MemoryError};
pub use promises::PromiseError;
pub use reload::{Reloaded, Reloader};
pub use run::{End, run};

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
