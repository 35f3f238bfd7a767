//! Documents and routes, field by field.

use std::collections::BTreeMap;

use haa_core::line::{Fork, Line};
use haa_core::observe::TightSlot;
use haa_core::reason::Reason;
use haa_core::records::{HistoryRecord, Phases, SyncRecord};
use haa_core::settings::Durability;
use serde_json::json;

use super::*;
use crate::store::Chapter;

#[tokio::test]
async fn a_primarys_document() {
    let body = Bench::new(primary()).json("/patroni").await;
    assert_eq!(body["state"], "running");
    assert_eq!(body["role"], "primary");
    assert_eq!(body["server_version"], 150_004);
    assert_eq!(body["xlog"], json!({"location": 0x500_0000}));
    assert_eq!(body["timeline"], 3);
    assert_eq!(body["postmaster_start_time"], "2023-11-14 22:13:20.123+00:00");
    assert_eq!(body["replication"][0]["application_name"], "n2");
    assert_eq!(body["database_system_identifier"], "7300000000000000001");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(body["patroni"], json!({"version": version, "scope": "main", "name": "n1"}));
    assert_eq!(body["haa"]["term"], 7);
    assert!(body["dcs_last_seen"].as_u64().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_replicas_document_is_the_body_of_its_checks() {
    let body = Bench::new(replica()).json("/primary").await;
    assert_eq!(body["role"], "replica");
    assert_eq!(body["replication_state"], "streaming");
    assert_eq!(body["xlog"]["received_location"], 0x500_0000 - 1024);
    assert_eq!(body["xlog"]["replayed_location"], 0x500_0000 - 4096);
    assert_eq!(body["xlog"]["paused"], false);
    assert!(body["xlog"]["replayed_timestamp"].as_str().unwrap().ends_with("+00:00"));
    assert_eq!(body["haa"]["why"], "this member does not lead");
    assert_eq!(Bench::new(stopped()).json("/health").await["state"], "crashed");
}

#[tokio::test]
async fn the_cluster_as_any_member_sees_it() {
    let mut status = replica();
    status.members.get_mut(&name("n3")).unwrap().heard = None;
    let sync = r#"{"version": 4, "term": 3, "primary": "n1", "line": {"timeline": 3, "forks": []},
        "durability": "quorum", "voters": {"n1": 1, "n3": 3}, "k": 1, "members": {}}"#;
    status.sync = Some(serde_json::from_str(sync).unwrap());
    let body = Bench::new(status).json("/cluster").await;
    assert_eq!(body["scope"], "main");
    assert_eq!(
        body["commits"],
        serde_json::json!({"durability": "quorum", "k": 1, "voters": ["n1", "n3"], "alone": false})
    );
    let member = |index: usize| &body["members"][index];
    assert_eq!(member(0)["name"], "n1");
    assert_eq!(member(0)["role"], "leader");
    assert_eq!(member(0)["state"], "running");
    assert_eq!(member(0)["api_url"], "http://10.0.0.1:6001/patroni");
    assert!(member(0).get("lag").is_none());
    assert_eq!(member(1)["role"], "replica");
    assert_eq!(member(1)["state"], "streaming");
    assert_eq!(member(1)["lag"], 4096);
    assert_eq!(member(1)["replay_lsn"], "0/4FFF000");
    assert_eq!(member(2)["role"], "quorum_standby");
    assert_eq!(member(2)["lag"], "unknown", "a member that is silent");
    assert_eq!(member(2)["state"], "running", "that it streams is not known");
}

#[tokio::test]
async fn a_replica_that_replays_nothing_is_shown() {
    let mut status = replica();
    status.stalled = true;
    let beat = status.members.get_mut(&name("n3")).and_then(|member| member.heard.as_mut());
    beat.unwrap().1.stalled = true;
    let bench = Bench::new(status);
    let body = bench.json("/cluster").await;
    assert_eq!(body["members"][1]["state"], "stalled");
    assert_eq!(body["members"][2]["state"], "stalled");
    assert_eq!(bench.json("/routes").await["replicas"], serde_json::json!([]));
}

#[tokio::test]
async fn the_settings_in_force() {
    let body = Bench::new(primary()).json("/config").await;
    assert!(body["durability"].is_null() && body["strict"] == false, "{body}");
    assert_eq!(body["timing"]["ttl"], 10_000);
}

#[tokio::test]
async fn the_history_names_what_was_left_and_who_came() {
    let mut bench = Bench::new(primary());
    let record = |fork| HistoryRecord {
        leader: name("n2"),
        timeline: Timeline(2),
        fork,
        reason: Reason::LeaderLost,
        at_unix_ms: 1_700_000_000_123,
        took_ms: 12,
        phases: Phases::default(),
        candidates: BTreeMap::new(),
    };
    let (fork, answer) = (Fork { timeline: Timeline(1), lsn: Lsn(0x300_0000) }, bench.router());
    let asking = tokio::spawn(async move {
        let request = Request::builder().uri("/history").body(Body::empty()).unwrap();
        let response = answer.oneshot(request).await.unwrap();
        axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap()
    });
    let Some(Call::History { reply }) = next(&mut bench.calls).await else { panic!("no history") };
    let chapter = |fork| Chapter { record: record(fork), discarded: Vec::new() };
    reply.send(Ok(vec![(Term(1), chapter(None)), (Term(2), chapter(Some(fork)))])).unwrap();
    let body: Value = serde_json::from_slice(&asking.await.unwrap()).unwrap();
    let row =
        json!([1, 0x300_0000, "the leader's lease ran out", "2023-11-14T22:13:20.123Z", "n2"]);
    assert_eq!(body, json!([row]));
}

#[tokio::test]
async fn routes_from_any_member_in_every_form() {
    for status in [primary(), replica()] {
        let bench = Bench::new(status);
        let body = bench.json("/routes").await;
        assert_eq!(body["term"], 7);
        assert_eq!(body["primary"]["member"], "n1");
        let readers: Vec<_> = body["replicas"].as_array().unwrap().iter().collect();
        assert_eq!(readers.iter().map(|one| &one["member"]).collect::<Vec<_>>(), ["n2", "n3"]);
        let body = bench.json("/routes/primary").await;
        assert_eq!(body, json!({"member": "n1", "host": "10.0.0.1", "port": 5001}));
        for (query, text) in [
            ("primary?format=hostport", "10.0.0.1:5001\n"),
            ("primary?format=dsn", "host=10.0.0.1 port=5001 target_session_attrs=read-write\n"),
            ("primary?format=uri", "postgresql://10.0.0.1:5001/?target_session_attrs=read-write\n"),
            ("read?format=hostport", "10.0.0.1:5002\n10.0.0.1:5003\n"),
            ("read?format=dsn", "host=10.0.0.1 port=5002\nhost=10.0.0.1 port=5003\n"),
            ("read?format=uri", "postgresql://10.0.0.1:5002/\npostgresql://10.0.0.1:5003/\n"),
        ] {
            let answer = bench.ask(Method::GET, &format!("/routes/{query}")).await;
            assert_eq!((answer.code, answer.body.as_str()), (200, text), "{query}");
        }
        let answer = bench.ask(Method::GET, "/routes/primary?format=xml").await;
        assert_eq!(answer.code, 400);
        assert_eq!(answer.error(), "parameter format: 'xml' is not hostport, dsn, uri or json");
    }
}

#[tokio::test]
async fn no_route_is_better_than_an_old_one() {
    let mut status = replica();
    status.store_heard_at = Some(clock::now().before(status.settings.timing.ttl));
    let answer = Bench::new(status).ask(Method::GET, "/routes/primary").await;
    assert_eq!(answer.code, 503);
    assert!(answer.error().contains("too long to say where the primary is"), "{}", answer.body);

    // Whoever let the leader go on without etcd knows where it is, for as long.
    let mut status = replica();
    status.store_heard_at = Some(clock::now().before(status.settings.timing.ttl));
    status.vouched = Some(clock::now().after(Millis(5_000)));
    assert_eq!(Bench::new(status.clone()).code("/routes/primary").await, 200);
    status.vouched = Some(clock::now());
    assert_eq!(Bench::new(status).code("/routes/primary").await, 503);

    // A primary that can prove that it leads needs no word of etcd for it.
    let mut status = primary();
    status.store_heard_at = Some(clock::now().before(status.settings.timing.ttl));
    assert_eq!(Bench::new(status.clone()).code("/routes/primary").await, 200);
    status.leadership = None;
    assert_eq!(Bench::new(status).code("/routes/primary").await, 503);

    let mut status = replica();
    status.leader = None;
    let bench = Bench::new(status);
    assert_eq!(bench.code("/routes/primary").await, 503);
    assert_eq!(bench.code("/routes/read").await, 200);
    assert_eq!(bench.code("/routes").await, 200);
}

#[tokio::test]
async fn the_verdict_says_who_would_lead_and_what_would_be_lost() {
    let body = Bench::new(primary()).json("/status").await;
    assert_eq!(body["health"], "degraded", "nobody is on a list: nobody could take over");
    assert_eq!(body["ails"], json!(["nobody could take over"]));
    assert_eq!(body["outlook"]["loss"], "unavailable");

    let line = Line::default();
    let mut status = replica();
    let all: BTreeMap<_, _> = ["n1", "n2", "n3"].map(|who| (name(who), Incarnation(1))).into();
    let mut sync = SyncRecord {
        version: 1,
        term: TERM,
        primary: name("n1"),
        line,
        durability: Durability::Quorum,
        voters: all.clone(),
        k: 1,
        members: all,
        standby: None,
    };
    status.sync = Some(sync.clone());
    let body = Bench::new(status.clone()).json("/status").await;
    assert_eq!(body["health"], "healthy", "{body}");
    assert_eq!(body["outlook"], json!({"successor": "n3", "host_ms": 1200, "loss": "nothing"}));

    // Before a slot loses WAL, whoever knows of it.
    let tight = vec![TightSlot { name: "haa_n4".to_owned(), left: 512 << 20 }];
    let mut holds = status.clone();
    let n1 = holds.members.get_mut(&name("n1")).unwrap().heard.as_mut().unwrap();
    n1.1.tight_slots = tight;
    let body = Bench::new(holds).json("/status").await;
    assert_eq!(body["health"], "degraded");
    let says = "the slot haa_n4 on n1 loses WAL when 512.0 MB more are written; haactl doctor says what to do";
    assert_eq!(body["ails"], json!([says]));

    let mut full = status.clone();
    full.postgres.as_mut().unwrap().room = haa_core::observe::Room::None;
    let body = Bench::new(full).json("/status").await;
    let me = status.me.to_string();
    assert_eq!(
        body["ails"],
        json!([format!("the disk of {me} is full: tables cannot grow there")])
    );

    sync.durability = Durability::Async;
    status.sync = Some(sync.clone());
    status.members.get_mut(&name("n3")).unwrap().heard = None;
    let body = Bench::new(status.clone()).json("/status").await;
    assert_eq!(body["health"], "degraded");
    assert_eq!(body["ails"], json!(["n3 is silent: its agent or its host is gone, or cut off"]));
    assert_eq!(body["outlook"]["loss"], json!({"bytes": 1024}), "n2 has received that much less");

    // Two grants are needed, and one voter is left.
    sync.durability = Durability::Quorum;
    status.sync = Some(sync);
    let body = Bench::new(status.clone()).json("/status").await;
    assert_eq!(body["outlook"]["successor"], Value::Null);

    // It has left the voters: one grant is enough, and then nobody else has a copy.
    let mut fewer = status.clone();
    fewer.members.remove(&name("n3"));
    fewer.sync.as_mut().unwrap().voters.remove(&name("n3"));
    let body = Bench::new(fewer.clone()).json("/status").await;
    assert_eq!(body["ails"], json!(["n3 is gone: its agent is not in etcd"]));
    let alone = json!({"successor": "n2", "host_ms": 11_200, "loss": "nothing"});
    assert_eq!(body["outlook"], alone, "it waits before it goes on alone");
    fewer.settings.strict = true;
    let body = Bench::new(fewer).json("/status").await;
    assert_eq!(body["outlook"]["host_ms"], Value::Null);

    status.leader = None;
    let body = Bench::new(status.clone()).json("/status").await;
    assert_eq!(
        (&body["health"], &body["ails"][0]),
        (&json!("down"), &json!("an election is under way"))
    );
    status.store_heard_at = None;
    assert_eq!(Bench::new(status).code("/status").await, 503);
}
