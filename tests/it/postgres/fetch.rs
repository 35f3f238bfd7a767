//! WAL that a standby lacks and its primary has thrown away: brought from another member or from an archive, or from
//! nobody. Never an agent.

use std::path::{Path, PathBuf};

use haa_core::effect::{Job, Source};
use haa_core::line::Line;
use haa_core::observe::Door;
use haa_core::units::{Millis, Position};

use super::member::Member;
use super::root;

/// Bytes.
const SEGMENT: u64 = 16 << 20;

/// A primary that keeps no WAL but what it must, and archives what it throws away.
fn primary(root: &Path) -> Member {
    let archive = root.join("archive");
    std::fs::create_dir_all(&archive).expect("a temporary directory");
    let mut a = Member::new("a", root);
    let mut set = |name: &str, value: &str| {
        a.config.parameters.insert(name.to_owned(), value.to_owned());
    };
    set("wal_keep_size", "0");
    set("min_wal_size", "32MB");
    set("archive_mode", "on");
    set("archive_command", &format!("cp %p {}/%f", archive.display()));
    a
}

/// Such a primary with a table, and its standby.
async fn pair(root: &Path) -> (Member, Member) {
    let (mut a, mut b) = (primary(root), Member::new("b", root));
    a.again().await;
    a.become_primary(2, &[&b]).await;
    a.sql("CREATE TABLE t (id int)").await;
    b.join(&mut a).await;
    (a, b)
}

/// The slot of b, which has gone: as soon as its walsender has noticed that.
async fn drop_slot(a: &Member) {
    let client = a.client().await;
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                WHERE slot_name = 'haa_b' AND NOT active";
    let began = std::time::Instant::now();
    while client.query(drop, &[]).await.map_or(true, |dropped| dropped.is_empty()) {
        assert!(began.elapsed().as_secs() < 40, "haa_b stays active");
    }
}

/// Until a file of its WAL is gone.
async fn throws_away(a: &Member, needed: &Path) {
    let began = std::time::Instant::now();
    while needed.exists() {
        assert!(began.elapsed().as_secs() < 40, "{} stays", needed.display());
        a.sql("CHECKPOINT").await;
    }
}

fn restore(root: &Path) -> Option<String> {
    Some(format!("cp {}/%f %p", root.join("archive").display()))
}

/// Where the primary has the WAL of this position, if it has.
fn segment(a: &Member, at: Position) -> PathBuf {
    let name = format!("{:08X}{:016X}", at.timeline.0, at.lsn.0 >> 24);
    a.config.data_directory.join("pg_wal").join(name)
}

/// A standby, stopped amid a segment, whose primary goes on without it and throws away what it needs.
async fn left_behind(a: &mut Member, b: &mut Member) -> Line {
    a.sql("SELECT pg_logical_emit_message(true, 'it', repeat('x', 20000))").await;
    let end = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= end.lsn).await;
    b.done(Job::Stop(Millis(10_000))).await;
    let needed = segment(a, end);
    assert!(needed.exists(), "it streamed from there");
    drop_slot(a).await;
    for id in 1..=4 {
        a.sql(&format!("INSERT INTO t VALUES ({id})")).await;
        a.sql("SELECT pg_switch_wal()").await;
        a.sql("CHECKPOINT").await;
    }
    throws_away(a, &needed).await;
    // What is there now stays.
    a.sql("SELECT pg_create_physical_replication_slot('haa_b', true)").await;
    a.sql("CHECKPOINT").await;
    let line = a.primary(|_| true).await.line();
    b.done(Job::Start(Some(a.source()), Door::Open)).await;
    b.standby(|standby| standby.dry).await;
    assert_eq!(b.count("t").await, 0, "it lacks what came after");
    line
}

/// As often as it takes until the primary has the rest: on a slow machine one fetch brings not all.
async fn fetch(a: &Member, b: &mut Member, from: Vec<Source>, line: Line) {
    let mut end = b.standby(|_| true).await.position;
    while !segment(a, end).exists() {
        b.done(Job::Fetch { from: from.clone(), line: line.clone() }).await;
        let next = b.standby(|standby| standby.detached).await.position;
        assert!(next > end, "something was brought");
        end = next;
    }
}

