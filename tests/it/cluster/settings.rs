//! Settings of a cluster that runs: shown, changed, refused, and who did it. Nobody restarts, and nobody stops writing.

use std::time::Instant;

use haa_core::units::MemberName;
use hyper::Method;

use super::fixture::{Cluster, LONG};
use super::slots::physical_slots_follow_the_primary_s;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_changed_while_everything_runs() {
    let cluster = Cluster::start().await;
    let primary = cluster.primary().await;
    let replica = cluster.other_than(&primary);
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");

    let (code, said) = cluster.haactl(&["settings", "show"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["timing.ttl", "10s"])), "{said}");

    cluster.until_shown(&replica, "wal_receiver_timeout", "1200ms").await;
    let pairs = ["timing.suspect_after=2s", "timing.voter_timeout=4s", "k=1"];
    let (code, said) = cluster.haactl(&[&["settings", "set"][..], &pairs].concat());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("timing.suspect_after = 2s (was 1s)"), "{said}");
    assert!(said.ends_with("every member goes by it\n"), "{said}");
    for member in cluster.playground.names() {
        let (_, config) =
            cluster.playground.http_get(&member, "/config").await.expect("it answers");
        assert!(config.contains("\"suspect_after\":2000"), "{config}");
        cluster.until_shown(&member, "wal_receiver_timeout", "2400ms").await;
    }

    let (code, said) = cluster.haactl(&["settings", "diff"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("timing.suspect_after") && !said.contains("timing.ttl"), "{said}");

    // Every member gets a longer lease, and the leader's key is moved onto its own.
    let raised = ["settings", "set", "timing.ttl=20s", "timing.round=5s"];
    cluster.all_go_by(cluster.haactl(&raised)).await;
    cluster.write_until_acknowledged(1).await;

    let editor = [("VISUAL", "sed -i s/^strict.*/strict=true/")];
    cluster.all_go_by(cluster.haactl_with(&["settings", "edit"], &editor)).await;
    cluster.all_go_by(cluster.haactl(&["settings", "set", "k=", "strict="])).await;
    let (code, said) = cluster.haactl(&["settings", "history"]);
    assert_eq!(code, 0, "{said}");
    for part in ["from 127.0.0.1", "timing.ttl = 20s (was 10s)", "strict = true (was false)"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("written").count(), 4, "{said}");

    parameters_are_taken_by_servers_that_run(&cluster, &replica).await;
    physical_slots_follow_the_primary_s(&cluster, &primary).await;
    assert!(client.query_one("SELECT 1", &[]).await.is_ok(), "the session has lived through it");
    assert_eq!(cluster.primary().await, primary);
}

/// A session shows a value as soon as its server has read the file; haad says what waits when it looks next.
async fn until_pending(cluster: &Cluster, member: &MemberName) -> serde_json::Value {
    let began = Instant::now();
    loop {
        let answer = cluster.playground.http_get(member, "/patroni").await.expect("it answers");
        let document: serde_json::Value = serde_json::from_str(&answer.1).expect("a document");
        if document["pending_restart"] == true {
            return document;
        }
        assert!(began.elapsed() < LONG, "{member} waits for no restart: {document}");
    }
}

