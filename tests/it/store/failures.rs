//! What becomes of wishes when etcd is stopped, frozen, or asks who we are.

use haa::config;
use haa::playground::etcd::EtcdCluster;
use haa::store::{Store, StoreError};
use haa_core::effect::StoreWish;
use haa_core::input::{LeaseNews, Outcome, Via};
use haa_core::units::Millis;
use tokio::sync::mpsc;

use super::{Bench, at, etcd, leader, leader_of, plain};
use crate::support::become_postgres;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_etcd_is_silence_and_an_unknown_outcome() {
    let (mut etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(Millis(60_000)).await;
    etcd.stop().expect("it stops");
    bench.store.wish(StoreWish::KeepAlive(lease));
    let id = bench.begin(vec![], vec![(leader("n1", 1), Some(lease))], vec![]);
    let news = bench.news().await;
    assert!(matches!(news, LeaseNews::Silent { .. }), "{news:?}");
    etcd.restart().expect("it starts again");
    let (outcome, view) = bench.end(id).await;
    assert_eq!(outcome, Outcome::Unknown);
    assert_eq!(leader_of(&view), None, "nobody was there to take it");
    bench.store.wish(StoreWish::KeepAlive(lease));
    let news = bench.news().await;
    assert!(matches!(news, LeaseNews::Alive { .. }), "{news:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_etcd_leaves_the_outcome_unknown() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let lease = bench.lease(Millis(60_000)).await;
    etcd.freeze().expect("it can be frozen");
    let id = bench.begin(vec![], vec![(leader("n1", 1), None)], vec![]);
    bench.store.wish(StoreWish::KeepAlive(lease));
    let news = bench.news().await;
    assert!(matches!(news, LeaseNews::Silent { .. }), "{news:?}");
    etcd.thaw().expect("it can be thawed");
    let (outcome, _) = bench.end(id).await;
    assert_eq!(outcome, Outcome::Unknown);
    let view = bench.write(vec![(leader("n2", 2), None)]).await;
    assert_eq!(leader_of(&view), Some("n2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_frozen_endpoint_of_three_stops_nothing() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = EtcdCluster::start(directory.path()).expect("three start");
    let mut bench = Bench::new(&at(cluster.endpoints()));
    bench.write(vec![(leader("n1", 1), None)]).await;
    // The first endpoint is the one that worked last: transactions and the watch are there.
    cluster.members[0].freeze().expect("it can be frozen");
    let mut committed = 0;
    for term in 2.. {
        let (outcome, _) = bench.txn(vec![], vec![(leader("n2", term), None)], vec![]).await;
        committed += u32::from(outcome == Outcome::Committed);
        if committed == 20 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_on_a_frozen_endpoint_moves() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = EtcdCluster::start(directory.path()).expect("three start");
    let mut bench = Bench::new(&at(cluster.endpoints()));
    bench.until_read().await;
    cluster.members[0].freeze().expect("it can be frozen");
    let mut client = plain(&cluster.members[1]).await;
    // Until the two others have elected a leader among them, etcd refuses.
    while client
        .put("/haa/shop/leader", r#"{"member":"n3","term":9,"instance":3}"#, None)
        .await
        .is_err()
    {}
    bench.until_view(|view, _| leader_of(view) == Some("n3")).await;
    while client.delete("/haa/shop/leader", None).await.is_err() {}
    let (_, via) = bench.until_view(|view, _| leader_of(view).is_none()).await;
    assert_eq!(via, Via::Watch, "the new watch tells what comes next");
}

/// On one thread, so that the transaction is begun before the first read has found out that the
/// endpoint is dead.
#[tokio::test]
async fn a_dead_endpoint_costs_no_transaction() {
    become_postgres();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut cluster = EtcdCluster::start(directory.path()).expect("three start");
    let endpoints = cluster.endpoints();
    cluster.members[0].kill().expect("one is killed");
    cluster.members[1].wait_healthy().expect("the others go on");
    let mut bench = Bench::new(&at(endpoints));
    let (outcome, view) = bench.txn(vec![], vec![(leader("n1", 1), None)], vec![]).await;
    assert_eq!(
        (outcome, leader_of(&view)),
        (Outcome::Committed, Some("n1")),
        "a refused connection carries nothing"
    );
    let reached = bench.store.reach().await;
    assert!(reached[0].version.is_err());
    assert!(reached[1..].iter().all(|reach| reach.version.is_ok()), "{reached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_used_and_renewed() {
    let (mut etcd, _directory) = etcd();
    let mut client = plain(&etcd).await;
    client.user_add("root", "secret", None).await.expect("a user");
    client.role_add("root").await.expect("a role");
    client.user_grant_role("root", "root").await.expect("a grant");
    client.auth_enable().await.expect("it asks for a login from now on");

    let login = |password: &str| {
        let login = config::Login { user: "root".to_owned(), password: password.to_owned() };
        config::Etcd { login: Some(login), ..at(vec![etcd.endpoint()]) }
    };
    let wrong = Bench::new(&login("guess")).store.history().await;
    assert!(matches!(wrong, Err(StoreError::Silent { .. })), "{wrong:?}");
    let mut bench = Bench::new(&login("secret"));
    bench.until_read().await;
    bench.write(vec![(leader("n1", 1), None)]).await;
    // A restart makes etcd forget the tokens that it gave.
    etcd.restart().expect("it starts again");
    let view = bench.until_read().await;
    assert_eq!(leader_of(&view), Some("n1"));
    bench.write(vec![(leader("n2", 2), None)]).await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_at_start() {
    let start = |endpoints: &[&str]| {
        let endpoints = endpoints.iter().map(|url| (*url).to_owned()).collect();
        Store::start(&at(endpoints), "shop", mpsc::channel(1).0).err()
    };
    assert!(matches!(start(&[]), Some(StoreError::NoEndpoint)));
    for url in ["10.0.0.1:2379", "ftp://10.0.0.1:2379", "http://", "http://a b:1"] {
        assert!(matches!(start(&[url]), Some(StoreError::Endpoint { .. })), "{url}");
    }
    let secret = start(&["https://10.0.0.1:2379"]);
    assert!(matches!(secret, Some(StoreError::NoAuthority { .. })), "{secret:?}");
    let rubbish = config::Etcd {
        ca: Some(b"no certificate".to_vec()),
        ..at(vec!["https://10.0.0.1:2379".to_owned()])
    };
    let rubbish = Store::start(&rubbish, "shop", mpsc::channel(1).0).err();
    assert!(matches!(rubbish, Some(StoreError::NoPem { .. })), "{rubbish:?}");
}
