//! The store goes away: the primary closes in time, and the cluster comes back by itself with one primary.

use std::time::{Duration, Instant};

use super::fixture::{Cluster, LONG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_etcd_writes_are_closed_and_with_it_one_primary_comes_back() {
    let mut cluster = Cluster::start().await;
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
