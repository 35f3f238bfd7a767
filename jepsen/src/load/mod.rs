//! What a system costs when nothing happens: memory and CPU of its agents, requests to etcd, answers a second; and how
//! that grows with the number of clusters. Prints
//! figures and asserts none of them.

mod asking;
mod etcd;
pub mod footprint;
mod proc;
pub mod scale;
