//! What a rewind or a clone takes back: counted, kept, explained, and told until somebody says that it is known.

use std::path::{Path, PathBuf};
use std::process::Command;

use haa_core::discard::{Commits, Discarded};
use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::observe::{DataDir, Door, Server};
use haa_core::units::Millis;
use nix::sys::signal::Signal;

use super::member::{self, Member};
use super::root;
use crate::trials::usual;

/// Commits that only `a` will ever have.
const ONLY_HERE: u64 = 5;

/// `b` leads where `a`, which is stopped in order, has written more: five commits, one of them prepared before, and
/// what is no commit of anybody.
async fn diverged(root: &Path, binaries: &Path) -> (Member, Member) {
    let mut a = Member::of("a", root, binaries);
    // Whoever counts commits wants no more of them.
    for (name, value) in [("max_prepared_transactions", "2"), ("autovacuum", "off")] {
        a.config.parameters.insert(name.to_owned(), value.to_owned());
    }
    a.again().await;
    let mut b = Member::new("b", root);
    a.become_primary(2, &[&b]).await;
    a.sql("CREATE TABLE t (n int)").await;
    b.join(&mut a).await;
    let there = a.primary(|_| true).await.position;
    b.standby(|standby| standby.replayed >= there.lsn).await;
    b.done(Job::Detach(None)).await;
    let client = a.client().await;
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT generate_series(2, 1000)",
        "BEGIN; INSERT INTO t VALUES (0); SAVEPOINT s; DELETE FROM t WHERE n = 7; RELEASE s; COMMIT",
        "BEGIN; INSERT INTO t VALUES (0); ROLLBACK",
        "BEGIN; INSERT INTO t VALUES (0); PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "SELECT count(*) FROM t",
        "SELECT pg_logical_emit_message(true, 'haa-probe', '')",
        "SELECT pg_logical_emit_message(true, 'theirs', '')",
    ] {
        client.batch_execute(sql).await.expect("a legal statement");
    }
    member::kill(a.pid(), Signal::SIGKILL).expect("it runs");
    a.stopped().await;
    assert_eq!(b.promote(3, &[&a]).await, JobResult::Done);
    b.sql("INSERT INTO t VALUES (42)").await;
    a.done(Job::Start(None, Door::Open)).await;
    a.standby(|standby| standby.detached).await;
    a.done(Job::Stop(Millis(5000))).await;
    (a, b)
}

/// Of a member, exactly one thing, and it is as it should be.
fn one(a: &mut Member) -> Discarded {
    assert_eq!(a.discarded.len(), 1, "{:?}", a.discarded);
    a.discarded.remove(0)
}

fn counts(lost: &Discarded) {
    let Commits::Counted { transactions, first_unix_ms, last_unix_ms } = lost.commits else {
        panic!("{lost}")
    };
    assert_eq!(transactions, ONLY_HERE, "{lost}");
    assert!(first_unix_ms.is_some() && first_unix_ms <= last_unix_ms, "{lost:?}");
    assert!(lost.end.is_some_and(|end| end.lsn > lost.fork.lsn), "{lost:?}");
}

