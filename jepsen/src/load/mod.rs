//! What a system costs when nothing happens: memory and CPU of its agents, requests to etcd, answers a second. Prints
//! figures and asserts none of them.

mod asking;
mod etcd;
pub mod footprint;
mod proc;