/// The replica has a value of its own for one of them.
async fn parameters_are_taken_by_servers_that_run(cluster: &Cluster, replica: &MemberName) {
    let own = cluster.connect(&cluster.playground.postgres(replica)).await.expect("it accepts");
    own.batch_execute("ALTER SYSTEM SET maintenance_work_mem = '96MB'").await.expect("it can");
    let pairs = [
        "postgres.parameters.work_mem=48MB",
        "postgres.parameters.maintenance_work_mem=80MB",
        "postgres.parameters.app.flavour=it's so",
    ];
    let (code, said) = cluster.haactl(&[&["settings", "set"][..], &pairs].concat());
    assert_eq!(code, 0, "{said}");
    let line = "postgres.parameters.work_mem = 48MB (was not said)";
    assert!(said.contains(line) && said.contains("every member goes by it\n"), "{said}");
    let other = format!("{replica}: its own maintenance_work_mem = 96MB (");
    assert!(said.contains(&other) && said.contains("postgresql.auto.conf)"), "{said}");
    // Answered when it is so: nobody is waited for.
    for member in cluster.playground.names() {
        let address = cluster.playground.postgres(&member);
        let client = cluster.connect(&address).await.expect("it accepts");
        let shown = "SELECT current_setting('work_mem'), current_setting('app.flavour')";
        let row = client.query_one(shown, &[]).await.expect("it answers");
        assert_eq!((row.get(0), row.get(1)), ("48MB", "it's so"), "{member}");
    }
    // As other tools say it, and what waits for a restart is told.
    let theirs = serde_json::json!({ "postgresql": { "parameters":
        { "work_mem": null, "max_prepared_transactions": 7 } } });
    let answer = cluster.playground.http_send(Method::PATCH, replica, "/config", &theirs).await;
    let (code, text) = answer.expect("the agent answers");
    assert_eq!(code, 200, "{text}");
    for member in cluster.playground.names() {
        cluster.until_shown(&member, "work_mem", "4MB").await;
        let document = until_pending(cluster, &member).await;
        let values = &document["pending_restart_reason"]["max_prepared_transactions"];
        let reason = serde_json::json!({ "old_value": "0", "new_value": "7" });
        assert_eq!(*values, reason, "{document}");
    }
    // The member that is asked here may hear of it a heartbeat later than the one that answered.
    let line = "pending restart: max_prepared_transactions 0 -> 7";
    let listed = |code: i32, said: &str| code == 0 && said.matches(line).count() == 3;
    cluster.until_haactl(&["list"], listed).await;
    let line =
        "max_prepared_transactions is 0 and becomes 7 when Postgres is restarted on n1, n2, n3";
    cluster.until_haactl(&["status"], |_, said| said.contains(line)).await;
    let (code, said) = cluster.haactl(&["settings", "show"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("postgres.parameters.app.flavour") && said.contains(&other), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_no_sense_are_refused_and_nothing_is_written() {
    let cluster = Cluster::start().await;
    for (pair, says) in [
        ("timing.ttl=5s", "ttl is 5s but two rounds of 3s and a margin of 2s need more than 8s"),
        ("timing.suspect_after=150ms", "suspect_after is 150ms but heartbeats come every 100ms"),
        ("timing.ttl=20", "'20' is no span of time: write it as 10s or 500ms"),
        ("ttl=20s", "did you mean timing.ttl?"),
        ("durabilty=async", "did you mean durability?"),
        ("k=many", "settings.k: invalid type"),
        ("postgres.parameters.port=1", "haa sets this itself: it is postgres.listen"),
        ("postgres.parameters.wal_level=minimal", "'minimal' is refused"),
        ("postgres.parameters.work_mme=1MB", "no such parameter: did you mean work_mem?"),
        (
            "postgres.parameters.ssl=on",
            "set it in [postgres.parameters] of each member's haad.toml",
        ),
        ("postgres.parameters.work_mem=64XB", "Valid units for this parameter are"),
        ("postgres.parameters.work_mem=1kB", "is outside the valid range"),
        ("postgres.parameters.jit=perhaps", "requires a Boolean value"),
        ("postgres.parameters.wal_compression=zip", "Available values:"),
        ("postgres.parameters.block_size=1", "it is fixed when the server is built"),
        ("postgres.parameters.shared_preload_libraries=nothing_such", "there is no nothing_such"),
        (
            "postgres.parameters.superuser_reserved_connections=100",
            "superuser_reserved_connections is 100 and max_connections is 100",
        ),
    ] {
        let (code, said) = cluster.haactl(&["settings", "set", pair]);
        assert_eq!(code, 1, "{pair}: {said}");
        assert!(said.contains(says), "{pair}: {said}");
    }
    let editor = [("VISUAL", "sed -i s/^ttl.*/ttl=\"1s\"/")];
    let (code, said) = cluster.haactl_with(&["settings", "edit"], &editor);
    assert_eq!(code, 1, "{said}");
    let kept = said.split_whitespace().find(|word| word.contains("haactl-settings-"));
    let kept = kept.expect("it says where the text is").trim_end_matches(':');
    assert!(std::fs::read_to_string(kept).expect("it is there").contains("ttl=\"1s\""), "{said}");
    std::fs::remove_file(kept).expect("it can go");
    let without = ["--token-file", "/nowhere", "settings", "set", "k=1"];
    assert_eq!(cluster.haactl(&without).0, 2, "a token file that is not there");
    let (code, said) = cluster.haactl(&["settings", "history"]);
    assert_eq!((code, said.matches("written").count()), (0, 0), "{said}");
}
