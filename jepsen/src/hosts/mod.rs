//! Hosts on one machine: network namespaces joined by a bridge, control groups, etcd and members on them, cuts
//! between them. Decides on no fault and judges nothing. Root only; `clean` removes whatever a crash left.

mod able;
mod cgroup;
pub mod clean;
mod cluster;
mod etcd;
mod files;
mod host;
mod lab;
pub mod net;
mod patroni;
mod plan;
mod room;
mod shipped;
mod slow;
pub mod tools;
mod view;

pub use cgroup::Group;
pub use cluster::PATIENCE;
pub use able::able;
pub use host::{Host, Launch};
pub use lab::Lab;
pub use plan::{MEMBERS, Place, Plan, System, places};
pub use slow::{Quality, Slow};
pub use view::Watch;
