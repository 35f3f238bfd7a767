//! A replica that was away, while the primary went on for longer than anybody waits: its slot held its WAL, or it is
//! cloned anew.

use std::time::Duration;

use haa::playground::Part;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// Some WAL, and a checkpoint that throws away what nobody needs.
async fn write_much(cluster: &Cluster) {
    let much = "SELECT pg_logical_emit_message(false, 'it', repeat('x', 1000000)) \
         FROM generate_series(1, 40)";
    for _ in 0..4 {
        cluster.execute(much).await;
        cluster.execute("SELECT pg_switch_wal()").await;
        cluster.execute("CHECKPOINT").await;
    }
}

async fn holds_wal(cluster: &Cluster, primary: &MemberName, of: &MemberName) -> bool {
    let slot = format!("haa_{of}");
    let question =
        "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND restart_lsn IS NOT NULL";
    let client = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    !client.query(question, &[&slot]).await.expect("it answers").is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_finds_the_wal_that_it_lacks() {
    let mut cluster = Cluster::start().await;
    cluster.all_vote().await;
    let primary = cluster.primary().await;
    let away = cluster.other_than(&primary);
    cluster.execute("ALTER SYSTEM SET wal_keep_size = 0").await;
    cluster.execute("SELECT pg_reload_conf()").await;
    cluster.playground.kill(&away, Part::Host).expect("it was running");
    cluster.write_until_acknowledged(1).await;
    write_much(&cluster).await;
    // It leaves the list of those that may lead after one ttl: not one slot goes for it.
    for _ in 0..25 {
        assert!(holds_wal(&cluster, &primary, &away).await, "the slot of {away} is gone");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    write_much(&cluster).await;
    let before = cluster.log(&away).matches("Clone").count();
    cluster.playground.start_member(&away).expect("it can be started");
    cluster.playground.wait_member_streams(&away, LONG).await.expect("it catches up");
    cluster.has_rows(&away, 1).await;
    assert_eq!(cluster.log(&away).matches("Clone").count(), before, "it was not cloned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_wal_was_thrown_away_is_cloned_anew() {
    let mut cluster = Cluster::start().await;
    cluster.all_vote().await;
    let primary = cluster.primary().await;
    let away = cluster.other_than(&primary);
    cluster.execute("ALTER SYSTEM SET wal_keep_size = 0").await;
    cluster.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'").await;
    cluster.execute("SELECT pg_reload_conf()").await;
    cluster.playground.kill(&away, Part::Host).expect("it was running");
    cluster.write_until_acknowledged(1).await;
    write_much(&cluster).await;
    let before = cluster.log(&away).matches("Clone").count();
    cluster.playground.start_member(&away).expect("it can be started");
    cluster.playground.wait_member_streams(&away, LONG).await.expect("it is made anew");
    cluster.has_rows(&away, 1).await;
    let log = cluster.log(&away);
    assert!(log.matches("Clone").count() > before, "{away} was to be cloned:\n{log}");
}
