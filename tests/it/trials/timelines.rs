//! Detaching, reserved timeline numbers, followers that join them, and a restart that is a promotion.

use std::path::Path;
use std::time::{Duration, Instant};

use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::list::List;
use haa_core::observe::Door;
use haa_core::units::{Millis, Timeline};
use nix::sys::signal::Signal;

use crate::postgres::member::{self, Member};
use crate::postgres::sync::any;
use crate::postgres::{note, root};

async fn pair(root: &Path, binaries: &Path) -> (Member, Member) {
    let mut a = Member::of("a", root, binaries);
    let mut b = Member::of("b", root, binaries);
    a.become_primary(2, &[&b]).await;
    a.sql("CREATE TABLE t (n int)").await;
    b.join(&mut a).await;
    (a, b)
}

/// Once detached, no receiver can come back, and nothing is acknowledged any more.
pub(super) async fn nothing_comes_after_detaching(binaries: &Path) {
    let root = root();
    let (mut a, mut b) = pair(root.path(), binaries).await;
    a.list(&any(1, &[&b.listed().await])).await;
    a.commit().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let at = Instant::now();
        b.done(Job::Detach(None)).await;
        slowest = slowest.max(at.elapsed());
        let end = b.standby(|standby| standby.detached).await.position;
        assert!(!a.commits().await, "it acknowledged after it had detached");
        // Whatever wakes the startup process finds no source: a reload, and a segment that is done.
        a.sql("SELECT pg_switch_wal()").await;
        b.sql("SELECT pg_reload_conf()").await;
        let quiet = Instant::now() + Duration::from_millis(300);
        while Instant::now() < quiet {
            let seen = b.standby(|_| true).await;
            // Awake for an instant, the startup process is not in the wait that `detached` asks for.
            let receives = seen.streaming || seen.source.is_some();
            assert!(!receives && seen.position == end, "{seen:?}");
        }
        b.done(Job::Follow(a.source(), None)).await;
        b.standby(|standby| standby.streaming && standby.position.lsn > end.lsn).await;
    }
    note(&format!("detach: {:.1} ms at most", slowest.as_secs_f64() * 1e3));
}

/// Replay that waits for a query would keep the receiver, and its acknowledgements, for as long as the query lasts.
pub(super) async fn detaching_does_not_wait_for_a_reader(binaries: &Path) {
    let root = root();
    let (mut a, mut b) = pair(root.path(), binaries).await;
    a.list(&any(1, &[&b.listed().await])).await;
    b.sql("ALTER SYSTEM SET max_standby_streaming_delay = '1h'").await;
    b.sql("SELECT pg_reload_conf()").await;
    let reader = b.client().await;
    reader.batch_execute("BEGIN; SELECT count(*) FROM t").await.expect("a reader");
    // It is flushed, and acknowledged, before it is replayed.
    a.sql("DROP TABLE t").await;
    let there = a.primary(|_| true).await.position;
    let behind = b.standby(|standby| standby.position >= there).await;
    assert!(behind.replayed < there.lsn, "the reader does not hold up replay");
    b.done(Job::Detach(None)).await;
    assert!(reader.batch_execute("SELECT 1").await.is_err(), "the reader was made to leave");
    let end = b.standby(|standby| standby.detached).await.position;
    assert!(end.lsn >= there.lsn && !a.commits().await);
}

pub(super) async fn a_reserved_number_is_taken(binaries: &Path) {
    let root = root();
    let (mut a, mut b) = pair(root.path(), binaries).await;
    a.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Detach(None)).await;
    let at = Instant::now();
    assert_eq!(b.promote(8, &[&a]).await, JobResult::Done);
    note(&format!("promotion over five numbers: {:.1} ms", at.elapsed().as_secs_f64() * 1e3));
    assert_eq!(b.primary(|_| true).await.position.timeline, Timeline(8));
    b.sql("INSERT INTO t VALUES (1)").await;

    // A follower that has never heard of the numbers in between.
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    let at = Instant::now();
    a.done(Job::Follow(b.source(), None)).await;
    a.standby(|standby| standby.streaming && standby.position.timeline == Timeline(8)).await;
    note(&format!("until it follows: {:.1} ms", at.elapsed().as_secs_f64() * 1e3));
    let there = b.primary(|_| true).await.position;
    a.standby(|standby| standby.replayed >= there.lsn).await;
    assert_eq!(a.count("t").await, 1);
}

/// Why the stubs stay: a follower fetches the file of every number in between.
pub(super) async fn without_stubs_nobody_follows(binaries: &Path) {
    let root = root();
    let (mut a, mut b) = pair(root.path(), binaries).await;
    a.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Detach(None)).await;
    assert_eq!(b.promote(5, &[&a]).await, JobResult::Done);
    let stub = b.config.data_directory.join("pg_wal/00000004.history");
    let kept = std::fs::read(&stub).expect("a stub");
    std::fs::remove_file(&stub).expect("a stub");
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    let wait = Instant::now() + Duration::from_secs(2);
    while Instant::now() < wait {
        let seen = a.standby(|_| true).await;
        assert!(!seen.streaming || seen.position.timeline < Timeline(5), "{seen:?}");
    }
    std::fs::write(&stub, kept).expect("writable");
    a.standby(|standby| standby.streaming && standby.position.timeline == Timeline(5)).await;
}

/// A primary never recovers into the timeline that it wrote: it starts as a standby, and is promoted.
pub(super) async fn a_restart_is_a_promotion(binaries: &Path) {
    let root = root();
    let (mut a, mut b) = pair(root.path(), binaries).await;
    let list = any(1, &[&b.listed().await]);
    a.list(&list).await;
    a.sql("INSERT INTO t VALUES (1)").await;
    let before = a.primary(|_| true).await.position;
    member::kill(a.pid(), Signal::SIGKILL).expect("it runs");
    a.stopped().await;
    let at = Instant::now();
    a.done(Job::Start(None, Door::Open)).await;
    let end = a.standby(|standby| standby.detached).await.position;
    assert!(end.timeline == Timeline(2) && end.lsn >= before.lsn, "{end}");
    let started = at.elapsed();
    assert_eq!(a.promote(4, &[&b]).await, JobResult::Done);
    let (started, all) = (started.as_secs_f64() * 1e3, at.elapsed().as_secs_f64() * 1e3);
    note(&format!("restart in place: started after {started:.1} ms, primary after {all:.1} ms"));
    let primary = a.primary(|_| true).await;
    assert_eq!(primary.position.timeline, Timeline(4));
    assert_eq!(primary.lineage.last().map(|fork| fork.timeline), Some(Timeline(2)));
    assert_ne!(primary.shown, Some(list.clone()), "the list of the time before is not kept");
    assert_eq!(primary.shown, Some(List::Nothing));
    // The replica comes over by itself.
    b.standby(|standby| standby.streaming && standby.position.timeline == Timeline(4)).await;
    a.list(&list).await;
    a.sql("INSERT INTO t VALUES (2)").await;
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn).await;
    assert_eq!(b.count("t").await, 2);
}
