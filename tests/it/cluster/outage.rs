//! The store goes away. In `quorum` the primary goes on while every member lets it; else it closes in time, and the
//! cluster comes back by itself with one primary.

use std::time::{Duration, Instant};

use haa_core::units::MemberName;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::fixture::{Cluster, LONG, print_times};

/// Four leases of the usual length.
const OUTAGE: Duration = Duration::from_secs(40);
/// The next one comes while the promises of the first still run.
const SECOND: Duration = Duration::from_secs(12);
/// What a write is given, on a slow disk. A closing of writes ends the connection, and is seen by that.
const WRITE: Duration = Duration::from_secs(15);

/// Writes on one connection, one row after the other, until `enough`: how many. Each is to be acknowledged.
fn write_on(client: Client, enough: CancellationToken) -> JoinHandle<i64> {
    tokio::spawn(async move {
        let (mut rows, mut times) = (0, Vec::new());
        while !enough.is_cancelled() {
            rows += 1;
            let began = Instant::now();
            let write = async { client.execute("INSERT INTO t VALUES ($1)", &[&rows]).await };
            let written = tokio::time::timeout(WRITE, write).await;
            let written = written.unwrap_or_else(|_| panic!("write {rows} hangs for {WRITE:?}"));
            written.unwrap_or_else(|why| panic!("write {rows} failed: {why}"));
            times.push(began.elapsed());
        }
        print_times("a write through both outages", times);
        rows
    })
}

/// Stops etcd for so long, and waits until the primary says for the `nth` time that it has its lease again.
async fn without_etcd(cluster: &mut Cluster, primary: &MemberName, span: Duration, nth: usize) {
    cluster.playground.stop_etcd().expect("it ran");
    // Time itself is what is waited for.
    tokio::time::sleep(span).await;
    for member in cluster.playground.names() {
        // It knows where to write without etcd.
        cluster.until_answered(&member, "/routes/primary?format=hostport", (200, "*")).await;
    }
    cluster.until_answered(primary, "/primary", (200, "*")).await;
    cluster.playground.start_etcd().await.expect("it starts");
    let began = Instant::now();
    let back = "etcd is back and has renewed the lease";
    while cluster.log(primary).matches(back).count() < nth {
        assert!(began.elapsed() < LONG, "{primary} does not have its lease again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_quorum_the_primary_goes_on_without_etcd() {
    let mut cluster = Cluster::start().await;
    cluster.all_vote().await;
    let primary = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await;
    let enough = CancellationToken::new();
    let writer = write_on(client.expect("the primary accepts connections"), enough.clone());
    without_etcd(&mut cluster, &primary, OUTAGE, 1).await;
    cluster.says(&primary, "etcd is away, and every member lets the primary go on").await;
    without_etcd(&mut cluster, &primary, SECOND, 2).await;
    enough.cancel();
    let rows = writer.await.expect("no write failed");
    assert_eq!(cluster.primary().await, primary, "nobody took over");
    assert_eq!(cluster.writable().await, std::slice::from_ref(&primary));
    let log = cluster.log(&primary);
    assert!(!log.contains("closing writes"), "its Postgres was never closed:\n{log}");
    for member in cluster.playground.names() {
        cluster.has_rows(&member, rows).await;
    }
}

async fn closes_and_comes_back(settings: toml::Table) {
    let mut cluster = Cluster::start_with(|options| options.settings(settings)).await;
    cluster.write_until_acknowledged(1).await;
    let primary = cluster.primary().await;
    cluster.playground.stop_etcd().expect("it ran");
    let stopped = Instant::now();
    while !cluster.writable().await.is_empty() {
        assert!(stopped.elapsed() < LONG, "{primary} goes on without a lease");
        assert!(cluster.writable().await.len() <= 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("writes were closed {:?} after etcd was killed", stopped.elapsed());
    let (status, body) =
        cluster.playground.http_get(&primary, "/primary").await.expect("the agent answers");
    assert_eq!(status, 503, "{body}");
    cluster.playground.start_etcd().await.expect("it starts");
    let took = cluster.write_until_acknowledged(2).await;
    println!("etcd back, to the first acknowledged write: {took:?}");
    assert_eq!(cluster.writable().await.len(), 1);
    cluster.all_stream().await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_async_writes_are_closed_without_etcd_and_with_it_one_primary_comes_back() {
    closes_and_comes_back(toml::toml! { durability = "async" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_are_in_quorum_where_failsafe_is_off() {
    closes_and_comes_back(toml::toml! { failsafe = false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_lost_its_data_is_not_believed_and_it_is_said() {
    let mut cluster = Cluster::start().await;
    cluster.playground.stop_etcd().expect("it ran");
    let data = cluster.playground.directory().join("etcd/data");
    std::fs::remove_dir_all(data).expect("etcd has data");
    cluster.playground.start_etcd().await.expect("it starts anew");
    for member in cluster.playground.names() {
        cluster.says(&member, "etcd shows an older state than this member has seen").await;
    }
    let began = Instant::now();
    while !cluster.writable().await.is_empty() {
        assert!(began.elapsed() < LONG, "somebody accepts writes without a lease");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
