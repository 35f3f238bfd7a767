//! What goes wrong, is broken off or is taken over: each with a sentence, and nothing lost.

use std::process::Command;

use haa::agent::clock;
use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::observe::{DataDir, Door, Server, Shutdown};
use haa_core::units::{Millis, Timeline};

use super::member::{self, Member, leadership};
use super::{note, root};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_breaks_off_a_clone_and_keeps_the_old_data() {
    let root = root();
    let mut a = Member::new("a", root.path());
    let mut b = Member::new("b", root.path());
    a.become_primary(2, &[]).await;
    // Enough that the clone is under way when it is broken off.
    a.sql("CREATE TABLE t AS SELECT n, repeat('x', 1000) FROM generate_series(1, 100000) n").await;
    b.done(Job::InitDb).await;
    let before = b.stopped().await;
    let id = b.begin(Job::Clone(a.source()));
    let copy = b.config.data_directory.with_file_name("data.clone");
    a.primary(|_| copy.join("base").exists()).await;
    b.hands().close();
    assert_eq!(b.end_of(id).await, JobResult::Aborted);
    let after = b.stopped().await;
    assert_eq!(after.data, before.data);
    assert!(!copy.exists(), "the half copy is gone");
    // Its tools are gone as well: the primary serves nobody.
    let senders = "SELECT 1/(CASE WHEN count(*) = 0 THEN 1 ELSE 0 END) FROM pg_stat_replication";
    while a.client().await.batch_execute(senders).await.is_err() {
        a.primary(|_| true).await;
    }
    b.done(Job::Clone(a.source())).await;
    let cloned = b.stopped().await;
    assert_ne!(cloned.data, before.data);
    let aside = std::fs::read_dir(root.path().join("b")).expect("a directory").flatten();
    let aside = aside.filter(|e| e.file_name().to_string_lossy().starts_with("data.old-"));
    assert_eq!(aside.count(), 1, "the old data was moved aside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_takes_over_the_running_postgres() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    let client = a.client().await;
    let pid = a.pid();
    a.leave().await;
    let name = a.name.as_str().to_owned();
    let mut second = Member::with(&name, a.config.clone(), a.state.clone());
    second.primary(|_| true).await;
    assert_eq!(second.pid(), pid);
    client.batch_execute("SELECT 1").await.expect("the connection was kept");
    member::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    second.stopped().await;
    assert_eq!(second.processes(), 0);
    let why = second.failed(Job::Detach(None)).await;
    assert!(why.contains("does not run"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_ends_a_primary_with_its_clients() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(2, &[]).await;
    let client = a.client().await;
    let busy = tokio::spawn(async move { client.batch_execute("SELECT pg_sleep(600)").await });
    let at = std::time::Instant::now();
    a.hands().close();
    let facts = a.stopped().await;
    note(&format!("close to Stopped: {:.1} ms", at.elapsed().as_secs_f64() * 1e3));
    assert_eq!(facts.server, Server::Stopped(Shutdown::Crashed));
    assert_eq!(a.processes(), 0);
    assert!(busy.await.expect("not cancelled").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_needs_a_leadership_and_its_timeline() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    let proof = leadership(clock::now().before(Millis(3_600_000)));
    let (timeline, slots, list, door) = (Timeline(2), [].into(), None, Door::Open);
    let late = Job::Promote { proof, timeline, slots, list, door };
    let why = a.failed(late).await;
    assert!(why.contains("ended"), "{why}");
    a.standby(|_| true).await;
    assert_eq!(a.promote(5, &[]).await, JobResult::Done);
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Start(None, Door::Open)).await;
    let JobResult::Failed(why) = a.promote(5, &[]).await else { panic!("5 is taken") };
    assert!(why.contains("timeline 5 exists already"), "{why}");
    // A promotion that was prepared and did not happen leaves stubs; the next start takes them away.
    let pg_wal = a.config.data_directory.join("pg_wal");
    std::fs::write(pg_wal.join("00000006.history"), "# reserved by haa\n").expect("writable");
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Start(None, Door::Open)).await;
    assert!(!pg_wal.join("00000006.history").exists());
    assert!(pg_wal.join("00000004.history").exists(), "followers fetch it");
    assert_eq!(a.promote(6, &[]).await, JobResult::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_role_is_named() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    a.leave().await;
    let mut config = a.config.clone();
    config.superuser.user = "another".to_owned();
    let mut b = Member::with("a", config, a.state.clone());
    let why = b.failed(Job::Start(None, Door::Open)).await;
    assert!(why.contains("refuses the login of 'another'; the role must exist"), "{why}");
    b.facts(|facts| matches!(facts.server, Server::Refusing(_))).await;
    b.hands().close();
    b.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupied_port_and_a_dead_source_are_named() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    let port = a.config.listen.port;
    let squatter = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    let why = a.failed(Job::Start(None, Door::Open)).await;
    assert!(why.contains("could not bind") && why.contains("postgres.log"), "{why}");
    drop(squatter);
    let before = a.stopped().await;
    let why = a.failed(Job::Clone(a.source())).await;
    assert!(why.contains("pg_basebackup failed") && why.contains(&port.to_string()), "{why}");
    assert!(!why.contains("repl'icated"), "{why}");
    assert_eq!(a.stopped().await.data, before.data, "the old data is where it was");
    a.done(Job::Start(None, Door::Open)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_postgres_is_left_alone() {
    let root = root();
    let mut a = Member::new("a", root.path());
    std::fs::create_dir(&a.config.data_directory).expect("a directory");
    let precious = a.config.data_directory.join("thesis.tex");
    std::fs::write(&precious, "much").expect("writable");
    let facts = a.facts(|facts| facts.data != DataDir::Empty).await;
    assert!(
        matches!(&facts.data, DataDir::Foreign(why) if why.contains("PG_VERSION")),
        "{facts:?}"
    );
    for job in [Job::InitDb, Job::Clone(a.source())] {
        let why = a.failed(job).await;
        assert!(why.contains("not empty"), "{why}");
    }
    assert!(precious.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_file_is_read_as_pg_controldata_reads_it() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(3, &[]).await;
    a.done(Job::Stop(Millis(5000))).await;
    let facts = a.stopped().await;
    let tool = a.config.bin_directory.join("pg_controldata");
    let output = Command::new(tool).env("LC_ALL", "C").arg(&a.config.data_directory).output();
    let text = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let value = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label)).expect("a label");
        line.trim().to_owned()
    };
    let DataDir::Present { system_id, needs_source, .. } = facts.data else { panic!("{facts:?}") };
    assert_eq!(system_id.to_string(), value("Database system identifier:"));
    assert!(!needs_source);
    let Server::Stopped(Shutdown::Primary(at)) = facts.server else { panic!("{:?}", facts.server) };
    assert_eq!(at.lsn.to_string(), value("Latest checkpoint location:"));
    assert_eq!(at.timeline.to_string(), value("Latest checkpoint's TimeLineID:"));
    assert_eq!(value("Database cluster state:"), "shut down");
    a.done(Job::Start(None, Door::Open)).await;
    a.done(Job::Stop(Millis(5000))).await;
    assert_eq!(a.stopped().await.server, Server::Stopped(Shutdown::Standby));
}
