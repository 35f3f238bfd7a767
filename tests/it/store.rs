//! The store against a real etcd: transactions, leases, the watch, and what becomes of them when etcd fails.

use haa::playground::etcd::{Etcd, EtcdCluster};

use crate::support::become_postgres;

#[test]
fn a_throw_away_etcd_stops_starts_and_freezes() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut etcd = Etcd::start(directory.path()).expect("etcd starts");
    let endpoint = etcd.endpoint();
    assert!(etcd.healthy());
    etcd.freeze().expect("it can be frozen");
    assert!(!etcd.healthy());
    etcd.thaw().expect("it can be thawed");
    etcd.wait_healthy().expect("it goes on");
    etcd.restart().expect("it starts again");
    assert_eq!(etcd.endpoint(), endpoint);
    etcd.stop().expect("it stops");
    assert!(!etcd.healthy());
    assert_eq!(etcd.pid(), None);
}

#[test]
fn three_outlive_the_loss_of_one() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = EtcdCluster::start(directory.path()).expect("three start");
    cluster.members[0].kill().expect("one is killed");
    cluster.members[1].wait_healthy().expect("the second goes on");
    cluster.members[2].wait_healthy().expect("the third goes on");
}
