//! haa-core decides who may write. It has no clock, no network and no log, and it cannot fail.
//!
//! ```text
//!   now, Input  --->  node::Node  --->  Vec<Effect>
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`units`] | times, positions, names, numbers |
//! | [`settings`] | cluster-wide settings and timings |
//! | [`records`] | what is kept in etcd, and what operators ask for |
//! | [`observe`] | what is seen of Postgres and heard from peers |
//! | [`parameters`] | how a server stands to its parameters |
//! | [`input`], [`effect`] | all that can happen, all that can be wished |
//! | [`mod@line`] | timelines with their ancestry |
//! | [`discard`] | what a rewind or a clone took back, as it is told |
//! | [`list`] | whom a commit waits for |
//! | [`lease`] | the proof that we may accept writes |
//! | [`voters`] | voters, attempts and grants |
//! | [`reason`] | why |
//! | [`routes`] | where to write and where to read |
//! | [`site`] | another cluster that this one follows |
//! | [`seat`] | where a connection goes and when it must leave |
//! | [`checks`] | health checks beyond those two |
//! | [`node`] | the decision |

mod asks;
mod bars;
pub mod checks;
pub mod discard;
pub mod effect;
pub mod input;
pub mod lease;
pub mod line;
pub mod list;
pub mod node;
pub mod observe;
mod off;
pub mod parameters;
pub mod reads;
pub mod reason;
pub mod records;
pub mod routes;
pub mod seat;
pub mod settings;
pub mod site;
pub mod units;
pub mod voters;

pub use off::Mechanism;
