//! Hosts on one machine: network namespaces joined by a bridge, control groups, etcd and members on them, cuts
//! between them. Decides on no fault and judges nothing. Root only; `clean` removes whatever a crash left.

mod able;
mod agents;
mod cgroup;
pub mod clean;
mod cluster;
mod ctl;
mod etcd;
mod files;
mod fsync;
mod host;
mod lab;
mod limits;
pub mod net;
mod patroni;
mod plan;
mod power;
mod room;
mod shipped;
mod slow;
pub(crate) mod stat;
pub mod tools;
mod view;

pub use able::able;
pub use cgroup::Group;
pub use cluster::PATIENCE;
pub use ctl::{Haactl, Said};
pub use fsync::Fsync;
pub use host::{Host, Launch};
pub use lab::Lab;
pub use plan::{MEMBERS, Place, Plan, System, places};
pub use slow::{Quality, Slow};
pub use view::Watch;
