//! haa keeps one writable PostgreSQL in a replicated cluster, at all times, whatever breaks.
//! This crate does what `haa_core` decides.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | `haad.toml` |
//! | [`logging`] | where log lines go |
//! | [`preflight`] | would this member start? |
//! | [`agent`] | the loop: input in, effects out |
//! | [`store`] | etcd |
//! | [`postgres`] | the server, its tools and its files |
//! | [`guard`] | the process that closes writes when the agent cannot |
//! | [`peers`] | agent to agent |
//! | [`api`] | HTTP |
//! | [`router`] | TCP: each client to the right server |
//! | [`hooks`] | the operator's own programs, run when something happens to this member |
//! | [`pgbouncer`] | PgBouncers that hold their clients in a switchover |
//! | [`haad`] | its command line |
//! | [`ctl`] | haactl, one file a verb |
//! | [`playground`] | a throw-away local cluster |
//! | [`verdict`] | is the cluster well? |
//! | [`moment`] | instants as people write them |
//! | [`doctor`] | is the setup sound? |
//! | [`papers`] | manual pages and completions |

pub mod agent;
pub mod api;
pub mod config;
pub mod ctl;
pub mod doctor;
#[cfg(test)]
#[path = "../tests/fuzz/mod.rs"]
mod fuzz;
pub mod guard;
pub mod haad;
pub mod hooks;
pub mod logging;
pub mod moment;
pub mod papers;
pub mod peers;
pub mod pgbouncer;
pub mod playground;
pub mod postgres;
pub mod preflight;
mod program;
pub mod router;
pub mod store;
pub mod tls;
pub mod verdict;
