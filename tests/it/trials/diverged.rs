//! A standby that is ahead of a new primary acknowledges what it does not have, if it connects before it compares.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use haa::agent::clock;
use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::line::Beside;
use haa_core::observe::Door;
use haa_core::units::{MemberName, Millis, Timeline};
use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use crate::postgres::member::{self, Member, leadership};
use crate::postgres::sync::{any, three};
use crate::postgres::{note, root};

/// `a` is gone; `c` was elected with less than `b` has, and waits for `b` alone. A client commits there, at a position
/// that `b` has passed on the timeline before.
struct Trap {
    b: Member,
    c: Member,
    commit: JoinHandle<bool>,
    /// Never asked again; its processes end with it.
    _a: Member,
}

async fn set_the_trap(root: &Path, binaries: &Path) -> Trap {
    let (mut a, mut b, mut c) = three(root, binaries).await;
    a.sql("CREATE TABLE t (n int)").await;
    let there = a.primary(|_| true).await.position;
    c.standby(|standby| standby.replayed >= there.lsn).await;
    c.done(Job::Detach(None)).await;
    a.sql("INSERT INTO t SELECT generate_series(1, 2000)").await;
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn).await;
    member::kill(a.pid(), Signal::SIGKILL).expect("it runs");
    a.stopped().await;
    b.done(Job::Detach(None)).await;
    let ahead = b.standby(|standby| standby.detached).await.position;

    let list = any(1, &[&b.listed().await]);
    let slots: BTreeSet<MemberName> = [b.name.clone()].into();
    let (proof, timeline) = (leadership(clock::now()), Timeline(3));
    let job = Job::Promote { proof, timeline, slots, list: Some(list.clone()), door: Door::Open };
    assert_eq!(c.job(job).await, JobResult::Done);
    let primary = c.list(&list).await;
    let client = c.client().await;
    let commit =
        tokio::spawn(
            async move { client.batch_execute("INSERT INTO t VALUES (-1)").await.is_ok() },
        );
    // It waits, and its record ends where `b` has other records.
    let waiting = c.primary(|seen| seen.position.lsn > primary.position.lsn).await;
    assert!(waiting.position.lsn < ahead.lsn, "{} is past {ahead}", waiting.position);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!commit.is_finished(), "nobody can have acknowledged it");
    Trap { b, c, commit, _a: a }
}

/// The trap: the acknowledgement is false.
pub(super) async fn connecting_first(binaries: &Path) {
    let root = root();
    let Trap { mut b, mut c, commit, _a } = set_the_trap(root.path(), binaries).await;
    b.done(Job::Follow(c.source(), None)).await;
    let acknowledged = tokio::time::timeout(Duration::from_secs(20), commit).await;
    let acknowledged = acknowledged.is_ok_and(|done| done.expect("not cancelled"));
    let seen = b.standby(|_| true).await;
    note(&format!(
        "diverged standby connected first: acknowledged {acknowledged}, it is at {}",
        seen.position
    ));
    assert!(acknowledged, "Postgres has learnt better: comparing first would not be needed");
    assert_eq!(b.count("t WHERE n = -1").await, 0);
    c.primary(|_| true).await;
}

/// Our order: what both have is compared before a source is written, and what diverged is taken back first.
pub(super) async fn comparing_first(binaries: &Path) {
    let root = root();
    let Trap { mut b, mut c, commit, _a } = set_the_trap(root.path(), binaries).await;
    let ours = b.standby(|standby| standby.detached).await;
    let theirs = c.primary(|_| true).await.line();
    assert_eq!(theirs.beside(&ours.line(), ours.position.lsn), Beside::Past);

    b.done(Job::Stop(Millis(5000))).await;
    b.done(Job::Rewind(c.source())).await;
    assert!(!commit.is_finished(), "a rewind acknowledges nothing");
    b.done(Job::Start(Some(c.source()), Door::Open)).await;
    let there = c.primary(|_| true).await.position;
    b.standby(|standby| standby.streaming && standby.replayed >= there.lsn).await;
    // Its data is another one now: what the list names is gone.
    assert!(!commit.is_finished(), "data that was rewound is no voter");
    let list = any(1, &[&b.listed().await]);
    c.list(&list).await;
    assert!(commit.await.expect("not cancelled"));
    assert_eq!(b.count("t WHERE n = -1").await, 1);
}