/// What a person sees who follows the explanation.
fn commits_in(explained: &Path) -> usize {
    let text = std::fs::read_to_string(explained).expect("it is explained");
    let command = text.lines().find(|line| line.contains("pg_waldump")).expect("a command");
    let shown = Command::new("sh").args(["-c", command]).output().expect("it runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    shown.lines().filter(|line| line.contains("desc: COMMIT")).count()
}

fn notes(a: &Member) -> Vec<PathBuf> {
    let files = std::fs::read_dir(&a.state).expect("a directory").flatten().map(|e| e.path());
    let name = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("discarded-"))
    };
    files.filter(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rewind_discards_is_counted_and_told_until_it_is_known() {
    let root = root();
    let (mut a, mut b) = diverged(root.path(), &usual()).await;
    a.done(Job::Rewind(b.source())).await;
    let lost = one(&mut a);
    counts(&lost);
    let fork = b.primary(|_| true).await.lineage.last().copied();
    assert_eq!(Some(lost.fork), fork);
    let kept = PathBuf::from(lost.kept.as_ref().expect("there is room"));
    // haad's own commits are not told apart there.
    assert!(commits_in(&kept.join("what-this-is.txt")) > ONLY_HERE as usize);

    // The next agent tells it again, until it hears that it is known.
    let [note] = &notes(&a)[..] else { panic!("{:?}", notes(&a)) };
    let text = std::fs::read_to_string(note).expect("a note");
    a.again().await;
    assert_eq!(a.discards().await, lost);
    a.hands().forget_note(lost.fork);
    while note.exists() {
        tokio::task::yield_now().await;
    }

    // A note of data that are still here is of work that was not begun.
    let mut unbegun: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let (_, incarnation) = a.listed().await;
    unbegun["incarnation"] = serde_json::to_value(incarnation).expect("a number");
    std::fs::write(a.state.join("discarded-1-1.json"), unbegun.to_string()).expect("written");
    std::fs::write(note, &text).expect("written");
    a.again().await;
    assert_eq!(a.discards().await, lost);
    a.facts(|_| true).await;
    assert_eq!(a.discarded, []);
    // Under other data it would be taken for done.
    assert_eq!(notes(&a), std::slice::from_ref(note));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clone_discards_is_counted_in_the_data_that_it_moves_aside() {
    let root = root();
    let (mut a, mut b) = diverged(root.path(), &usual()).await;
    a.done(Job::Clone(b.source())).await;
    let lost = one(&mut a);
    counts(&lost);
    let fork = b.primary(|_| true).await.lineage.last().copied();
    assert_eq!(Some(lost.fork), fork);
    let kept = PathBuf::from(lost.kept.as_ref().expect("it was moved"));
    assert!(kept.starts_with(root.path()) && kept.join("PG_VERSION").exists(), "{lost}");
    assert!(commits_in(&kept.join("what-this-is.txt")) > ONLY_HERE as usize);

    // Cloned once more it loses nothing: not as a copy that never started, and not as one that followed.
    a.done(Job::Clone(b.source())).await;
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    let there = b.primary(|_| true).await.position;
    a.standby(|standby| standby.streaming && standby.replayed >= there.lsn).await;
    a.done(Job::Stop(Millis(5000))).await;
    a.done(Job::Clone(b.source())).await;
    assert_eq!(a.discarded, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clone_discards_is_told_though_its_wal_is_gone() {
    let root = root();
    let (mut a, mut b) = diverged(root.path(), &usual()).await;
    let pg_wal = std::fs::read_dir(a.config.data_directory.join("pg_wal")).expect("readable");
    let name = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 24);
    for segment in pg_wal.flatten().map(|entry| entry.path()).filter(name) {
        std::fs::remove_file(segment).expect("writable");
    }
    a.done(Job::Clone(b.source())).await;
    let lost = one(&mut a);
    assert!(matches!(lost.commits, Commits::NotCounted(_)), "{lost}");
    let fork = b.primary(|_| true).await.lineage.last().copied();
    assert_eq!(Some(lost.fork), fork);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_pg_waldump_a_rewind_goes_on_and_says_that_nothing_was_counted() {
    let root = root();
    let binaries = root.path().join("bin");
    std::fs::create_dir(&binaries).expect("made");
    for program in std::fs::read_dir(usual()).expect("there").flatten() {
        if program.file_name() != "pg_waldump" {
            let link = binaries.join(program.file_name());
            std::os::unix::fs::symlink(program.path(), link).expect("a link");
        }
    }
    let (mut a, b) = diverged(root.path(), &binaries).await;
    a.done(Job::Rewind(b.source())).await;
    let lost = one(&mut a);
    let Commits::NotCounted(why) = &lost.commits else { panic!("{lost}") };
    assert!(why.contains("cannot run") && why.contains("pg_waldump"), "{why}");
    assert!(lost.to_string().contains("were not counted: cannot run"), "{lost}");
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    a.standby(|standby| standby.streaming).await;
}

/// The agent ends amid the rewind, and its tool with it: the data are half of this and half of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_that_is_broken_off_makes_way_for_a_clone_and_is_told_once() {
    let root = root();
    let (mut a, b) = diverged(root.path(), &usual()).await;
    // Enough that it does not end before the agent does.
    b.sql("CREATE TABLE big AS SELECT generate_series(1, 1000000) AS n").await;
    a.begin(Job::Rewind(b.source()));
    let lost = a.discards().await;
    counts(&lost);
    a.again().await;
    assert!(a.state.join("rewinding").exists(), "the rewind came to its end");
    assert_eq!(a.discards().await, lost, "it is gone, whatever comes");
    // pg_rewind empties what it is about to bring from the source.
    let number = a.config.data_directory.join("haa.incarnation");
    std::fs::write(&number, "").expect("it can be written");
    a.again().await;
    assert_eq!(a.discards().await, lost);
    let facts = a.stopped().await;
    assert!(matches!(facts.data, DataDir::Present { needs_source: true, .. }), "{facts:?}");
    let why = a.failed(Job::Rewind(b.source())).await;
    assert!(why.contains("an earlier rewind of this data was broken off; clone it anew"), "{why}");
    a.done(Job::Clone(b.source())).await;
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    a.standby(|standby| standby.streaming).await;
    assert!(!a.state.join("rewinding").exists());
    assert_eq!(a.discarded, []);
}

/// A rewind brings a part of the leader's WAL, and the leader throws away what comes next before anybody streams it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_rewound_tells_which_wal_it_waits_for() {
    let root = root();
    let (mut a, mut b) = diverged(root.path(), &usual()).await;
    // Beyond the first page of its timeline: a segment that begins with nothing is taken for none.
    b.sql("INSERT INTO t SELECT generate_series(1000, 6000)").await;
    a.done(Job::Rewind(b.source())).await;
    cut_off(&a.config.data_directory);
    let client = b.client().await;
    client.batch_execute("SELECT pg_drop_replication_slot('haa_a')").await.expect("nobody uses it");
    let end = b.primary(|_| true).await.position.lsn;
    let oldest = loop {
        client.batch_execute("INSERT INTO t VALUES (43)").await.expect("it leads");
        client.batch_execute("SELECT pg_switch_wal()").await.expect("it leads");
        client.batch_execute("CHECKPOINT").await.expect("it leads");
        let oldest = b.primary(|primary| primary.oldest.is_some()).await.oldest;
        if oldest > Some(end) {
            break oldest;
        }
    };
    let slot = "SELECT pg_create_physical_replication_slot('haa_a', true)";
    client.batch_execute(slot).await.expect("it is gone");
    a.begin(Job::Start(Some(b.source()), Door::Open));
    let facts = a.facts(|facts| facts.awaits.is_some()).await;
    assert!(facts.awaits < oldest && facts.server == Server::Starting, "{facts:?}");
    a.hands().close();
    assert_eq!(a.stopped().await.awaits, None);
    a.done(Job::Clone(b.source())).await;
    a.done(Job::Start(Some(b.source()), Door::Open)).await;
    a.standby(|standby| standby.streaming).await;
}

/// As if the newest segment had been copied when its last page, which recovery needs to become consistent, was not
/// written yet: a file of its name and size is there, as it had been made for later use.
fn cut_off(data: &Path) {
    use std::os::unix::fs::FileExt as _;
    let control = std::fs::read(data.join("global/pg_control")).expect("it is there");
    let number = |at: usize| control[at..at + 8].try_into().map(u64::from_ne_bytes).expect("8");
    // ControlFileData.minRecoveryPoint.
    let last = number(136) - 1;
    let name = format!("00000003{:016X}", last >> 24);
    let path = data.join("pg_wal").join(name);
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("it was brought");
    let page = last % (16 << 20) / 8192 * 8192;
    file.write_all_at(&[0; 8192], page).expect("it is ours");
}
