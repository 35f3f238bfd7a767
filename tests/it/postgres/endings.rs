//! How Postgres and its tools end when something of theirs does not: a backend, a job, the agent that started them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haa_core::effect::Job;
use haa_core::observe::{DataDir, Door, Server, Shutdown};
use haa_core::units::Millis;
use nix::sys::signal::Signal;

use super::member::{self, Member};
use super::{note, root};

const LONG: Duration = Duration::from_secs(60);

/// It takes no signal but one: in order, this Postgres would never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_does_not_end_in_order_ends_at_once() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    a.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await;
    let client = a.client().await;
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("it answers");
    member::kill(row.get(0), Signal::SIGSTOP).expect("it runs");
    a.done(Job::Stop(Millis(300))).await;
    assert_eq!(a.processes(), 0, "nobody is left behind");
    assert_eq!(a.stopped().await.server, Server::Stopped(Shutdown::Crashed));
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    assert_eq!(a.count("t").await, 1);
}

/// A named pipe that nobody writes to hangs whoever reads it, as a dead disk does.
#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn closing_waits_for_no_job_that_hangs() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    let file = a.config.data_directory.join("haa.incarnation");
    let number = std::fs::read(&file).expect("it is there");
    let pipe = a.config.data_directory.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
    std::fs::rename(&pipe, &file).expect("it takes the file's place");
    a.begin(Job::Follow(a.source(), None));
    let began = Instant::now();
    while waiting_for_a_writer() < 1 && began.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
    }
    a.hands().close();
    let began = Instant::now();
    while a.processes() > 0 {
        assert!(began.elapsed() < LONG, "Postgres lives on while its job hangs");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    note(&format!("close to no process, with a job that hangs: {:?}", began.elapsed()));
    // Whoever reads is let go, and finds the file again.
    let fresh = a.config.data_directory.join("fresh");
    std::fs::write(&fresh, number).expect("written");
    let pipe = std::fs::OpenOptions::new().read(true).write(true).open(&file).expect("a pipe");
    std::fs::rename(&fresh, &file).expect("it takes the pipe's place");
    drop(pipe);
    a.stopped().await;
    a.done(Job::Start(None, Door::Open)).await;
}

/// Threads of ours that the kernel holds in the opening of a named pipe.
fn waiting_for_a_writer() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let waits = |task: &Path| std::fs::read_to_string(task.join("wchan")).unwrap_or_default();
    tasks.filter(|task| waits(&task.path()).contains("wait_for_partner")).count()
}

/// An agent was killed while it cloned: its pg_basebackup would write into the next agent's copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_of_an_agent_that_is_no_more_is_ended_before_the_next_clone() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    let mut b = Member::new("b", root.path());
    let copy = b.config.data_directory.with_file_name("data.clone");
    let tool = |to: &Path| {
        let from = &a.config;
        Command::new(from.bin_directory.join("pg_basebackup"))
            .arg(format!("--pgdata={}", to.display()))
            .args(["--max-rate=1M", "--checkpoint=fast", "--wal-method=stream", "--no-password"])
            .args(["--host=127.0.0.1", &format!("--port={}", from.listen.port)])
            .arg(format!("--username={}", from.replication.user))
            .env("PGPASSWORD", &from.replication.password)
            .spawn()
            .expect("it runs")
    };
    let mut orphan = tool(&copy);
    let mut other = tool(&root.path().join("b/somebody-elses"));
    a.primary(|_| copy.join("base").exists()).await;
    b.done(Job::Clone(a.source())).await;
    let left = orphan.try_wait();
    assert!(left.is_err(), "it was ended, and as a child of this process reaped: {left:?}");
    assert!(other.try_wait().expect("it is our child").is_none(), "it works on something else");
    other.kill().expect("it runs");
    other.wait().expect("it is our child");
    b.done(Job::Start(Some(a.source()), Door::Open)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_a_killed_agent_left_is_removed_at_the_start() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let left = a.state.join("initdb.password");
    a.leave().await;
    std::fs::write(&left, "secret\n").expect("written");
    let (name, config, state) = (a.name.as_str().to_owned(), a.config.clone(), a.state.clone());
    let mut again = Member::with(&name, config, state);
    assert!(!left.exists());
    again.done(Job::InitDb).await;
    assert!(!left.exists());
}

/// Power was lost, and the last checkpoint's record with it: Postgres waits for somebody who has it, and nobody is
/// asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_waits_for_wal_that_is_gone_is_given_up() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    a.sql("CREATE TABLE t (n int)").await;
    a.done(Job::Stop(Millis(10_000))).await;
    let pg_wal = a.config.data_directory.join("pg_wal");
    let files = std::fs::read_dir(&pg_wal).expect("it is there");
    let names = files.map(|file| file.expect("it is listed").file_name());
    for name in names.filter(|name| name.len() == 24) {
        let file = std::fs::OpenOptions::new().write(true).open(pg_wal.join(name));
        let file = file.expect("it is ours");
        let size = file.metadata().expect("it is there").len();
        // The first page stays: it looks like WAL that was received.
        file.set_len(8192).expect("it can be cut");
        file.set_len(size).expect("it can grow");
    }
    let began = Instant::now();
    let why = a.failed(Job::Start(None, Door::Shut)).await;
    note(&format!("a recovery without an end, to its end: {:?}", began.elapsed()));
    assert!(why.contains("recovery waits for WAL that is not in pg_wal"), "{why}");
    assert_eq!(a.processes(), 0, "nobody is left behind");
    let facts = a.stopped().await;
    assert!(matches!(facts.data, DataDir::Present { needs_source: true, .. }), "{facts:?}");
}
