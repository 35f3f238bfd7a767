//! What `haactl doctor` finds in a real cluster: nothing in a sound one, and what was planted in one that is not.

use std::time::{Duration, Instant};

use haa::playground::etcd::EtcdCluster;
use haa::playground::{Options, Part};
use serde_json::Value;

use super::fixture::{Cluster, LONG};
use crate::support;

/// Three members and three etcds, as docs/operations.md asks for.
async fn sound(etcds: &EtcdCluster) -> Cluster {
    let endpoints: Vec<toml::Value> = etcds.endpoints().into_iter().map(Into::into).collect();
    let mut etcd = toml::Table::new();
    etcd.insert("endpoints".to_owned(), toml::Value::Array(endpoints));
    let parameters = "[parameters]\narchive_mode = \"on\"\narchive_command = \"true\"";
    let postgres: toml::Table = parameters.parse().expect("it is TOML");
    let extra = toml::Table::from_iter([
        ("etcd".to_owned(), toml::Value::Table(etcd)),
        ("postgres".to_owned(), toml::Value::Table(postgres)),
    ]);
    let cluster = Cluster::start_with(|options: Options| options.extra(extra)).await;
    cluster.all_vote().await;
    cluster
}

fn diagnosis(cluster: &Cluster) -> (i32, Value) {
    let (code, said) = cluster.haactl(&["doctor", "--output", "json"]);
    let end = said.rfind('}').map_or(0, |end| end + 1);
    let document = serde_json::from_str(&said[..end]);
    (code, document.unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// What an agent found stands for 2 s, and what a busy one does not hear for a moment is a problem for as long: until a
/// diagnosis is as wanted.
async fn until(cluster: &Cluster, wanted: impl Fn(i32, &Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (code, diagnosis) = diagnosis(cluster);
        if wanted(code, &diagnosis) {
            return diagnosis;
        }
        assert!(began.elapsed() < LONG, "it is never found: {code}, {diagnosis:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// It is among what is found.
fn planted(what: &str) -> impl Fn(i32, &Value) -> bool {
    move |code, ill| code == 1 && ill.to_string().contains(what)
}

/// A table that this standby has read from its disk since it was started, with another page than was written.
async fn break_a_page(cluster: &Cluster, standby: &haa_core::units::MemberName) {
    cluster.execute("CREATE TABLE worn AS SELECT 1 AS id").await;
    cluster.execute("CHECKPOINT").await;
    let at = cluster.playground.postgres(standby);
    let path = async || {
        let client = cluster.connect(&at).await.ok()?;
        client.batch_execute("CHECKPOINT").await.ok()?;
        let row = client.query_one("SELECT pg_relation_filepath('worn')", &[]).await.ok()?;
        row.get::<_, Option<String>>(0)
    };
    let began = Instant::now();
    let path = loop {
        if let Some(path) = path().await {
            break path;
        }
        assert!(began.elapsed() < LONG, "the table does not come to {standby}");
        tokio::task::yield_now().await;
    };
    let (code, said) = cluster.haactl(&["restart", standby.as_str(), "--yes"]);
    assert_eq!(code, 0, "{said}");
    let file = cluster.playground.data(standby).join(path);
    let mut page = std::fs::read(&file).expect("one page");
    page[8_000] ^= 1;
    std::fs::write(&file, page).expect("it is there");
    let client = cluster.connect(&at).await.expect("it accepts");
    let read = client.query_one("SELECT id FROM worn", &[]).await;
    assert!(read.is_err(), "nobody is given a broken page");
}

/// The findings of a severity: whom, and what.
fn found(diagnosis: &Value, severity: &str) -> Vec<(String, String)> {
    let findings = diagnosis["findings"].as_array().expect("a list");
    let of = findings.iter().filter(|finding| finding["severity"] == severity);
    of.map(|finding| (finding["members"].to_string(), finding["what"].to_string())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_cluster_has_no_problem_and_what_is_planted_is_found() {
    support::become_postgres();
    let folder =
        tempfile::Builder::new().prefix("haa-it-").tempdir_in("/tmp").expect("a directory");
    let etcds = EtcdCluster::start(folder.path()).expect("three etcds");
    let cluster = sound(&etcds).await;

    let well = |code: i32, clean: &Value| code == 0 && found(clean, "problem").is_empty();
    let clean = until(&cluster, well).await;
    assert_eq!(clean["examined"], serde_json::json!(["n1", "n2", "n3"]), "{clean:#}");
    let advice = found(&clean, "advice");
    for planted in ["slot", "synchronous_commit", "max_slot_wal_keep_size"] {
        assert!(!advice.iter().any(|(_, what)| what.contains(planted)), "{planted}: {clean:#}");
    }

    cluster.execute("CREATE ROLE app LOGIN").await;
    cluster.execute("ALTER ROLE app SET synchronous_commit = off").await;
    cluster.execute("SELECT pg_create_physical_replication_slot('forgotten', true)").await;
    cluster.execute("INSERT INTO t SELECT generate_series(1, 1000)").await;
    let replica = cluster.other_than(&cluster.primary().await);
    let client = cluster.connect(&cluster.playground.postgres(&replica)).await.expect("it accepts");
    let unbound = "ALTER SYSTEM SET max_slot_wal_keep_size = -1";
    client.batch_execute(unbound).await.expect("a standby has files of its own");
    let more = "ALTER SYSTEM SET max_connections = 123";
    client.batch_execute(more).await.expect("it counts from the next start on");
    client.batch_execute("SELECT pg_reload_conf()").await.expect("it reads them");
    cluster.until_shown(&replica, "max_slot_wal_keep_size", "-1").await;

    let primary = format!("[\"{}\"]", cluster.primary().await);
    // What waits for a restart is known to haad later than the rest is to Postgres.
    let all = planted("max_connections waits for a restart");
    let problem = (primary.clone(), "\"synchronous_commit is off for role app\"".to_owned());
    let alone = |ill: &Value| found(ill, "problem") == std::slice::from_ref(&problem);
    let ill = until(&cluster, |code, ill| all(code, ill) && alone(ill)).await;
    let advice = found(&ill, "advice");
    let advised = |whom: &str, what: &str| {
        advice.iter().any(|(members, said)| members == whom && said.contains(what))
    };
    assert!(advised(&primary, "the slot forgotten, which is not haad's"), "{ill:#}");
    assert!(advised(&format!("[\"{replica}\"]"), "max_slot_wal_keep_size is -1"), "{ill:#}");

    let waits = "max_connections waits for a restart: Postgres goes by 100, and the files say 123";
    assert!(advised(&format!("[\"{replica}\"]"), waits), "{ill:#}");

    // A page of the third was changed on its disk, and somebody reads it.
    let names = cluster.playground.names();
    let third = names.into_iter().find(|name| *name != replica && !primary.contains(name.as_str()));
    let third = third.expect("three members");
    break_a_page(&cluster, &third).await;
    let ill = until(&cluster, planted("did not match its checksum")).await;
    let broken = found(&ill, "problem").into_iter().find(|(_, what)| what.contains("checksum"));
    let (whom, what) = broken.expect("it is a problem");
    assert_eq!(whom, format!("[\"{third}\"]"), "{ill:#}");
    assert!(what.contains("the database postgres: what was read did not match its checksum once"));

    what_holds_wal_is_told_in_time(&cluster).await;

    // It says for people what to do; and what only a silent member knows is missed aloud.
    cluster.playground.kill(&replica, Part::Agent).expect("its agent ends");
    let (code, said) = cluster.haactl(&["doctor"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(r#"do:   ALTER ROLE "app" RESET synchronous_commit"#), "{said}");
    assert!(said.contains("do:   look after whoever reads from it"), "{said}");
    let silent = format!("could not be examined: {}", cluster.playground.api(&replica));
    assert!(said.contains(&silent), "{said}");
}

/// A slot that holds nearly all that it may, and an archive that takes nothing any more.
async fn what_holds_wal_is_told_in_time(cluster: &Cluster) {
    // A slot may hold what is kept for others anyway.
    cluster.execute("ALTER SYSTEM SET wal_keep_size = 0").await;
    cluster.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '128MB'").await;
    cluster.execute("ALTER SYSTEM SET archive_command = 'false'").await;
    cluster.execute("SELECT pg_reload_conf()").await;
    let primary = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let tight = "SELECT safe_wal_size * 3 < pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn) \
         FROM pg_replication_slots WHERE slot_name = 'forgotten'";
    while !client.query_one(tight, &[]).await.expect("it answers").get::<_, bool>(0) {
        cluster.execute("SELECT pg_create_restore_point('more')").await;
        cluster.execute("SELECT pg_switch_wal()").await;
    }
    let began = Instant::now();
    let says = format!("the slot forgotten on {primary} loses WAL when ");
    while !cluster.haactl(&["status"]).1.contains(&says) {
        assert!(began.elapsed() < LONG, "it is not said: {}", cluster.haactl(&["status"]).1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (_, page) = cluster.playground.http_get(&primary, "/metrics").await.expect("it answers");
    let left = page.lines().find(|line| {
        line.starts_with("haa_slot_wal_left_bytes{") && line.contains("slot=\"forgotten\"")
    });
    assert!(left.is_some(), "{page}");
    let ill = until(cluster, planted("archiving fails")).await;
    let whom = format!("[\"{primary}\"]");
    let failing = found(&ill, "problem").into_iter().find(|(_, what)| what.contains("archiving"));
    assert_eq!(failing.expect("it is a problem").0, whom, "{ill:#}");
}
