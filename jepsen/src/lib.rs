//! Breaks a real cluster on purpose, records what clients saw, and judges it by that alone.

pub mod checkers;
pub mod exam;
pub mod files;
pub mod history;
pub mod hosts;
pub mod load;
pub mod matrix;
pub mod nemesis;
pub mod report;
pub mod rto;
pub mod soak;
pub mod workloads;
