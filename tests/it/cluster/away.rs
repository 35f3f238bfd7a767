//! A replica that was away, while the primary went on for longer than anybody waits: its slot held its WAL, another
//! member has it still, or it is cloned anew.

use std::time::{Duration, Instant};

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
    streams_through(&mut cluster, &away).await;
}

/// The third member streams through this replica; from the primary while that one is away; and through it again.
async fn streams_through(cluster: &mut Cluster, upstream: &MemberName) {
    let primary = cluster.primary().await;
    let mut names = cluster.playground.names().into_iter();
    let below = names.find(|name| *name != primary && name != upstream).expect("a third member");
    let tag = format!("\n[tags]\nreplicatefrom = \"{upstream}\"\n");
    cluster.edit(&below, |text| text + &tag);
    let (code, said) = cluster.haactl(&["reload", below.as_str()]);
    assert_eq!(code, 0, "{said}");
    streams_from(cluster, &below, upstream).await;
    // The primary holds no WAL for whoever gets it elsewhere.
    cluster.write_until_acknowledged(2).await;
    let end = "SELECT pg_current_wal_flush_lsn()::text";
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let end: String = client.query_one(end, &[]).await.expect("it answers").get(0);
    let question = format!("slot_name = 'haa_{below}' AND NOT active AND restart_lsn >= '{end}'");
    until_so(cluster, &primary, "pg_replication_slots", &question).await;
    let shown = format!("streaming from {upstream}");
    cluster.until_haactl(&["list"], |_, list| list.contains(&shown)).await;

    cluster.playground.kill(upstream, Part::Host).expect("it was running");
    streams_from(cluster, &below, &primary).await;
    cluster.playground.start_member(upstream).expect("it can be started");
    streams_from(cluster, &below, upstream).await;
    cluster.write_until_acknowledged(3).await;
    cluster.has_rows(&below, 3).await;
}

/// Waits until the one streams from the other, with a slot there, as that one says.
async fn streams_from(cluster: &Cluster, below: &MemberName, above: &MemberName) {
    let question = format!(
        "state = 'streaming' AND application_name LIKE 'haa\\_{below}\\_%' AND pid IN \
         (SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'haa_{below}')"
    );
    until_so(cluster, above, "pg_stat_replication", &question).await;
}

async fn until_so(cluster: &Cluster, member: &MemberName, view: &str, condition: &str) {
    let began = Instant::now();
    let question = format!("SELECT 1 FROM {view} WHERE {condition}");
    loop {
        let client = cluster.connect(&cluster.playground.postgres(member)).await;
        if let Ok(client) = client
            && client.query(&question, &[]).await.is_ok_and(|rows| !rows.is_empty())
        {
            return;
        }
        assert!(began.elapsed() < LONG, "never on {member}: {question}\n{}", cluster.log(member));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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
