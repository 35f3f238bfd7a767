//! Integration tests: real etcd, real Postgres, one binary. Owns the list of areas, never a test.

mod cluster;
mod ctl;
mod playground;
mod postgres;
mod store;
mod support;
