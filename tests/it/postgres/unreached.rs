//! The history of a timeline of which nothing was received: what Postgres makes of it, and what a start does. Never an
//! agent.

use haa_core::effect::Job;
use haa_core::observe::Door;
use haa_core::units::{Millis, Position};
use nix::sys::signal::Signal;

use super::member::{Member, kill};
use super::{pair, waited};
use crate::trials::usual;

/// What is in the first segment of a timeline that came to nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// It was made ready.
    Empty,
    /// What was before the fork was received: a segment is sent from its beginning.
    Begun,
}

/// Puts a history there, as a WAL receiver does before it receives anything else, and the first segment.
fn send_history(to: &Member, timeline: u32, end: Position, first: First) {
    let pg_wal = to.config.data_directory.join("pg_wal");
    let history = |number: u32, text: &str| {
        std::fs::write(pg_wal.join(format!("{number:08X}.history")), text).expect("writable");
    };
    // Postgres looks for the next number only.
    for stub in end.timeline.0 + 1..timeline {
        history(stub, "# reserved by haa\n");
    }
    let name = |timeline: u32| format!("{timeline:08X}{:016X}", end.lsn.0 >> 24);
    let mut wal = std::fs::read(pg_wal.join(name(end.timeline.0))).expect("it ends there");
    let kept = if first == First::Begun { end.lsn.0 % (16 << 20) } else { 0 };
    wal[usize::try_from(kept).expect("within a segment")..].fill(0);
    std::fs::write(pg_wal.join(name(timeline)), wal).expect("writable");
    history(timeline, &format!("{}\t{}\tno recovery target\n", end.timeline.0, end.lsn));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_gets_off_a_timeline_that_came_to_nothing_by_a_restart() {
    let (_root, mut a, mut b) = pair(&usual()).await;
    a.sql("CREATE TABLE t (id int)").await;
    for (timeline, first) in [(5, First::Empty), (7, First::Begun)] {
        let end = a.primary(|_| true).await.position;
        b.standby(|standby| standby.replayed >= end.lsn).await;
        b.done(Job::Detach(None)).await;
        let end = b.standby(|standby| standby.detached).await.position;
        send_history(&b, timeline, end, first);
        let ahead = b.standby(|standby| !standby.ahead.is_empty()).await.ahead;
        assert_eq!(ahead.iter().map(|line| line.timeline.0).collect::<Vec<_>>(), [timeline]);
        let log = b.state.join("postgres.log");
        let says = |what: &str| std::fs::read_to_string(&log).expect("a log").contains(what);
        waited(|| says(&format!("new target timeline is {timeline}"))).await;
        b.done(Job::Follow(a.source(), None)).await;
        let refused =
            format!("highest timeline 2 of the primary is behind recovery timeline {timeline}");
        waited(|| says(&refused)).await;
        b.done(Job::Stop(Millis(10_000))).await;
        b.done(Job::Start(Some(a.source()), Door::Open)).await;
        a.sql("INSERT INTO t VALUES (1)").await;
        let end = a.primary(|_| true).await.position;
        let there = b.standby(|standby| standby.streaming && standby.replayed >= end.lsn).await;
        assert_eq!((there.ahead, there.position.timeline), (Vec::new(), end.timeline));
    }
    assert_eq!(b.count("t").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeline_of_which_something_was_received_stays() {
    let (_root, a, mut b) = pair(&usual()).await;
    b.done(Job::Detach(None)).await;
    assert_eq!(b.promote(5, &[&a]).await, haa_core::input::JobResult::Done);
    // Before its checkpoint: only its records say that it was there.
    kill(b.pid(), Signal::SIGKILL).expect("it runs");
    b.stopped().await;
    b.done(Job::Start(None, Door::Open)).await;
    let there = b.standby(|standby| standby.position.timeline.0 == 5).await;
    assert_eq!(there.ahead, []);
}
