//! The agent: input in, effects out. Never decides about the cluster.

pub mod clock;
