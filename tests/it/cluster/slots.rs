//! Slots of the operator that are there whoever leads: physical ones, and logical ones, whose consumer reads every
//! change after a failover: on PostgreSQL 17, and before it where `pg_failover_slots` is installed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use haa::postgres::server_version;
use haa_core::units::{Lsn, MemberName};
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::Client;

use super::fixture::{Cluster, LONG};
use crate::postgres::note;
use crate::trials::{asked_for, binaries};

/// Who copies logical slots to standbys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Postgres,
    Extension,
}

impl By {
    /// On the primary: somebody copies the slot.
    fn is_copied(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT failover::text FROM pg_replication_slots WHERE slot_name = 'cdc'"
            }
            Self::Extension => "SELECT 'true' FROM pg_replication_slots WHERE slot_name = 'cdc'",
        }
    }

    /// On a standby: it would outlive a promotion.
    fn has_copy(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT (synced AND NOT temporary)::text FROM pg_replication_slots \
                 WHERE slot_name = 'cdc'"
            }
            Self::Extension => {
                "SELECT (confirmed_flush_lsn IS NOT NULL)::text FROM pg_replication_slots \
                 WHERE slot_name = 'cdc'"
            }
        }
    }

    /// A slot's copy begins at such a record.
    fn snapshot(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT pg_log_standby_snapshot()",
            Self::Extension => "CHECKPOINT",
        }
    }

    /// On a standby: the process that copies.
    fn copier(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT (SELECT pid::text FROM pg_stat_activity WHERE backend_type = 'slotsync worker')"
            }
            Self::Extension => {
                "SELECT (SELECT pid::text FROM pg_stat_activity WHERE backend_type LIKE 'pg_failover_slots%')"
            }
        }
    }

    fn waited_for(self) -> &'static str {
        match self {
            Self::Postgres => "SHOW synchronized_standby_slots",
            Self::Extension => "SHOW pg_failover_slots.standby_slot_names",
        }
    }
}

/// Three members whose WAL can be decoded, and whose standbys copy slots.
async fn that_copies_slots(binaries: &std::path::Path, by: By) -> Cluster {
    let binaries = toml::Value::from(binaries.display().to_string());
    let mut parameters = toml::Table::from_iter([("wal_level".to_owned(), "logical".into())]);
    if by == By::Extension {
        parameters.insert("shared_preload_libraries".to_owned(), "pg_failover_slots".into());
        // Its worker gives up for a minute where it finds it off.
        parameters.insert("hot_standby_feedback".to_owned(), "on".into());
    }
    let postgres = toml::Table::from_iter([
        ("bin_directory".to_owned(), binaries),
        ("parameters".to_owned(), toml::Value::Table(parameters)),
    ]);
    let extra = toml::Table::from_iter([("postgres".to_owned(), toml::Value::Table(postgres))]);
    Cluster::start_with(|options| options.extra(extra)).await
}

