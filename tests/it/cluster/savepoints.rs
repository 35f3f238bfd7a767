//! A batch with more savepoints than Postgres keeps in mind is under way, and servers are restarted, or die: they come
//! back with the data that they have.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use haa_core::units::MemberName;

use super::fixture::Cluster;
use crate::postgres::mute::MANY;

/// A clone makes another directory.
fn directories(cluster: &Cluster) -> Vec<(MemberName, u64)> {
    let inode = |name: &MemberName| {
        std::fs::metadata(cluster.playground.data(name)).expect("it is there").ino()
    };
    cluster.playground.names().into_iter().map(|name| (name.clone(), inode(&name))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_savepoints_cost_no_clone_and_no_cluster() {
    let (cluster, primary, replica) = Cluster::start_voting().await;
    let cluster = Arc::new(cluster);
    cluster.execute("CREATE TABLE many (i int)").await;
    let batch = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    batch.batch_execute(MANY).await.expect("legal statements");
    cluster.execute("CHECKPOINT").await;
    cluster.write_until_acknowledged(1).await;
    let before = directories(&cluster);

    // What its Postgres has replayed by now begins with such a checkpoint.
    let (also, member) = (Arc::clone(&cluster), replica.clone());
    let restart = tokio::task::spawn_blocking(move || also.haactl(&["restart", member.as_str()]));
    cluster.says(&replica, "more than 64 savepoints").await;
    batch.batch_execute("ROLLBACK").await.expect("it ends");
    let (code, said) = restart.await.expect("it is not cancelled");
    assert_eq!(code, 0, "{said}");
    cluster.all_stream().await;
    cluster.all_vote().await;
    assert_eq!(directories(&cluster), before);

    let primary = cluster.primary().await;
    let batch = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    batch.batch_execute(MANY).await.expect("legal statements");
    cluster.execute("CHECKPOINT").await;
    cluster.write_until_acknowledged(2).await;
    // Everybody's recovery begins there.
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 2).await;
        let client =
            cluster.connect(&cluster.playground.postgres(&member)).await.expect("it accepts");
        client.batch_execute("CHECKPOINT").await.expect("it makes one");
    }
    for member in cluster.playground.names() {
        cluster.playground.kill_postgres(&member).expect("it ran");
    }
    let took = cluster.write_until_acknowledged(3).await;
    for member in cluster.playground.names() {
        cluster.says(&member, "more than 64 savepoints").await;
    }
    println!("all Postgres killed amid a batch, to the first acknowledged write: {took:?}");
    cluster.all_stream().await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 3).await;
    }
    assert_eq!(directories(&cluster), before, "{}", cluster.log(&primary));
}
