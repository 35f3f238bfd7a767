//! `haa::postgres` against real servers: what it does, what it sees, and what it says when it cannot.

mod answers;
mod discard;
pub(crate) mod door;
mod endings;
mod fetch;
pub(crate) mod member;
pub(crate) mod mute;
mod places;
pub(crate) mod probe;
mod proven;
mod ready;
mod refusals;
mod restored;
pub(crate) mod sync;
mod unreached;

use std::path::Path;
use std::time::Instant;

use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::observe::{DataDir, Door, Server, Shutdown};
use haa_core::units::{Millis, Timeline};
use member::Member;
use nix::sys::signal::Signal;

use crate::support::become_postgres;

pub(crate) fn root() -> tempfile::TempDir {
    become_postgres();
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer();
    drop(log.try_init());
    let mut root = tempfile::tempdir().expect("a temporary directory");
    root.disable_cleanup(std::env::var_os("KEEP").is_some());
    root
}

/// Until it is so.
pub(crate) async fn waited(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed().as_secs() < 60, "it does not come about");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A primary, and a standby that joined it; the directory goes last.
pub(crate) async fn pair(binaries: &Path) -> (tempfile::TempDir, Member, Member) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    let mut b = Member::of("b", root.path(), binaries);
    a.become_primary(2, &[&b]).await;
    b.join(&mut a).await;
    (root, a, b)
}

/// Whatever sessions are by default: a standby answers none that is serializable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_seen_whatever_its_sessions_are_by_default() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let parameter = ("default_transaction_isolation".to_owned(), "serializable".to_owned());
    a.config.parameters.extend([parameter]);
    a.again().await;
    a.become_primary(2, &[]).await;
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_follows_over_skipped_timeline_numbers() {
    let root = root();
    let mut a = Member::new("node-a", root.path());
    let mut b = Member::new("node-b", root.path());
    a.facts(|facts| facts.data == DataDir::Empty).await;
    a.become_primary(2, &[&b]).await;
    a.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await;

    b.done(Job::Clone(a.source())).await;
    let cloned = b.facts(|facts| matches!(facts.data, DataDir::Present { .. })).await;
    assert!(matches!(cloned.data, DataDir::Present { needs_source: true, .. }), "{cloned:?}");
    b.done(Job::Start(Some(a.source()), Door::Open)).await;
    let standby = b.standby(|standby| standby.streaming).await;
    assert_eq!(standby.source, Some(a.config.address.clone()));
    let seen =
        a.primary(|primary| primary.replicas.get(&b.name).is_some_and(|w| w.streaming)).await;
    let facts = b.facts(|_| true).await;
    let DataDir::Present { incarnation, needs_source, .. } = facts.data else {
        panic!("{facts:?}")
    };
    assert!(!needs_source);
    assert_eq!(seen.replicas[&b.name].incarnation, incarnation);
    a.sql("INSERT INTO t VALUES (2)").await;
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn && standby.position >= there).await;
    assert_eq!(b.count("t").await, 2);

    // A leaves, in order; B has all of it, and takes a number that is not the next one.
    a.done(Job::Stop(Millis(5000))).await;
    let stopped = a.stopped().await;
    let Server::Stopped(Shutdown::Primary(checkpoint)) = stopped.server else {
        panic!("{stopped:?}")
    };
    b.done(Job::Detach(None)).await;
    let end = b.standby(|standby| standby.detached).await.position;
    assert!(end > checkpoint, "{end} holds the checkpoint at {checkpoint}");
    assert_eq!(b.promote(7, &[&a]).await, JobResult::Done);
    let primary = b.primary(|_| true).await;
    assert_eq!(primary.position.timeline, Timeline(7));
    assert_eq!(primary.lineage.last().map(|fork| fork.timeline), Some(Timeline(2)));
    b.sql("INSERT INTO t VALUES (3)").await;

    // A follows without a rewind.
    a.done(Job::Start(None, Door::Open)).await;
    let detached = a.standby(|standby| standby.detached).await;
    assert_eq!(detached.position, end);
    a.done(Job::Follow(b.source(), None)).await;
    let there = b.primary(|_| true).await.position;
    let standby = a.standby(|standby| standby.streaming && standby.position >= there).await;
    assert_eq!(standby.position.timeline, Timeline(7));
    a.standby(|standby| standby.replayed >= there.lsn).await;
    assert_eq!(a.count("t").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postmaster_is_seen_at_once_and_leaves_nobody() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    let client = a.client().await;
    client.batch_execute("CREATE TABLE t (n int)").await.expect("a table");
    let busy = tokio::spawn(async move { client.batch_execute("SELECT pg_sleep(600)").await });
    a.primary(|_| true).await;
    let at = Instant::now();
    member::kill(a.pid(), Signal::SIGKILL).expect("it runs");
    let facts = a.stopped().await;
    note(&format!("kill -9 to Stopped: {:.1} ms", at.elapsed().as_secs_f64() * 1e3));
    assert_eq!(a.processes(), 0);
    assert_eq!(facts.server, Server::Stopped(Shutdown::Crashed));
    assert!(busy.await.expect("not cancelled").is_err());

    // The lock file is stale now. It recovers as a standby, and is promoted anew.
    assert!(a.config.data_directory.join("postmaster.pid").exists());
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    assert_eq!(a.promote(3, &[]).await, JobResult::Done);
    assert_eq!(a.count("t").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_diverged_is_rewound() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[&b]).await;
    a.sql("CREATE TABLE t (n int)").await;
    b.done(Job::Clone(a.source())).await;
    b.done(Job::Start(Some(a.source()), Door::Open)).await;
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn).await;
    b.done(Job::Detach(None)).await;
    a.sql("INSERT INTO t SELECT generate_series(1, 1000)").await;
    member::kill(a.pid(), Signal::SIGKILL).expect("it runs");
    let before = a.stopped().await;
    assert_eq!(b.promote(3, &[&a]).await, JobResult::Done);
    b.sql("INSERT INTO t VALUES (42)").await;

    let why = a.failed(Job::Rewind(b.source())).await;
    assert!(why.contains("not stopped in order"), "{why}");
    a.done(Job::Start(None, Door::Open)).await;
    let diverged = a.standby(|standby| standby.detached).await.position;
    let fork = b.primary(|_| true).await.lineage.last().copied().expect("a fork");
    assert!(diverged.lsn > fork.lsn && diverged.timeline == fork.timeline);
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Rewind(b.source())).await;
    let after = a.stopped().await;
    let incarnation = |data: &DataDir| match data {
        DataDir::Present { incarnation, .. } => *incarnation,
        other => panic!("{other:?}"),
    };
    assert_ne!(incarnation(&before.data), incarnation(&after.data));
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    let there = b.primary(|_| true).await.position;
    a.standby(|standby| standby.streaming && standby.replayed >= there.lsn).await;
    assert_eq!(a.count("t").await, 1);
    let kept = std::fs::read_dir(&a.state).expect("a directory").flatten();
    let kept = kept.filter(|e| e.file_name().to_string_lossy().starts_with("diverged-"));
    assert_eq!(kept.count(), 1);
}

