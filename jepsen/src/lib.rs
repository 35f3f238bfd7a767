//! Breaks a real cluster on purpose, records what clients saw, and judges it by that alone.

pub mod checkers;
pub mod files;
pub mod history;
pub mod hosts;
pub mod report;
pub mod rto;
pub mod workloads;
