//! A replica that was away, while the primary went on for longer than anybody waits: its slot held its WAL, another
//! member has it still, or it is cloned anew.

use std::time::Duration;

use haa::playground::Part;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

/// Some WAL, and a checkpoint that throws away what nobody needs. In pieces that a replica has flushed before the next
/// begins, so that it never is as far behind as one that is away.
async fn write_much(cluster: &Cluster) {
    let piece = "SELECT pg_logical_emit_message(false, 'it', repeat('x', 1000000)) \
         FROM generate_series(1, 15)";
    for _ in 0..8 {
        cluster.execute(piece).await;
        cluster.execute("SELECT txid_current()").await;
        cluster.execute("CHECKPOINT").await;
    }
}

/// Whether the primary, whoever that is, holds WAL for this member.
async fn holds_wal(cluster: &Cluster, of: &MemberName) -> bool {
    let slot = format!("haa_{of}");
    let question =
        "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND restart_lsn IS NOT NULL";
    let primary = cluster.playground.postgres(&cluster.primary().await);
    let client = cluster.connect(&primary).await.expect("it accepts");
    !client.query(question, &[&slot]).await.expect("it answers").is_empty()
}

/// A cluster whose members keep WAL for slots alone, and one of its replicas: its host is gone while much is written.
async fn leave_one_behind(more: toml::Table) -> (Cluster, MemberName) {
    let kept = toml::toml! {
        [postgres.parameters]
        wal_keep_size = "0"
    };
    let cluster = Cluster::start_with(|options| options.extra(kept).extra(more)).await;
    cluster.all_vote().await;
    let away = cluster.other_than(&cluster.primary().await);
    cluster.playground.kill(&away, Part::Host).expect("it was running");
    cluster.write_until_acknowledged(1).await;
    write_much(&cluster).await;
    (cluster, away)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_finds_the_wal_that_it_lacks() {
    let (mut cluster, away) = leave_one_behind(toml::Table::new()).await;
    // It leaves the list of those that may lead after one ttl: not one slot goes for it.
    for _ in 0..25 {
        assert!(holds_wal(&cluster, &away).await, "the slot of {away} is gone");
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
async fn a_replica_whose_wal_was_thrown_away_gets_it_elsewhere_or_is_cloned_anew() {
    let bound = toml::toml! {
        [postgres.parameters]
        max_slot_wal_keep_size = "32MB"
    };
    let (mut cluster, away) = leave_one_behind(bound).await;
    let before = cluster.log(&away).matches("Clone").count();
    cluster.playground.start_member(&away).expect("it can be started");
    cluster.playground.wait_member_streams(&away, LONG * 4).await.expect("it is made anew");
    cluster.has_rows(&away, 1).await;
    let log = cluster.log(&away);
    // The third member may have it still: a replica throws WAL away later than its primary.
    let fetched = log.contains("fetched a WAL segment");
    assert!(fetched || log.matches("Clone").count() > before, "{away} lacked nothing:\n{log}");
}
