//! The primary is lost: its Postgres, its host, its WAL. Somebody takes over, and it comes back as a replica.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG, print_times};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postmaster_is_replaced_and_comes_back_as_a_replica() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let mut times = Vec::new();
    for run in 0..10 {
        let old = cluster.primary().await;
        cluster.playground.kill(&old, Part::Postgres).expect("it was running");
        times.push(cluster.write_until_acknowledged(run).await);
        let streams = cluster.playground.wait_member_streams(&old, LONG).await;
        streams.expect("the old primary comes back by itself");
        cluster.all_stream().await;
    }
    print_times("kill -9 of the postmaster to the first acknowledged write", times);
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 10).await;
    }
    assert_eq!(cluster.writable().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_is_replaced_and_rewound_when_it_had_diverged() {
    let mut cluster = Cluster::start().await;
    cluster.write_until_acknowledged(1).await;
    let old = cluster.primary().await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 1).await;
    }
    cluster.all_vote().await;
    diverge(&cluster, &old).await;
    cluster.playground.kill(&old, Part::Host).expect("it was running");
    let took = cluster.write_until_acknowledged(3).await;
    println!("a whole host killed, to the first acknowledged write: {took:?}");
    let new = cluster.primary().await;
    assert_ne!(new, old);
    let before = cluster.log(&old).len();
    cluster.playground.start_member(&old).expect("it can be started");
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it rejoins");
    let log = cluster.log(&old).split_off(before);
    assert!(log.contains("this member's WAL diverged; taking it back"), "{log}");
    assert!(
        log.contains("job=Rewind") && !log.contains("job=Clone"),
        "rewound, not cloned:\n{log}"
    );
    let kept = std::fs::read_dir(cluster.playground.state(&old)).expect("a directory").flatten();
    let kept = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("diverged-"));
    let kept: Vec<_> = kept.map(|entry| entry.path()).collect();
    let [kept] = &kept[..] else { panic!("what was taken back is kept once: {kept:?}") };
    history_tells(&cluster, &old, kept).await;
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 2).await;
    }
}

/// Two members: etcd says that nobody renews the lease of the one that is gone, and the other leads before it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_members_the_other_takes_over_on_the_word_of_etcd() {
    let settings = toml::toml! { durability = "quorum" };
    let mut cluster = Cluster::start_with(|options| options.members(2).settings(settings)).await;
    cluster.all_vote().await;
    let mut times = Vec::new();
    for run in 0..5 {
        cluster.write_until_acknowledged(run).await;
        // A leadership is taken over from when it is older than `settle`.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let old = cluster.primary().await;
        let other = cluster.other_than(&old);
        let said = |cluster: &Cluster| {
            cluster.log(&other).matches("enough voters lost the primary").count()
        };
        let before = said(&cluster);
        let began = Instant::now();
        cluster.playground.kill(&old, Part::Host).expect("it was running");
        while said(&cluster) == before {
            assert!(began.elapsed() < LONG, "{other} does not take over");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(began.elapsed());
        cluster.playground.start_member(&old).expect("it can be started");
        cluster.playground.wait_member_streams(&old, LONG).await.expect("it rejoins");
        cluster.all_vote().await;
    }
    print_times("a host of two killed, to the other standing", times);
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 5).await;
    }
}

/// A whole member gone, with the profile `fast`. A machine without power would tell nobody; here the kernel lives, and
/// the connections end at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_is_noticed_sooner_with_the_profile_fast() {
    let settings = toml::toml! {
        durability = "quorum"
        profile = "fast"
    };
    let mut cluster = Cluster::start_with(|options| options.settings(settings)).await;
    let mut times = Vec::new();
    for run in 0..3 {
        cluster.all_vote().await;
        // A leadership is taken over from when it is older than `settle`.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let old = cluster.primary().await;
        cluster.playground.kill(&old, Part::Host).expect("it was running");
        times.push(cluster.write_until_acknowledged(run).await);
        assert_ne!(cluster.primary().await, old);
        cluster.playground.start_member(&old).expect("it can be started");
        cluster.playground.wait_member_streams(&old, LONG).await.expect("it rejoins");
    }
    print_times("a host of three killed, profile fast, to the first acknowledged write", times);
    for member in cluster.playground.names() {
        cluster.has_rows(&member, 3).await;
    }
}

/// So many commits have reached nobody.
const ONLY_HERE: i64 = 3;

