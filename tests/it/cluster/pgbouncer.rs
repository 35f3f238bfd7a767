//! Switchovers that no client behind a PgBouncer notices but by a pause, and PgBouncers that nobody leaves paused.
//! Times are printed, never asserted.

use std::time::{Duration, Instant};

use haa::playground::Part;
use nix::sys::signal::Signal;
use tokio_postgres::SimpleQueryMessage;

use super::fixture::{LONG, print_times};
use super::pooled::{Pooled, free};
use super::writers::Writers;

/// `HAA_SWITCHOVERS=20` for more of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_measured_through_pgbouncer_loses_nothing_and_shows_no_error() {
    let runs = std::env::var("HAA_SWITCHOVERS").map_or(5, |runs| runs.parse().expect("a number"));
    let pooled = Pooled::start("", None).await;
    let cluster = &pooled.cluster;
    let (made, said) = pooled.pgbench(&["-i", "-q", "-s", "1"]).ended();
    assert!(made, "pgbench makes its tables: {said}");
    let bench = pooled.pgbench(&["-n", "-c", "4", "-R", "40", "-T", "3600"]);
    let writers = Writers::start(&pooled.cluster, &pooled.at);
    let mut pauses = Vec::new();
    for _ in 0..runs {
        cluster.all_stream().await;
        cluster.all_vote().await;
        writers.go_on(100).await;
        let target = cluster.other_than(&cluster.primary().await);
        let began = Instant::now();
        let (status, said) = pooled.switchover(&target).await;
        assert_eq!(status, 200, "{said}");
        writers.go_on(100).await;
        pauses.push(writers.pause_since(began));
        assert_eq!(cluster.primary().await, target);
    }
    // What ends its `-T`: it says how it went.
    bench.signal(Signal::SIGALRM);
    let (well, said) = bench.ended();
    println!("{said}");
    assert!(well && said.contains("number of failed transactions: 0 (0.000%)"), "{said}");
    assert!(!said.contains("error:"), "{said}");
    assert_eq!(writers.end(cluster).await, Vec::<String>::new(), "no client saw an error");
    print_times("a client's longest wait in a switchover through PgBouncer", pauses);
}

/// Nothing was stopped, and the pause that waited for it is taken back. A console that cannot be reached, or hangs,
/// holds up nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_does_not_end_refuses_the_switchover_and_nobody_stays_paused() {
    let nobody = free();
    let pooled = Pooled::start("pause_timeout = \"5s\"", Some(&nobody)).await;
    let cluster = &pooled.cluster;
    let primary = cluster.primary().await;
    let target = cluster.other_than(&primary);
    let idle = pooled.client().await;
    idle.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.expect("it begins");
    let writers = Writers::start(&pooled.cluster, &pooled.at);
    writers.go_on(20).await;

    let (status, said) = pooled.switchover(&target).await;
    assert_eq!(status, 412, "{said}");
    let names =
        format!("transactions through the PgBouncer at {} did not end within 5s", pooled.at);
    assert!(said.contains(&names) && said.contains("nothing was stopped"), "{said}");
    assert_eq!(cluster.primary().await, primary);
    writers.go_on(50).await;
    idle.batch_execute("COMMIT").await.expect("its session was not cut");

    let (status, said) = pooled.switchover(&target).await;
    assert_eq!(status, 200, "{said}");
    writers.go_on(50).await;
    cluster.says(&primary, &format!("PgBouncer at {nobody} cannot be reached")).await;
    cluster.all_stream().await;
    cluster.all_vote().await;

    pooled.bouncer.signal(Signal::SIGSTOP);
    let (status, said) = pooled.switchover(&primary).await;
    assert_eq!(status, 200, "{said}");
    pooled.bouncer.signal(Signal::SIGCONT);
    writers.go_on(50).await;
    println!("errors of clients whose PgBouncer was frozen: {:?}", writers.end(cluster).await);
}

/// As if its leader had died amid a hand-over: its PgBouncer is paused, and whoever leads next lets its clients go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pgbouncer_that_a_dead_leader_left_paused_is_resumed_by_the_next() {
    let databases = r#"databases = ["postgres", "to_n1", "to_n2", "to_n3"]"#;
    let pooled = Pooled::start(databases, None).await;
    let cluster = &pooled.cluster;
    let writers = Writers::start(&pooled.cluster, &pooled.at);
    writers.go_on(50).await;
    let console = pooled.session("pgbouncer", "pgbouncer").await;
    console.simple_query("PAUSE postgres").await.expect("nobody stays in a transaction");
    let old = cluster.primary().await;
    let began = Instant::now();
    cluster.playground.kill(&old, Part::Postgres).expect("it was running");
    writers.go_on(50).await;
    println!("killed while paused: {:?} without a write", writers.pause_since(began));
    // And one that finds it at work: sessions with the dead one end, and new ones go to the next.
    cluster.all_stream().await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    let mut clients = Vec::new();
    for name in cluster.playground.names() {
        let client = pooled.session("postgres", &format!("to_{name}")).await;
        client.simple_query("SELECT").await.expect("it answers");
        clients.push(client);
    }
    assert_eq!(servers_of_members(&console).await, clients.len());
    cluster.playground.kill(&old, Part::Postgres).expect("it was running");
    let began = Instant::now();
    cluster.another_leads(&old).await;
    writers.go_on(200).await;
    println!("errors of clients at a kill: {:?}", writers.end(cluster).await);
    // Those of the members that live would rest for minutes, if PgBouncer were not told to connect anew.
    while servers_of_members(&console).await > 0 {
        assert!(began.elapsed() < LONG, "PgBouncer keeps its sessions from before the failover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many sessions PgBouncer has with the members themselves.
async fn servers_of_members(console: &tokio_postgres::Client) -> usize {
    let shown = console.simple_query("SHOW SERVERS").await.expect("it answers");
    let of = |row: &SimpleQueryMessage| match row {
        SimpleQueryMessage::Row(row) => {
            row.get("database").is_some_and(|name| name.starts_with("to_"))
        }
        _ => false,
    };
    shown.iter().filter(|row| of(row)).count()
}
