//! A standby cluster that has the history of a timeline of the other site, and that timeline came to nothing.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, Row};

use super::fixture::{Cluster, LONG};
use super::standby::same_secrets;

/// The timeline that is streamed.
const TIMELINE: &str = "SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'";
/// Where the WAL of who has replayed all of it ends, once nothing more can come.
const END: &str = "SELECT pg_last_wal_replay_lsn()::text \
                   WHERE pg_last_wal_replay_lsn() = pg_last_wal_receive_lsn() \
                   AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')";
/// haad lets half a minute pass first.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first row of an answer that has one.
async fn row(client: &Client, question: &str) -> Row {
    let began = Instant::now();
    loop {
        if let Some(row) = client.query_opt(question, &[]).await.expect("it answers") {
            return row;
        }
        assert!(began.elapsed() < LONG, "{question} has no row");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_cluster_gets_off_a_timeline_that_came_to_nothing() {
    let mut a = Cluster::start_with(|options| options.members(1)).await;
    a.write_until_acknowledged(1).await;
    let hosts = vec![a.playground.postgres(&a.primary().await).to_string()];
    let extra = toml::toml! {
        [bootstrap]
        method = "standby"
        standby_of = hosts
    };
    let mut b = Cluster::prepare(|options| options.members(1).extra(extra));
    same_secrets(&a, &b);
    b.playground.start_all().await.expect("everything starts");
    let member = b.playground.names().remove(0);
    b.has_rows(&member, 1).await;

    let client = b.connect(&b.playground.postgres(&member)).await.expect("it accepts");
    let timeline: i32 = row(&client, TIMELINE).await.get(0);
    let other = a.primary().await;
    a.playground.kill_host(&other).expect("it ran");
    let end: String = row(&client, END).await.get(0);
    // As a receiver leaves it, whose source is lost once it has sent that.
    let history = format!("pg_wal/{:08X}.history", timeline + 1);
    let history = b.playground.data(&member).join(history);
    std::fs::write(history, format!("{timeline}\t{end}\tno recovery target\n")).expect("writable");
    let bound = format!("new target timeline is {}", timeline + 1);
    let (log, began) = (b.playground.state(&member).join("postgres.log"), Instant::now());
    while !std::fs::read_to_string(&log).expect("a log").contains(&bound) {
        assert!(began.elapsed() < LONG, "Postgres never takes it up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    a.playground.start_member(&other).expect("it starts");
    a.write_until_acknowledged(2).await;
    let (gone, began) =
        ("the member that it was to stream from does not lead any more", Instant::now());
    while !b.log(&member).contains(gone) {
        assert!(began.elapsed() < PATIENCE, "it goes on asking for that timeline");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    b.has_rows(&member, 2).await;
}