/// For whoever runs the tests: times are printed, not asserted.
#[expect(clippy::print_stdout, reason = "a test tells its times")]
pub(crate) fn note(text: &str) {
    println!("{text}");
}

pub(crate) fn print_times(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let last = times.len() - 1;
    let (middle, worst) = (times[last / 2], times[last]);
    note(&format!("{what}: p50 {middle:.1} ms, max {worst:.1} ms of {}", last + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detaching_and_promoting_again_and_again() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[&b]).await;
    b.done(Job::Clone(a.source())).await;
    b.done(Job::Start(Some(a.source()), Door::Open)).await;
    let (mut detach, mut promote, mut follow) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..10 {
        b.standby(|standby| standby.streaming).await;
        let at = Instant::now();
        b.done(Job::Detach(None)).await;
        detach.push(at.elapsed().as_secs_f64() * 1e3);
        let there = a.primary(|_| true).await.position.timeline;
        // Every other round skips two numbers.
        let next = there.0 + 1 + 2 * (round % 2);
        a.done(Job::Stop(Millis(5000))).await;
        a.done(Job::Start(None, Door::Open)).await;
        a.standby(|standby| standby.detached).await;
        let at = Instant::now();
        assert_eq!(a.promote(next, &[&b]).await, JobResult::Done);
        promote.push(at.elapsed().as_secs_f64() * 1e3);
        let at = Instant::now();
        b.done(Job::Follow(a.source(), None)).await;
        b.standby(|standby| standby.streaming && standby.position.timeline == Timeline(next)).await;
        follow.push(at.elapsed().as_secs_f64() * 1e3);
    }
    print_times("detach", detach);
    print_times("promote", promote);
    print_times("follow until streaming on the new timeline is seen", follow);
}
