//! A Postgres that lets nobody in, because a transaction with too many savepoints was open at its last checkpoint.

use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::observe::{Door, Server};
use haa_core::units::{Lsn, Millis, Timeline};
use nix::sys::signal::Signal;
use tokio_postgres::Client;

use super::member::{Member, leadership};
use super::{pair, root};
use crate::trials::usual;

/// Each block is a subtransaction, and Postgres keeps 64 of a transaction in mind.
pub(crate) const MANY: &str = "BEGIN; INSERT INTO many VALUES (0); DO $$ BEGIN FOR i IN 1..100 LOOP \
     BEGIN INSERT INTO many VALUES (i); EXCEPTION WHEN others THEN RAISE; END; END LOOP; END $$";

/// Open until the client is dropped, or commits.
async fn with_many_savepoints(member: &Member) -> Client {
    member.sql("CREATE TABLE many (i int)").await;
    let client = member.client().await;
    client.batch_execute(MANY).await.expect("legal statements");
    member.sql("CHECKPOINT").await;
    client
}

/// The recovery of a replica begins where it made a checkpoint of its own.
async fn with_many_savepoints_on_both(a: &mut Member, b: &mut Member) -> (Client, Lsn) {
    let batch = with_many_savepoints(a).await;
    let end = a.primary(|_| true).await.position.lsn;
    b.standby(|standby| standby.replayed >= end).await;
    b.sql("CHECKPOINT").await;
    (batch, end)
}

/// Where the WAL ends of one that was started by itself.
async fn mute(member: &mut Member) -> Lsn {
    let seen = member.standby(|standby| standby.mute).await;
    assert!(seen.detached && seen.door == Some(Door::Shut), "{seen:?}");
    seen.position.lsn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_amid_many_savepoints_leaves_one_that_can_lead() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.become_primary(3, &[]).await;
    let batch = with_many_savepoints(&a).await;
    a.sql("CREATE TABLE kept AS SELECT generate_series(1, 7)").await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(a.pid()), Signal::SIGKILL).expect("it runs");
    a.stopped().await;
    drop(batch);

    a.done(Job::Start(None, Door::Shut)).await;
    let end = mute(&mut a).await;
    // The next agent finds it starting, and waits for it.
    a.again().await;
    a.facts(|facts| facts.server == Server::Starting).await;
    a.done(Job::Start(None, Door::Shut)).await;
    assert_eq!(mute(&mut a).await, end);
    // Nothing is left out when it is started once more.
    a.done(Job::Stop(Millis(5_000))).await;
    a.done(Job::Start(None, Door::Shut)).await;
    assert_eq!(mute(&mut a).await, end);

    assert_eq!(a.promote(7, &[]).await, JobResult::Done);
    let primary = a.primary(|primary| primary.position.timeline == Timeline(7)).await;
    // Where Postgres itself says that its WAL ended.
    assert_eq!(primary.lineage.last().map(|fork| fork.lsn), Some(end));
    assert_eq!(
        primary.door,
        Some(Door::Shut),
        "nobody writes before it is known who has to have it"
    );
    a.hands().open_door(leadership(haa::agent::clock::now()));
    a.primary(|primary| primary.door == Some(Door::Open)).await;
    assert_eq!((a.count("kept").await, a.count("many").await), (7, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_restarted_amid_many_savepoints_goes_on() {
    let (_root, mut a, mut b) = pair(&usual()).await;
    let (batch, end) = with_many_savepoints_on_both(&mut a, &mut b).await;
    b.done(Job::Stop(Millis(5_000))).await;
    b.done(Job::Start(None, Door::Shut)).await;
    assert!(mute(&mut b).await >= end);

    b.done(Job::Stop(Millis(5_000))).await;
    let start = b.begin(Job::Start(Some(a.source()), Door::Open));
    let name = b.name.clone();
    a.primary(|primary| primary.replicas.get(&name).is_some_and(|sender| sender.streaming)).await;
    assert_eq!(b.facts(|_| true).await.server, Server::Starting);
    batch.batch_execute("COMMIT").await.expect("it commits");
    assert_eq!(b.end_of(start).await, JobResult::Done);
    assert_eq!(b.count("many").await, 101);
}

/// The WAL ends with a segment, and nothing is there of the next: no record says so, and the files do not either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_that_ends_with_a_file_is_known_to_end_there() {
    let (_root, mut a, mut b) = pair(&usual()).await;
    let (batch, _) = with_many_savepoints_on_both(&mut a, &mut b).await;
    a.sql("CREATE TABLE more (i int)").await;
    let switched = a.client().await.query_one("SELECT pg_switch_wal()::text", &[]).await;
    let end: Lsn = switched.expect("it answers").get::<_, &str>(0).parse().expect("a place");
    b.standby(|standby| standby.replayed >= end).await;
    let (pid, data) = (a.pid(), a.config.data_directory.clone());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
    a.stopped().await;
    drop(batch);
    b.standby(|standby| standby.source.is_some() && !standby.streaming).await;
    let other = b.config.data_directory.clone();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(b.pid()), Signal::SIGKILL).expect("it runs");
    b.stopped().await;
    let boundary = end.0.next_multiple_of(16 << 20);
    for data in [data, other] {
        // Of files that were made ready, or hold a little of what came after.
        for entry in std::fs::read_dir(data.join("pg_wal")).expect("a directory").flatten() {
            let name = entry.file_name().into_string().expect("a legal name");
            let number = name.get(16..).and_then(|text| u64::from_str_radix(text, 16).ok());
            if name.len() == 24 && number.is_some_and(|number| number * (16 << 20) >= boundary) {
                std::fs::remove_file(entry.path()).expect("it is ours");
            }
        }
    }
    // Of a primary that crashed, Postgres notes it when it has recovered; of a standby, when it is stopped in order.
    a.done(Job::Start(None, Door::Shut)).await;
    assert_eq!(mute(&mut a).await, Lsn(boundary));
    let why = b.failed(Job::Start(None, Door::Shut)).await;
    assert!(why.contains("to tell where its WAL ends"), "{why}");
    b.done(Job::Start(None, Door::Shut)).await;
    assert_eq!(mute(&mut b).await, Lsn(boundary));
    assert_eq!(b.promote(7, &[]).await, JobResult::Done);
    let primary = b.primary(|primary| primary.position.timeline == Timeline(7)).await;
    assert_eq!(primary.lineage.last().map(|fork| fork.lsn), Some(Lsn(boundary)));
}