/// It goes on with its primary, on the data that it had.
async fn catches_up(a: &mut Member, b: &mut Member) {
    assert!(b.count("t").await > 0, "what was fetched is replayed");
    b.done(Job::Follow(a.source(), None)).await;
    b.standby(|standby| standby.streaming).await;
    a.sql("INSERT INTO t VALUES (5)").await;
    let began = std::time::Instant::now();
    while b.count("t").await < 5 {
        assert!(began.elapsed().as_secs() < 40, "it does not replay");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_gets_what_its_primary_lacks_from_another_standby() {
    let root = root();
    let (mut a, mut b) = (primary(root.path()), Member::new("b", root.path()));
    let mut c = Member::new("c", root.path());
    a.again().await;
    a.become_primary(2, &[&b, &c]).await;
    a.sql("CREATE TABLE t (id int)").await;
    b.join(&mut a).await;
    c.join(&mut a).await;
    let (_, before) = b.listed().await;
    let line = left_behind(&mut a, &mut b).await;
    let why = b.failed(Job::Fetch { from: vec![a.source()], line: line.clone() }).await;
    assert!(why.contains("nobody has the WAL segment"), "{why}");
    assert!(why.contains("a: it is not there"), "{why}");
    assert!(why.contains("the archive: there is no postgres.restore_command"), "{why}");
    // An archive that has it without what comes next: that moves nothing, and is not taken while somebody has more.
    let end = b.standby(|standby| standby.detached).await.position.lsn.0 % SEGMENT;
    let archive = root.path().join("archive");
    let cut = format!("head -c {end} {}/%f >%p && truncate -s {SEGMENT} %p", archive.display());
    b.config.restore_command = Some(cut);
    b.again().await;
    let why = b.failed(Job::Fetch { from: vec![a.source()], line: line.clone() }).await;
    assert!(why.contains("is not replayed, and replay stands at"), "{why}");
    let from = vec![a.source(), c.source()];
    fetch(&a, &mut b, from, line).await;
    catches_up(&mut a, &mut b).await;
    assert_eq!(b.listed().await.1, before, "it was not made anew");
}

/// Each try to stream takes longer than Postgres pauses between two of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_dry_also_when_its_primary_is_slow_to_let_it_in() {
    let root = root();
    let (mut a, mut b) = pair(root.path()).await;
    left_behind(&mut a, &mut b).await;
    b.done(Job::Detach(None)).await;
    a.sql("ALTER SYSTEM SET pre_auth_delay = 1").await;
    a.sql("SELECT pg_reload_conf()").await;
    b.done(Job::Follow(a.source(), None)).await;
    b.standby(|standby| standby.source.is_some()).await;
    // The first try is the only one with a pause before it.
    let began = std::time::Instant::now();
    b.standby(|standby| standby.dry && began.elapsed().as_millis() > 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_gets_what_its_primary_lacks_from_the_archive() {
    let root = root();
    let (mut a, mut b) = pair(root.path()).await;
    let line = left_behind(&mut a, &mut b).await;
    for (command, why) in [
        ("exit 3", "restore_command failed"),
        ("kill -9 $$", "restore_command failed"),
        ("true", "restore_command brought nothing"),
        ("echo no >%p", "what it gave is not the segment"),
        ("head -c 16777216 /dev/zero >%p", "what it gave is not the segment"),
    ] {
        b.config.restore_command = Some(format!("{command} # %f %p"));
        b.again().await;
        let said = b.failed(Job::Fetch { from: vec![a.source()], line: line.clone() }).await;
        assert!(said.contains(why), "{command}: {said}");
        let pg_wal = std::fs::read_dir(b.config.data_directory.join("pg_wal")).expect("readable");
        let names = pg_wal.flatten().map(|entry| entry.file_name().into_string());
        let mut left = names.flatten().filter(|name| name.contains("haa"));
        assert_eq!(left.next(), None, "{command}");
    }
    b.config.restore_command = restore(root.path());
    b.again().await;
    let from = vec![a.source()];
    fetch(&a, &mut b, from, line).await;
    catches_up(&mut a, &mut b).await;
}

/// A primary that diverged has thrown away the WAL in which pg_rewind looks for the last common checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_gets_the_wal_that_it_lacks() {
    let root = root();
    let (mut a, mut b) = pair(root.path()).await;
    a.sql("CHECKPOINT").await;
    let at = a.primary(|_| true).await.position;
    let needed = segment(&a, at);
    for _ in 0..2 {
        a.sql("SELECT pg_switch_wal(); INSERT INTO t VALUES (1)").await;
    }
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn).await;
    b.done(Job::Detach(None)).await;
    drop_slot(&a).await;
    a.sql("INSERT INTO t VALUES (2)").await;
    throws_away(&a, &needed).await;
    // What is there now stays: a server that archives begins a segment when it stops.
    a.sql("SELECT pg_create_physical_replication_slot('kept', true)").await;
    a.done(Job::Stop(Millis(10_000))).await;
    assert_eq!(b.promote(3, &[&a]).await, haa_core::input::JobResult::Done);
    let hidden = root.path().join("hidden");
    let at_b = b.config.data_directory.join("pg_wal").join(needed.file_name().expect("a name"));
    std::fs::rename(&at_b, &hidden).expect("b has it");
    let why = a.failed(Job::Rewind(b.source())).await;
    assert!(why.contains("and nobody has it"), "{why}");
    std::fs::rename(&hidden, &at_b).expect("it comes back");
    a.done(Job::Rewind(b.source())).await;
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    let there = b.primary(|_| true).await.position;
    a.standby(|standby| standby.streaming && standby.replayed >= there.lsn).await;
    assert_eq!(a.count("t").await, 2, "what only it had is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_go_on_from_what_is_there_is_not_taken() {
    let root = root();
    let (mut a, mut b) = pair(root.path()).await;
    let line = left_behind(&mut a, &mut b).await;
    // As from a cluster of the same origin that went another way: one byte of a record is another.
    let spoilt = format!(
        "{} && printf X | dd of=%p bs=1 seek=9000 conv=notrunc 2>/dev/null",
        restore(root.path()).expect("there is one")
    );
    b.config.restore_command = Some(spoilt);
    b.again().await;
    let before = b.standby(|standby| standby.dry).await.position;
    let said = b.failed(Job::Fetch { from: vec![a.source()], line }).await;
    assert!(said.contains("does not go on from what is here"), "{said}");
    assert_eq!(b.standby(|standby| standby.detached).await.position, before);
}
