//! Leases: granted, renewed, lost, let go.

use haa::agent::clock;
use haa_core::effect::StoreWish;
use haa_core::input::{LeaseNews, Outcome, Via};
use haa_core::units::{LeaseId, Millis};

use haa::playground::etcd::EtcdCluster;

use super::{Bench, at, etcd, leader, leader_of, plain};
use crate::support::become_postgres;

const LONG: Millis = Millis(60_000);

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_runs_out_takes_its_keys_along() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(Millis(1_000)).await;
    let view = bench.write(vec![(leader("n1", 1), Some(lease))]).await;
    assert_eq!(view.leader.expect("the leader").lease, Some(lease));
    bench.until_view(|view, via| via == Via::Watch && leader_of(view).is_none()).await;
    bench.store.wish(StoreWish::KeepAlive(lease));
    assert_eq!(bench.news().await, LeaseNews::Gone { id: lease });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_counts_from_the_ask() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(LONG).await;
    let before = clock::now();
    bench.store.wish(StoreWish::KeepAlive(lease));
    let LeaseNews::Alive { id, asked_at, ttl } = bench.news().await else { panic!("it is alive") };
    assert_eq!((id, ttl), (lease, LONG));
    assert!(before <= asked_at && asked_at <= clock::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_go_is_gone() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(LONG).await;
    bench.txn(vec![], vec![(leader("n1", 1), Some(lease))], vec![]).await;
    bench.store.wish(StoreWish::RevokeLease(lease));
    bench.until_view(|view, via| via == Via::Watch && leader_of(view).is_none()).await;
    bench.store.wish(StoreWish::KeepAlive(lease));
    assert_eq!(bench.news().await, LeaseNews::Gone { id: lease });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_an_unknown_lease_is_refused_and_says_so() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let id = bench.begin(vec![], vec![(leader("n1", 1), Some(LeaseId(4711)))], vec![]);
    assert_eq!(bench.news().await, LeaseNews::Gone { id: LeaseId(4711) });
    let (outcome, view) = bench.end(id).await;
    assert_eq!((outcome, leader_of(&view)), (Outcome::Refused, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_still_lets_go() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(LONG).await;
    bench.store.wish(StoreWish::RevokeLease(lease));
    bench.store.shutdown().await;
    let left = plain(&etcd).await.lease_client().leases().await.expect("an answer");
    assert!(left.leases().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_lease_falls_until_it_is_renewed() {
    let (mut etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(LONG).await;
    let told = bench.left(lease).await.expect("etcd knows it");
    assert_eq!(told.granted, LONG);
    assert!(told.at_most <= LONG.after(Millis(1_000)));
    bench.until_left(lease, |left| left.at_most < LONG).await;
    bench.store.wish(StoreWish::KeepAlive(lease));
    bench.until_left(lease, |left| left.at_most >= LONG).await;
    assert_eq!(bench.left(LeaseId(4711)).await, None, "nobody was granted this one");
    etcd.stop().expect("it stops");
    assert_eq!(bench.left(lease).await, None, "nobody is there to say");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_of_etcd_begins_every_lease_anew() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = EtcdCluster::start(directory.path()).expect("three start");
    let mut bench = Bench::new(&at(cluster.endpoints()));
    let lease = bench.lease(LONG).await;
    bench.until_left(lease, |left| left.at_most < LONG).await;
    let leader = leader_of_etcd(&cluster).await;
    cluster.members[leader].kill().expect("it ran");
    // No renewal, and yet nothing is gone of it: nobody may take that for a sign of life, or of death.
    bench.until_left(lease, |left| left.at_most >= LONG).await;
}

async fn leader_of_etcd(cluster: &EtcdCluster) -> usize {
    for (number, member) in cluster.members.iter().enumerate() {
        let status = plain(member).await.maintenance_client().status().await.expect("it answers");
        let own = status.header().expect("who says it").member_id();
        if status.leader() == own {
            return number;
        }
    }
    panic!("etcd has a leader");
}
