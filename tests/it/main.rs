//! Integration tests: real etcd, real Postgres, one binary. Owns the list of areas, never a test.
#![allow(clippy::print_stdout, reason = "measurements are printed")]

mod cluster;
mod ctl;
mod playground;
mod postgres;
mod store;
mod support;
mod trials;
