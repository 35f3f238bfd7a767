//! The flush probe: silent while nothing is to be flushed, and not in the way of a look when the disk hangs.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::member::{self, Member};
use super::{note, root};

/// WAL that nothing asks to flush.
const INSERT: &str = "SELECT pg_logical_emit_message(false, 'it', 'x')";

pub(crate) async fn nothing_is_written_for_nothing(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    a.become_primary(2, &[]).await;
    a.sql("CHECKPOINT").await;
    // Postgres itself notes its running transactions once after that.
    let quiet = Instant::now() + Duration::from_secs(18);
    let mut still = (a.primary(|_| true).await.inserted, Instant::now());
    while still.1.elapsed() < Duration::from_secs(3) {
        assert!(Instant::now() < quiet, "something writes WAL on an idle server");
        let inserted = a.primary(|_| true).await.inserted;
        if inserted != still.0 {
            still = (inserted, Instant::now());
        }
    }
    let before = a.primary(|_| true).await;

    a.sql(INSERT).await;
    let at = Instant::now();
    // By Postgres itself, or by the probe.
    let after = a.primary(|seen| seen.position.lsn > before.inserted).await;
    note(&format!(
        "WAL that nobody asked to flush was, after {:?}: {:?}",
        at.elapsed(),
        after.flush
    ));
}

pub(crate) async fn a_hung_flush_is_told_while_looks_go_on(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    a.become_primary(2, &[]).await;
    let pid = caught_amid_a_flush(&mut a).await;
    let told = Instant::now();
    let seen = a.primary(|p| p.flush.waiting_ms.is_some_and(|waits| waits > 500)).await;
    note(&format!("a hung flush was told after {:?}: {:?}", told.elapsed(), seen.flush));
    // None of them waits for the disk: it would be for ever.
    for _ in 0..10 {
        a.primary(|_| true).await;
    }
    member::kill(pid, Signal::SIGCONT).expect("it runs");
    let well = a.primary(|p| p.flush.waiting_ms.is_none() && p.flush.took_ms.is_some()).await;
    assert!(well.flush.took_ms > Some(500), "{:?}", well.flush);
}

/// A disk that hangs may keep new sessions from coming about, the probe's among them.
pub(crate) async fn a_hung_flush_is_told_where_nobody_gets_in(binaries: &Path) {
    let root = root();
    let mut a = Member::of("a", root.path(), binaries);
    a.become_primary(2, &[]).await;
    let lock = std::fs::read_to_string(a.config.data_directory.join("postmaster.pid"));
    let postmaster: i32 =
        lock.expect("it runs").lines().next().expect("a line").parse().expect("a number");
    let pid = caught_amid_a_flush(&mut a).await;
    member::kill(postmaster, Signal::SIGSTOP).expect("it runs");
    a.primary(|p| p.flush.waiting_ms.is_some_and(|waits| waits > 2_500)).await;
    member::kill(postmaster, Signal::SIGCONT).expect("it runs");
    member::kill(pid, Signal::SIGCONT).expect("it runs");
    a.primary(|p| p.flush.waiting_ms.is_none()).await;
}

/// A backend that is stopped amid its flush holds what every other flush waits for: as good as a hung disk.
async fn caught_amid_a_flush(a: &mut Member) -> i32 {
    let busy = a.client().await;
    let pid: i32 = busy.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row").get(0);
    tokio::spawn(async move {
        while busy
            .batch_execute("SELECT pg_logical_emit_message(true, 'it', repeat('x', 100000))")
            .await
            .is_ok()
        {}
    });
    let hung = Instant::now();
    loop {
        member::kill(pid, Signal::SIGSTOP).expect("it runs");
        if !a.commits_without("wait_event_type = 'LWLock'").await {
            return pid;
        }
        assert!(hung.elapsed() < Duration::from_secs(30), "it was never caught amid a flush");
        member::kill(pid, Signal::SIGCONT).expect("it runs");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
