//! A throw-away cluster on this machine. Never touches what it did not start.

pub mod etcd;
