//! The watch, and values that cannot be read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use haa_core::effect::StoreWish;
use haa_core::input::{Input, Via};
use haa_core::units::Revision;

use haa::playground::etcd::Etcd;

use super::{Bench, HANGS, at, etcd, leader, leader_of, plain};

const LEADER: &str = r#"{"member":"n1","term":1,"instance":1}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    bench.until_read().await;
    let mut client = plain(&etcd).await;
    client.put("/haa/shop/leader", LEADER, None).await.expect("a put");
    let (view, via) = bench.until_view(|view, _| leader_of(view) == Some("n1")).await;
    assert_eq!(via, Via::Watch);
    assert_eq!(view.leader.map(|kept| kept.revision), Some(view.revision));
    client.put("/haa/shop2/leader", "another cluster's", None).await.expect("a put");
    client.delete("/haa/shop/leader", None).await.expect("a delete");
    let (_, via) = bench.until_view(|view, _| leader_of(view).is_none()).await;
    assert_eq!(via, Via::Watch);
}

/// Unary requests that etcd has begun, by its own count.
fn unary_requests(etcd: &Etcd) -> u64 {
    let address = etcd.endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a question");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let counts = text.lines().filter(|line| {
        line.starts_with("grpc_server_started_total{") && line.contains(r#"grpc_type="unary""#)
    });
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Three heartbeats of the watch pass. Were one not answered, the store would be read again, which
/// would show. On a busy machine one may be answered too late: not each time.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_store_asks_nothing() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    bench.until_read().await;
    // Once it has told of which release etcd is, it is idle.
    while !matches!(bench.inputs.recv().await, Some(Input::StoreRevokesEarly(_))) {}
    let began = Instant::now();
    loop {
        let before = unary_requests(&etcd);
        let told = tokio::time::timeout(Duration::from_secs(2), bench.inputs.recv()).await;
        let more = unary_requests(&etcd) - before;
        if told.is_err() && more == 0 {
            break;
        }
        let says = format!("nothing happened, yet it asked {more} times, and {told:?} was told");
        assert!(began.elapsed() < HANGS, "{says}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_pile_up() {
    let (mut etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    bench.until_read().await;
    etcd.stop().expect("it stops");
    for _ in 0..100 {
        bench.store.wish(StoreWish::Read);
    }
    etcd.restart().expect("it starts again");
    // The watch reads once, the wishes at least once; what else was wished ends before the shutdown
    // does.
    bench.until_read().await;
    bench.until_read().await;
    bench.store.shutdown().await;
    drop(bench.store);
    let mut more = 0;
    while let Some(input) = bench.inputs.recv().await {
        more += u32::from(matches!(input, Input::Store(_)));
    }
    assert!(more < 10, "of 100 wishes {more} were still performed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_be_read_is_skipped() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    let mut client = plain(&etcd).await;
    client.put("/haa/shop/members/n1", r#"{"instance":"?"}"#, None).await.expect("a put");
    client.put("/haa/shop/members/N 1", "{}", None).await.expect("a put");
    client.put("/haa/shop/leader", LEADER, None).await.expect("a put");
    let (view, _) = bench.until_view(|view, _| leader_of(view) == Some("n1")).await;
    assert!(view.members.is_empty());
    bench.store.wish(StoreWish::Read);
    let (view, _) = bench
        .until_view(|view, via| matches!(via, Via::Read { .. }) && view.leader.is_some())
        .await;
    assert!(view.members.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_leader_key_cannot_be_read_nothing_is_told() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    bench.until_read().await;
    let mut client = plain(&etcd).await;
    let put = client.put("/haa/shop/leader", "no JSON", None).await.expect("a put");
    let bad = Revision(put.header().expect("a header").revision());
    bench.store.wish(StoreWish::Read);
    let id = bench.begin(vec![], vec![], vec![]);
    let put = client.put("/haa/shop/leader", LEADER, None).await.expect("a put");
    let good = Revision(put.header().expect("a header").revision());
    // Both questions are answered in the end, from what can be read again.
    let (mut read, mut answered) = (false, false);
    while !(read && answered) {
        let seen = bench
            .until(|input| match input {
                Input::Store(seen) => Some(seen),
                _ => None,
            })
            .await;
        assert!(seen.view.revision < bad || seen.view.revision >= good, "{seen:?}");
        read |= matches!(seen.via, Via::Read { .. });
        answered |= matches!(seen.via, Via::Txn { id: answer, .. } if answer == id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_outlives_a_restart_of_etcd() {
    let (mut etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    bench.until_read().await;
    bench.txn(vec![], vec![(leader("n1", 1), None)], vec![]).await;
    etcd.restart().expect("it starts again");
    let view = bench.until_read().await;
    assert_eq!(leader_of(&view), Some("n1"));
    let mut other = Bench::new(&at(vec![etcd.endpoint()]));
    other.txn(vec![], vec![(leader("n2", 2), None)], vec![]).await;
    bench.until_view(|view, via| via == Via::Watch && leader_of(view) == Some("n2")).await;
}

/// A node that does not listen for a while holds up its watch, until etcd no longer has what it
/// missed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_compacted_away_is_read_again() {
    let (etcd, _directory) = etcd();
    let mut bench = Bench::new(&at(vec![etcd.endpoint()]));
    bench.until_read().await;
    let mut client = plain(&etcd).await;
    let padding = "x".repeat(4_000);
    let mut last = 0;
    for term in 1..2_000 {
        let json = format!(r#"{{"member":"n1","term":{term},"instance":1,"padding":"{padding}"}}"#);
        let put = client.put("/haa/shop/leader", json, None).await.expect("a put");
        last = put.header().expect("a header").revision();
    }
    client.compact(last, None).await.expect("a compaction");
    let (view, _) = bench.until_view(|_, via| matches!(via, Via::Read { .. })).await;
    assert_eq!(view.revision, Revision(last));
    client.delete("/haa/shop/leader", None).await.expect("a delete");
    bench.until_view(|view, via| via == Via::Watch && leader_of(view).is_none()).await;
}
