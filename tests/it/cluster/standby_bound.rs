//! A standby cluster that has the history of a timeline of the other site, and that timeline came to nothing.

use std::time::{Duration, Instant};

use super::fixture::{Cluster, LONG};
use super::standby::same_secrets;

/// Where the WAL of who streams from the other cluster ends, and on which timeline.
const END: &str = "SELECT received_tli, pg_last_wal_receive_lsn()::text \
                   FROM pg_stat_wal_receiver, pg_last_wal_replay_lsn() AS replayed \
                   WHERE replayed = pg_last_wal_receive_lsn()";

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
    let row = loop {
        if let Some(row) = client.query_opt(END, &[]).await.expect("it answers") {
            break row;
        }
        tokio::task::yield_now().await;
    };
    let (timeline, end): (i32, String) = (row.get(0), row.get(1));
    let other = a.primary().await;
    a.playground.kill_host(&other).expect("it ran");
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
    b.says(&member, "the member that it was to stream from does not lead any more").await;
    b.has_rows(&member, 2).await;
}
