//! A Postgres that neither lives nor dies: what is left of it answers, and somebody else has to go on.

use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::MemberName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fixture::{Cluster, LONG};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postmaster_that_hangs_and_a_voter_that_does_not_replay_cost_no_primary() {
    let settings = toml::toml! { timing.stall_timeout = "3s" };
    let cluster = Cluster::start_with(|options| options.settings(settings)).await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    let replica = cluster.other_than(&old);
    signal(&cluster, &replica, Signal::SIGSTOP);
    let address = cluster.playground.postgres(&replica).to_string();
    until_readers_go(&cluster, |to| !to.contains(&address)).await;
    cluster.until_answered(&replica, "/health", (503, "*")).await;
    signal(&cluster, &replica, Signal::SIGCONT);
    until_readers_go(&cluster, |to| to.contains(&address)).await;

    // Whoever is connected notices nothing, and is not what counts.
    let held = cluster.connect(&cluster.playground.postgres(&old)).await.expect("it accepts");
    signal(&cluster, &old, Signal::SIGSTOP);
    held.batch_execute("INSERT INTO t VALUES (1)").await.expect("its backend lives");
    let took = cluster.write_until_acknowledged(2).await;
    println!(
        "the postmaster alone hangs, to the first acknowledged write of a new client: {took:?}"
    );
    let new = cluster.primary().await;
    assert_ne!(new, old);
    cluster.says(&old, "Postgres answers no query").await;
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it comes back");
    cluster.all_vote().await;

    // Of two voters that are left, one has to replay before it can grant.
    let paused = cluster.other_than(&new);
    let client = cluster.connect(&cluster.playground.postgres(&paused)).await;
    let client = client.expect("it accepts");
    client.batch_execute("SELECT pg_wal_replay_pause()").await.expect("it can be paused");
    cluster.write_until_acknowledged(3).await;
    cluster.playground.kill(&new, Part::Host).expect("it was running");
    cluster.says(&paused, "replay was paused; it goes on").await;
    let took = cluster.write_until_acknowledged(4).await;
    println!("a host killed while a voter's replay is paused, to the first write: {took:?}");
    assert_ne!(cluster.primary().await, new);
    cluster.has_rows(&paused, 4).await;
}

fn signal(cluster: &Cluster, member: &MemberName, signal: Signal) {
    let file = cluster.playground.data(member).join("postmaster.pid");
    let text = std::fs::read_to_string(file).expect("it runs");
    let pid = text.lines().next().and_then(|line| line.parse().ok()).expect("a pid");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

/// Waits until the primary sends readers where it should.
async fn until_readers_go(cluster: &Cluster, where_wanted: impl Fn(&str) -> bool) {
    let primary = cluster.primary().await;
    let began = Instant::now();
    loop {
        let path = "/routes/read?format=hostport";
        let answer = cluster.playground.http_get(&primary, path).await.expect("the agent answers");
        if where_wanted(&answer.1) {
            return;
        }
        assert!(began.elapsed() < LONG, "readers go to {}", answer.1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
