//! Agents that are killed, frozen or gone: their guard closes writes before anybody else may accept any. Judged by
//! the order of events; times are printed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haa::agent::clock;
use haa::playground::{Options, Process};
use haa_core::units::{MemberName, Millis};
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde_json::json;

use super::fixture::{Cluster, LONG, name};
use crate::support;

/// What an agent knows is old after 4 s, what etcd knows of it after 5 s.
/// In `async`: with voters, whoever lost its agent acknowledges nothing, guard or not.
fn quick(options: Options) -> Options {
    options.settings(toml::toml! {
        durability = "async"
        [timing]
        ttl = "5s"
        round = "1s"
        margin = "1s"
    })
}

fn quick_without_guard(options: Options) -> Options {
    quick(options).extra(toml::toml! {
        [guard]
        enabled = false
    })
}

/// How a primary that lost its agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its sessions ended at this instant, and no write of theirs began after another member accepted writes.
    ClosedFirst(Millis),
    /// It acknowledged a write that began after another member had accepted writes.
    TwoAtOnce,
}

/// Writes on a primary through one session, for as long as that is possible.
struct Writer {
    other_accepts: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Fate>,
}

impl Writer {
    /// Another member can take over by then.
    async fn begin(cluster: &Cluster, primary: &MemberName) -> Self {
        cluster.all_may_lead().await;
        let at = cluster.playground.postgres(primary);
        let client = cluster.connect(&at).await.expect("the primary accepts connections");
        client.batch_execute("CREATE TABLE w (id bigint)").await.expect("it writes");
        let other_accepts = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&other_accepts);
        let task = tokio::spawn(async move {
            loop {
                let other = other.load(Ordering::SeqCst);
                if client.execute("INSERT INTO w VALUES (1)", &[]).await.is_err() {
                    return Fate::ClosedFirst(clock::now());
                }
                if other {
                    return Fate::TwoAtOnce;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { other_accepts, task }
    }

    /// Waits until another member accepts writes, then for the fate of the first.
    async fn fate(self, cluster: &Cluster, old: &MemberName) -> Fate {
        let began = Instant::now();
        while !another_accepts(cluster, old).await {
            assert!(began.elapsed() < LONG, "nobody takes over from {old}:\n{}", cluster.log(old));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.other_accepts.store(true, Ordering::SeqCst);
        let fate = tokio::time::timeout(LONG, self.task).await;
        fate.expect("a write is answered").expect("the writer lives")
    }
}

/// Whether any member but this one is out of recovery.
async fn another_accepts(cluster: &Cluster, old: &MemberName) -> bool {
    for member in cluster.playground.names().iter().filter(|name| *name != old) {
        let at = cluster.playground.postgres(member);
        let Ok(client) = cluster.connect(&at).await else { continue };
        let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await;
        if row.is_ok_and(|row| !row.get::<_, bool>(0)) {
            return true;
        }
    }
    false
}

/// The end of the last leadership, as the agent wrote it down.
fn until(cluster: &Cluster, member: &MemberName) -> Millis {
    let file = cluster.playground.state(member).join("leadership.json");
    let text = std::fs::read_to_string(file).expect("it has led");
    let page: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    Millis(page["leadership"]["until"].as_u64().expect("an instant"))
}

/// Speaks to a member's guard as an agent that knows nothing of its Postgres.
fn arm_as_found(cluster: &Cluster, member: &MemberName, until: Millis) {
    let socket = haa::guard::socket(&cluster.playground.state(member));
    let mut stream = UnixStream::connect(socket).expect("a guard listens");
    let mut back = BufReader::new(stream.try_clone().expect("a socket"));
    let data = cluster.playground.data(member);
    for (asked, expected) in [
        (json!({ "hello": { "protocol": 1, "data_directory": data } }), "watching"),
        (json!({ "arm": { "term": 1, "until": until, "writes": "as_found" } }), "armed"),
    ] {
        writeln!(stream, "{asked}").expect("it listens");
        let mut reply = String::new();
        back.read_line(&mut reply).expect("it answers");
        assert!(reply.contains(expected), "{reply}");
    }
}

fn guard(cluster: &Cluster, member: &MemberName) -> Process {
    cluster.playground.guard(member).expect("a member").expect("it has a guard")
}

fn signal(process: Process, signal: Signal) {
    process.signal(signal).expect("it is ours");
}

/// Asserts that the old primary was closed first, and prints how long after the deadline.
fn closed_first(what: &str, fate: Fate, deadline: Millis) {
    let Fate::ClosedFirst(at) = fate else { panic!("{what}: {fate:?}") };
    println!("{what}: closed {} ms after the deadline", at.0 as i64 - deadline.0 as i64);
}

async fn gone(what: &str, process: impl Fn() -> Option<Process>) {
    let began = Instant::now();
    while process().is_some() {
        assert!(began.elapsed() < LONG, "{what} does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_guard_is_replaced_and_the_new_one_closes_for_a_killed_agent() {
    let cluster = Cluster::start_with(quick).await;
    let old = cluster.primary().await;
    let first = guard(&cluster, &old);
    signal(first, Signal::KILL);
    gone("the guard", || Some(first).filter(|guard| guard.alive())).await;
    let began = Instant::now();
    while cluster.log(&old).matches("the guard is there").count() < 2 {
        assert!(began.elapsed() < LONG, "no new guard:\n{}", cluster.log(&old));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_ne!(guard(&cluster, &old), first);
    let writer = Writer::begin(&cluster, &old).await;
    cluster.playground.kill_agent(&old).expect("it ran");
    let deadline = until(&cluster, &old);
    let fate = writer.fate(&cluster, &old).await;
    closed_first("agent killed for good, guard replaced before", fate, deadline);
    cluster.says(&old, "the guard closed Postgres").await;
    assert!(cluster.playground.postmaster(&old).expect("a member").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_agent_is_closed_by_its_guard_and_rejoins_when_thawed() {
    let cluster = Cluster::start_with(quick).await;
    let old = cluster.primary().await;
    let writer = Writer::begin(&cluster, &old).await;
    cluster.playground.freeze_agent(&old).expect("it runs");
    let deadline = until(&cluster, &old);
    let fate = writer.fate(&cluster, &old).await;
    closed_first("agent frozen", fate, deadline);
    cluster.playground.thaw_agent(&old).expect("it is there");
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it rejoins");
    assert_eq!(cluster.writable().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guard_ends_a_stopped_postmaster_with_all_its_backends() {
    let cluster = Cluster::start_with(quick).await;
    let old = cluster.primary().await;
    let writer = Writer::begin(&cluster, &old).await;
    let postmaster = cluster.playground.postmaster(&old).expect("a member").expect("it runs");
    cluster.playground.kill_agent(&old).expect("it ran");
    // Not before: a stopped process group that loses its parent is continued by the kernel.
    signal(postmaster, Signal::STOP);
    let deadline = until(&cluster, &old);
    let fate = writer.fate(&cluster, &old).await;
    closed_first("postmaster stopped, agent killed", fate, deadline);
    gone("the postmaster", || Some(postmaster).filter(|process| process.alive())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_guard_a_killed_agent_leaves_two_that_accept_writes() {
    let cluster = Cluster::start_with(quick_without_guard).await;
    let old = cluster.primary().await;
    assert!(cluster.playground.guard(&old).expect("a member").is_none());
    let writer = Writer::begin(&cluster, &old).await;
    cluster.playground.kill_agent(&old).expect("it ran");
    let fate = writer.fate(&cluster, &old).await;
    assert_eq!(fate, Fate::TwoAtOnce, "the test of the guard cannot fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_back_within_its_lease_adopts_its_guard() {
    let mut cluster = Cluster::start_with(|mut options| {
        options.agent_arguments.push("--leave-postgres".to_owned());
        quick(options)
    })
    .await;
    let primary = cluster.primary().await;
    let first = guard(&cluster, &primary);
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    cluster.playground.kill_agent(&primary).expect("it ran");
    cluster.playground.start_member(&primary).expect("it starts");
    assert_eq!(cluster.primary().await, primary);
    cluster.playground.terminate_agent(&primary).expect("it runs");
    cluster.agent_is_gone(&primary).await;
    cluster.playground.start_member(&primary).expect("it starts");
    assert_eq!(cluster.primary().await, primary);
    let resumed = clock::now();
    // Beyond every deadline of the agents before.
    while clock::now() < resumed.after(Millis(6_000)) {
        client.query_one("SELECT 1", &[]).await.expect("the session lives");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(guard(&cluster, &primary), first, "the guard was adopted");

    // Left without a successor, the guard does what it is for.
    cluster.playground.terminate_agent(&primary).expect("it runs");
    cluster.agent_is_gone(&primary).await;
    gone("Postgres", || cluster.playground.postmaster(&primary).expect("a member")).await;
    cluster.says(&primary, "the guard closed Postgres").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_an_agent_goes_on_and_an_orderly_stop_leaves_no_guard() {
    let mut cluster = Cluster::start_with(quick).await;
    // It has led, so its guard has had a deadline.
    let replica = cluster.primary().await;
    let body = json!({ "candidate": cluster.other_than(&replica) });
    let answer = cluster.playground.http_post(&replica, "/switchover", &body).await;
    let (status, text) = answer.expect("the agent answers");
    assert_eq!(status, 200, "{text}");
    cluster.playground.wait_member_streams(&replica, LONG).await.expect("it follows");
    let left = guard(&cluster, &replica);
    let client = cluster.connect(&cluster.playground.postgres(&replica)).await.expect("it reads");
    cluster.playground.kill_agent(&replica).expect("it ran");
    let killed = clock::now();
    while clock::now() < killed.after(Millis(8_000)) {
        client.query_one("SELECT count(*) FROM t", &[]).await.expect("a replica goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!cluster.log(&replica).contains("the guard closed"), "{}", cluster.log(&replica));
    arm_as_found(&cluster, &replica, clock::now());
    cluster.says(&replica, "Postgres is in recovery and was left alone").await;
    client.query_one("SELECT count(*) FROM t", &[]).await.expect("a replica goes on");
    cluster.playground.start_member(&replica).expect("it starts");
    cluster.playground.wait_member_streams(&replica, LONG).await.expect("it streams");
    assert_eq!(guard(&cluster, &replica), left, "the guard was adopted");
    for member in [replica, cluster.primary().await] {
        cluster.playground.terminate_agent(&member).expect("it runs");
        cluster.agent_is_gone(&member).await;
        gone("the guard", || cluster.playground.guard(&member).expect("a member")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_knows_nothing_of_a_primary_looks_and_closes_it() {
    let mut cluster = Cluster::prepare(|options| quick(options.members(1)));
    cluster.playground.start_all().await.expect("they start");
    let member = cluster.primary().await;
    let first = guard(&cluster, &member);
    cluster.playground.kill_agent(&member).expect("it ran");
    signal(first, Signal::KILL);
    gone("the guard", || Some(first).filter(|guard| guard.alive())).await;
    let mut command = Command::new(support::programs().join("haad"));
    command.arg("guard").arg("--state-directory").arg(cluster.playground.state(&member));
    command.arg("--data-directory").arg(cluster.playground.data(&member));
    let mut second = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut out = BufReader::new(second.stdout.take().expect("piped"));
    out.read_line(&mut String::new()).expect("it says that it listens");
    arm_as_found(&cluster, &member, clock::now().after(Millis(100)));
    gone("Postgres", || cluster.playground.postmaster(&member).expect("a member")).await;
    // Nobody is connected to it: SIGTERM ends it at once.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(second.id().try_into().expect("a pid")),
        nix::sys::signal::Signal::SIGTERM,
    )
    .expect("it is ours");
    let said = second.wait_with_output().expect("it ends");
    assert!(said.status.success());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("nothing proves that it is in recovery"), "{said}");
    assert!(said.contains("no standby.signal"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_promoted_while_no_guard_can_be_had() {
    let mut cluster = Cluster::prepare(quick);
    let member = name("n1");
    let state = cluster.playground.state(&member);
    std::fs::create_dir_all(&state).expect("a directory");
    let lock = File::create(state.join("guard.lock")).expect("a file");
    flock(&lock, FlockOperation::LockExclusive).expect("it is free");
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&member).expect("it starts");
    cluster.says(&member, "Postgres is not promoted without its guard").await;
    assert!(cluster.writable().await.is_empty());
    let log = cluster.log(&member);
    assert_eq!(log.matches("this member has no guard").count(), 1, "said once:\n{log}");
    drop(lock);
    assert_eq!(cluster.primary().await, member);
}
