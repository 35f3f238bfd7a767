//! Whole clusters: real etcd, real Postgres, real agents, broken on purpose. Times are printed, never asserted.

mod adoption;
mod away;
mod bad_input;
mod check;
mod drain;
mod encrypted;
mod failover;
mod fixture;
mod guard;
mod journal;
mod metrics;
mod operations;
mod outage;
mod pause;
mod proxies;
mod reinit;
mod remove;
mod requests;
mod restart;
mod room;
mod router;
mod router_bytes;
mod secured;
mod settings;
mod stops;
mod systemd;
