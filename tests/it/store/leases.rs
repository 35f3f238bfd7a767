//! Leases: granted, renewed, lost, let go.

use haa::agent::clock;
use haa_core::effect::StoreWish;
use haa_core::input::{LeaseNews, Outcome, Via};
use haa_core::units::{LeaseId, Millis};

use super::{Bench, at, etcd, leader, leader_of, plain};

const LONG: Millis = Millis(60_000);

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_runs_out_takes_its_keys_along() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(Millis(1_000)).await;
    let (outcome, view) = bench.txn(vec![], vec![(leader("n1", 1), Some(lease))], vec![]).await;
    assert_eq!(outcome, Outcome::Committed);
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
    let LeaseNews::Alive { id, asked_at } = bench.news().await else { panic!("it is alive") };
    assert_eq!(id, lease);
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