/// The history says what was discarded, once, and where it is.
async fn history_tells(cluster: &Cluster, old: &MemberName, kept: &Path) {
    let sentence = format!("{old} discarded {ONLY_HERE} transactions (WAL ");
    cluster.says(old, &sentence).await;
    let began = Instant::now();
    let rows = loop {
        let (code, said) = cluster.haactl(&["history", "--output", "json"]);
        assert_eq!(code, 0, "{said}");
        let rows: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        if said.contains("counted") {
            break rows;
        }
        assert!(began.elapsed() < LONG, "the history says nothing: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let last = rows.as_array().and_then(|rows| rows.last()).expect("the takeover");
    let lost = last[5].as_array().expect("what it cost");
    assert_eq!(lost.len(), 1, "{rows}");
    assert_eq!(lost[0]["member"], old.as_str(), "{rows}");
    assert_eq!(lost[0]["commits"]["counted"]["transactions"], ONLY_HERE, "{rows}");
    assert_eq!(lost[0]["kept"], kept.display().to_string(), "{rows}");
    for verb in ["history", "why"] {
        let (code, said) = cluster.haactl(&[verb]);
        assert!(code == 0 && said.matches(&sentence).count() == 1, "{said}");
    }
    // And there they are.
    let shown = Command::new(cluster.postgres_program("pg_waldump"))
        .arg(format!("--path={}", kept.display()))
        .arg(format!("--timeline={}", last[0]))
        .arg(format!("--start={}", lost[0]["fork"]["lsn"].as_str().expect("a place")))
        .arg("--rmgr=Transaction")
        .output()
        .expect("it runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.matches("desc: COMMIT").count(), ONLY_HERE as usize, "{shown}");
}

/// Freezes the walsenders, then writes on the primary what nobody else will ever have.
async fn diverge(cluster: &Cluster, primary: &MemberName) {
    let client = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    let began = Instant::now();
    let senders = loop {
        let senders = client.query("SELECT pid FROM pg_stat_replication", &[]).await;
        let senders = senders.expect("it answers");
        if senders.len() == 2 {
            break senders;
        }
        assert!(began.elapsed() < LONG, "not both replicas stream");
    };
    for row in senders {
        let pid = nix::unistd::Pid::from_raw(row.get(0));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("it runs");
    }
    // Nobody acknowledges it: it is in this member's WAL and in nobody else's.
    let waits = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    for row in 0..ONLY_HERE {
        let client = cluster.connect(&cluster.playground.postgres(primary)).await;
        let client = client.expect("it accepts");
        tokio::spawn(
            async move { client.execute("INSERT INTO t VALUES ($1)", &[&(100 + row)]).await },
        );
    }
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while waits.query(waiting, &[]).await.expect("it answers").len() < ONLY_HERE as usize {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_could_not_be_made_at_the_promotion_are_made_before_clients_come() {
    // Else the new primary would soon go on alone.
    let strict = toml::Table::from_iter([("strict".to_owned(), true.into())]);
    let cluster = Cluster::start_with(|options| options.settings(strict)).await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    for member in cluster.playground.names().into_iter().filter(|name| *name != old) {
        no_room_for_slots(&cluster, &member).await;
    }
    cluster.playground.kill(&old, Part::Host).expect("it was running");
    let began = std::time::Instant::now();
    let new = loop {
        let tried = "a replication slot cannot be made";
        let mut names = cluster.playground.names().into_iter();
        if let Some(new) = names.find(|name| cluster.log(name).contains(tried)) {
            break new;
        }
        assert!(began.elapsed() < LONG, "nobody was promoted");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    cluster.says(&new, "replication slots are not as they should be").await;
    // The door is shut for everybody but haad, which comes over the socket.
    let mut socket = cluster.playground.postgres(&new);
    let home = cluster.playground.config(&new);
    socket.host = home.parent().expect("it lies in a directory").display().to_string();
    let client = cluster.connect(&socket).await.expect("haad's role is let in");
    client.batch_execute(THEIRS_GO).await.expect("they are idle");
    cluster.write_until_acknowledged(1).await;
}

const THEIRS_GO: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
     WHERE slot_name LIKE 'theirs%'";

/// Somebody's own slots take the place of haa's.
async fn no_room_for_slots(cluster: &Cluster, member: &MemberName) {
    let client = cluster.connect(&cluster.playground.postgres(member)).await.expect("it accepts");
    let began = std::time::Instant::now();
    let left = "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE 'haa%'";
    loop {
        let name = format!("theirs_{}", began.elapsed().as_micros());
        let make = format!("SELECT pg_create_physical_replication_slot('{name}')");
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE slot_name LIKE 'haa%' LIMIT 1";
        let full = client.batch_execute(&make).await.is_err();
        if full && client.query(left, &[]).await.expect("it answers").is_empty() {
            return;
        }
        let dropped = client.batch_execute(drop).await;
        assert!(began.elapsed() < LONG, "haa's slots stay: {dropped:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_disk_takes_no_wal_gives_way() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    hang_flushes(&cluster, &old).await;
    let took = cluster.write_until_acknowledged(1).await;
    println!("no WAL gets to the disk, to the first acknowledged write: {took:?}");
    assert_ne!(cluster.primary().await, old);
    cluster.says(&old, "the disk takes no WAL").await;
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it comes back");
    cluster.has_rows(&old, 1).await;
}

/// A backend that is stopped amid its flush holds what every other flush waits for: as good as a hung disk. That one
/// waits for the disk tells nothing, for any may; that a stopped one still does tells that it holds the lock.
async fn hang_flushes(cluster: &Cluster, member: &MemberName) {
    const WRITE: &str = "SET synchronous_commit = local; \
         SELECT pg_logical_emit_message(true, 'it', repeat('x', 100000))";
    const FLUSHES: &str =
        "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'WALSync'";
    let at = cluster.playground.postgres(member);
    let [busy, other] = [cluster.connect(&at).await, cluster.connect(&at).await];
    let (busy, other) = (busy.expect("it accepts"), other.expect("it accepts"));
    let row = busy.query_one("SELECT pg_backend_pid()", &[]).await.expect("it answers");
    let process: i32 = row.get(0);
    let pid = nix::unistd::Pid::from_raw(process);
    tokio::spawn(async move { while busy.batch_execute(WRITE).await.is_ok() {} });
    let began = std::time::Instant::now();
    loop {
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("it runs");
        // Amid something else it may hold what even this question waits for.
        let patience = std::time::Duration::from_millis(300);
        let asked = tokio::time::timeout(patience, other.query(FLUSHES, &[&process])).await;
        if asked.is_ok_and(|flushes| !flushes.expect("it answers").is_empty()) {
            return;
        }
        assert!(began.elapsed() < LONG, "it was never caught amid a flush");
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("it runs");
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
}
