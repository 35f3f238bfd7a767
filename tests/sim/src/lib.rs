//! A simulated world for `haa_core::node::Node`: clocks, network, etcd, Postgres, clients and what goes
//! wrong with them.
//! Never decides what a node decides: it drives the same one that the agent drives.
//!
//! | module | owns |
//! |---|---|
//! | [`world`] | members, events, the one loop over virtual time, faults |
//! | [`etcd`], [`net`], [`postgres`], [`wal`], [`client`] | what the world is made of |
//! | [`conduct`], [`dice`], [`queue`], [`time`] | odds, chance, order, time |
//! | [`brain`], [`mutation`] | the node under test, whole or broken |
//! | [`invariants`] | what must hold |
//! | [`run`] | one seed: faults, healing, liveness |
//! | [`story`] | stories, told and compared |
//! | [`model`] | small worlds, explored to the end |
//! | [`sometimes`] | what happened, counted |

pub mod brain;
pub mod client;
pub mod conduct;
pub mod dice;
pub mod etcd;
pub mod invariants;
pub mod model;
pub mod mutation;
pub mod net;
pub mod postgres;
pub mod queue;
pub mod run;
pub mod sometimes;
pub mod story;
pub mod time;
pub mod wal;
pub mod world;
