//! An application that writes to the primary, reads its own writes from replicas, and comes through failovers.

pub mod database;
pub mod orders;
pub mod routes;
pub mod web;