async fn ask(client: &Client, question: &str) -> String {
    let row = client.query_one(question, &[]).await.expect("it answers");
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

async fn until(cluster: &Cluster, member: &MemberName, question: &str, wanted: &str) {
    let client = cluster.connect(&cluster.playground.postgres(member)).await.expect("it accepts");
    let began = Instant::now();
    loop {
        let said = ask(&client, question).await;
        if said == wanted {
            return;
        }
        assert!(began.elapsed() < LONG, "{member}: {question} is '{said}', not '{wanted}'");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn set(cluster: &Cluster, pairs: &[&str]) {
    cluster.all_go_by(cluster.haactl(&[&["settings", "set"][..], pairs].concat())).await;
}

/// Called amid another test: on any version, with nobody restarted.
pub(super) async fn physical_slots_follow_the_primary_s(cluster: &Cluster, primary: &MemberName) {
    const THERE: &str =
        "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name IN ('barman', 'other')";
    set(cluster, &["slots.barman=physical"]).await;
    let client = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    for member in cluster.playground.names() {
        until(cluster, &member, THERE, "1").await;
    }
    let advance =
        "SELECT end_lsn::text FROM pg_replication_slot_advance('barman', pg_current_wal_lsn())";
    client.batch_execute("CREATE TABLE advanced (); DROP TABLE advanced").await.expect("it runs");
    let reached = ask(&client, advance).await;
    // Whatever changes in them, they are looked after at once.
    set(cluster, &["slots.other=physical"]).await;
    for member in cluster.playground.names() {
        let at = "SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = 'barman'";
        until(cluster, &member, at, &reached).await;
    }
    set(cluster, &["slots.barman=", "slots.other="]).await;
    for member in cluster.playground.names() {
        until(cluster, &member, THERE, "0").await;
    }
    let version: u32 = ask(&client, "SHOW server_version_num").await.parse().expect("a number");
    let logical = match version {
        170_000.. => "it needs wal_level = logical, and Postgres runs with replica",
        _ => "before PostgreSQL 17 standbys copy logical slots by pg_failover_slots",
    };
    for (pair, says) in [
        ("slots.haa_n9=physical", "those that begin with haa_ are the members' own"),
        ("slots.cdc.database=postgres", logical),
    ] {
        let (code, said) = cluster.haactl(&["settings", "set", pair]);
        assert!(code == 1 && said.contains(says), "{pair}: {said}");
    }
}

/// What a consumer of the slot has read: the numbers that were inserted.
async fn consume(client: &Client, read: &mut BTreeSet<i64>) -> usize {
    let question = "SELECT data FROM pg_logical_slot_get_binary_changes('cdc', NULL, NULL, \
         'proto_version', '1', 'publication_names', 'all_of_it')";
    let rows = client.query(question, &[]).await.expect("the slot gives what it has");
    let inserted = rows.iter().filter_map(|row| inserted(row.get(0)));
    inserted.map(|id| read.insert(id)).count()
}

/// `I`, the relation, `N`, one column, `t`, its length, its text.
fn inserted(message: &[u8]) -> Option<i64> {
    let text = message.strip_prefix(b"I")?.get(4 + 1 + 2 + 1 + 4..)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

async fn insert(client: &Client, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        client.execute("INSERT INTO t VALUES ($1)", &[&id]).await.expect("it is acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_reads_every_change_after_a_failover() {
    let copies = |binaries: &PathBuf| server_version(binaries).is_ok_and(|v| v >= 170_000);
    let Some(binaries) = asked_for().filter(copies).or_else(|| binaries(17)) else {
        return note("not tried: no binaries of PostgreSQL 17");
    };
    nothing_is_skipped(&binaries, By::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_17_a_consumer_reads_every_change_by_an_extension() {
    let has_it = |binaries: &PathBuf| {
        let library = binaries.join("../lib/pg_failover_slots.so");
        server_version(binaries).is_ok_and(|version| version < 170_000) && library.exists()
    };
    let Some(binaries) = [15, 16, 14, 13].into_iter().filter_map(binaries).find(has_it) else {
        return note("not tried: no PostgreSQL before 17 has pg_failover_slots");
    };
    nothing_is_skipped(&binaries, By::Extension).await;
}

async fn nothing_is_skipped(binaries: &std::path::Path, by: By) {
    let mut cluster = that_copies_slots(binaries, by).await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&old)).await.expect("it accepts");
    client.batch_execute("CREATE PUBLICATION all_of_it FOR ALL TABLES").await.expect("it runs");
    // Postgres begins to copy with the first slot that there is to copy.
    set(&cluster, &["slots.first.database=postgres"]).await;
    let copiers = stopped_copiers(&cluster, &old, by).await;
    let now = ["slots.first=", "slots.cdc.database=postgres", "slots.wal=physical"];
    set(&cluster, &now).await;
    until_there(&cluster, &old, by.is_copied(), "true").await;
    let mut read = BTreeSet::new();
    no_hand_over_before_the_copy(&cluster, &old).await;
    drop(copiers);
    insert(&client, 1..=50).await;
    copied((&cluster, by), &old, &client, &mut read).await;
    for member in cluster.playground.names().into_iter().filter(|name| *name != old) {
        ready(&cluster, &member, Ready::Yes).await;
    }
    // What nobody has read yet, and what is read after the copy.
    insert(&client, 51..=100).await;
    consume(&client, &mut read).await;
    insert(&client, 101..=150).await;
    let waited_for = ask(&client, by.waited_for()).await;
    let others = cluster.playground.names().into_iter().filter(|name| *name != old);
    for other in others {
        assert!(waited_for.contains(&other.slot()), "{waited_for}");
    }

    cluster.playground.kill_host(&old).expect("it ran");
    let took = cluster.write_until_acknowledged(151).await;
    println!("a host killed, with a slot to keep, to the first acknowledged write: {took:?}");
    let new = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&new)).await.expect("it accepts");
    insert(&client, 152..=200).await;
    let began = Instant::now();
    let mut again = 0;
    while !(1..=200).all(|id| read.contains(&id)) {
        again += consume(&client, &mut read).await;
        assert!(began.elapsed() < LONG, "changes are skipped: {read:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("read after the failover: {again} changes, of which 100 were not read before");

    // The former primary has the slot of its own leadership, if it was not rewound: that makes way for a copy, or an
    // extension moves it on.
    cluster.playground.start_member(&old).expect("it can be started");
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it rejoins");
    if by == By::Postgres {
        let own = "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = 'cdc' AND NOT synced";
        until(&cluster, &old, own, "0").await;
    }
    let kept = "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = 'wal'";
    until(&cluster, &old, kept, "1").await;
    a_lost_slot_is_told_and_not_made_again((&mut cluster, by), &new, &client).await;
}

/// A replica has a copy once the consumer has confirmed something that the replica has.
async fn copied(
    (cluster, by): (&Cluster, By),
    primary: &MemberName,
    client: &Client,
    read: &mut BTreeSet<i64>,
) {
    let began = Instant::now();
    for member in cluster.playground.names().into_iter().filter(|name| name != primary) {
        let replica = cluster.connect(&cluster.playground.postgres(&member)).await;
        let replica = replica.expect("it accepts");
        loop {
            let row = replica.query_opt(by.has_copy(), &[]).await.expect("it answers");
            if row.is_some_and(|row| row.get::<_, Option<&str>>(0) == Some("true")) {
                break;
            }
            assert!(began.elapsed() < LONG, "{member} does not copy the slot");
            client.batch_execute(by.snapshot()).await.expect("it runs");
            consume(client, read).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    println!("every replica has copied the slot after {:?}", began.elapsed());
}

/// Who copies slots to standbys: stopped, and goes on when this is dropped.
struct Copiers(Vec<Pid>);

impl Drop for Copiers {
    fn drop(&mut self) {
        for copier in self.0.drain(..) {
            // One that was ended meanwhile needs no word.
            let _ = kill_process(copier, Signal::CONT);
        }
    }
}

/// Those of all standbys.
async fn stopped_copiers(cluster: &Cluster, primary: &MemberName, by: By) -> Copiers {
    let mut stopped = Copiers(Vec::new());
    for member in cluster.playground.names().into_iter().filter(|name| name != primary) {
        let client = cluster.connect(&cluster.playground.postgres(&member)).await;
        let client = client.expect("it accepts");
        let began = Instant::now();
        let copier = loop {
            if let Some(copier) =
                ask(&client, by.copier()).await.parse().ok().and_then(Pid::from_raw)
            {
                break copier;
            }
            assert!(began.elapsed() < LONG, "nobody copies slots on {member}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        kill_process(copier, Signal::STOP).expect("it runs");
        stopped.0.push(copier);
    }
    stopped
}

/// Nobody copies it yet.
async fn no_hand_over_before_the_copy(cluster: &Cluster, primary: &MemberName) {
    for member in cluster.playground.names().into_iter().filter(|name| name != primary) {
        ready(cluster, &member, Ready::No).await;
    }
    leader_has_heard(cluster, primary).await;
    let (code, said) = cluster.haactl(&["switchover", "--yes"]);
    assert!(code == 1 && said.contains("has no copy of the slot cdc yet"), "{code}: {said}");
    assert_eq!(cluster.primary().await, *primary, "nothing was stopped");
}

/// Waits until both replicas have told the leader of a look from now on: that has how far they are as well.
async fn leader_has_heard(cluster: &Cluster, primary: &MemberName) {
    let client = cluster.connect(&cluster.playground.postgres(primary)).await.expect("it accepts");
    let now = ask(&client, "SELECT pg_logical_emit_message(true, 'it', '')::text").await;
    let now: Lsn = now.parse().expect("a position");
    let began = Instant::now();
    loop {
        let answer = cluster.playground.http_get(primary, "/cluster").await;
        let (_, said) = answer.expect("it answers");
        let view: serde_json::Value = serde_json::from_str(&said).expect("a document");
        let members = view["members"].as_array().expect("a list");
        let heard =
            members.iter().filter_map(|one| one["receive_lsn"].as_str()?.parse::<Lsn>().ok());
        if heard.filter(|lsn| *lsn >= now).count() == 2 {
            return;
        }
        assert!(began.elapsed() < LONG, "{primary} does not hear of both: {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a failover would find the slot there.
#[derive(Clone, Copy, Debug)]
enum Ready {
    Yes,
    No,
}

/// A member says so of its own.
async fn ready(cluster: &Cluster, member: &MemberName, wanted: Ready) {
    let end = match wanted {
        Ready::Yes => " 1",
        Ready::No => " 0",
    };
    let began = Instant::now();
    loop {
        let answer = cluster.playground.http_get(member, "/metrics").await;
        let (_, metrics) = answer.expect("it answers");
        let ours = |line: &&str| line.contains("haa_slot_ready") && line.contains("\"cdc\"");
        if metrics.lines().find(ours).is_some_and(|line| line.ends_with(end)) {
            return;
        }
        assert!(began.elapsed() < LONG, "{member} does not say of its slot: {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_there(cluster: &Cluster, member: &MemberName, question: &str, wanted: &str) {
    until(cluster, member, &format!("SELECT (SELECT coalesce(({question}), ''))"), wanted).await;
}

async fn a_lost_slot_is_told_and_not_made_again(
    (cluster, by): (&mut Cluster, By),
    primary: &MemberName,
    client: &Client,
) {
    client.batch_execute("SELECT pg_drop_replication_slot('cdc')").await.expect("nobody uses it");
    set(cluster, &["slots.more=physical"]).await;
    cluster.says(primary, "the slot cdc is not on this primary").await;
    let (code, said) = cluster.haactl(&["doctor"]);
    assert!(code == 1 && said.contains("the slot cdc is not on this primary"), "{said}");
    let began = Instant::now();
    while !cluster.haactl(&["events"]).1.contains(&format!("keep the slot cdc on {primary}")) {
        assert!(began.elapsed() < LONG, "no event tells of it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ready(cluster, primary, Ready::No).await;
    // Begun anew by the operator.
    set(cluster, &["slots.cdc="]).await;
    set(cluster, &["slots.cdc.database=postgres"]).await;
    until_there(cluster, primary, by.is_copied(), "true").await;
    a_primary_keeps_its_own_over_a_restart((cluster, by), primary).await;
}

/// Nobody else has a copy yet, and its own agent has forgotten everything.
async fn a_primary_keeps_its_own_over_a_restart(
    (cluster, by): (&mut Cluster, By),
    primary: &MemberName,
) {
    cluster.playground.kill_agent(primary).expect("it ran");
    cluster.playground.start_member(primary).expect("it can be started");
    cluster.all_stream().await;
    assert_eq!(cluster.primary().await, *primary, "the database went on");
    let (code, said) = cluster.haactl(&["restart", primary.as_str(), "--in-place", "--yes"]);
    if code != 0 && said.contains("did not come back in time") {
        return note("the primary was too slow to lead again");
    }
    assert_eq!(code, 0, "{said}");
    until_there(cluster, primary, by.is_copied(), "true").await;
}
