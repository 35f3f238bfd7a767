//! The whole table of health checks, for every kind of member.

use haa_core::line::Line;
use haa_core::records::SyncRecord;
use haa_core::settings::Durability;
use haa_core::units::Incarnation;

use super::*;

/// Paths, and the code for: a primary, a replica, a stopped member.
const TABLE: [(&str, [u16; 3]); 19] = [
    ("/", [200, 503, 503]),
    ("/primary", [200, 503, 503]),
    ("/master", [200, 503, 503]),
    ("/read-write", [200, 503, 503]),
    ("/leader", [200, 503, 503]),
    ("/standby-leader", [503, 503, 503]),
    ("/standby_leader", [503, 503, 503]),
    ("/replica", [503, 200, 503]),
    ("/read-only", [200, 200, 503]),
    ("/sync", [503, 503, 503]),
    ("/synchronous", [503, 503, 503]),
    ("/quorum", [503, 503, 503]),
    ("/async", [503, 200, 503]),
    ("/asynchronous", [503, 200, 503]),
    ("/read-only-sync", [200, 503, 503]),
    ("/read-only-quorum", [200, 503, 503]),
    ("/health", [200, 200, 503]),
    ("/liveness", [200, 200, 200]),
    ("/readiness", [200, 200, 503]),
];

#[tokio::test]
async fn every_check_for_every_kind_of_member() {
    for (path, _) in crate::api::checks::PATHS {
        assert!(TABLE.iter().any(|(tried, _)| tried == path), "{path} is not in the table");
    }
    for (kind, status) in [primary(), replica(), stopped()].into_iter().enumerate() {
        let bench = Bench::new(status);
        for (path, codes) in TABLE {
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                let answer = bench.ask(method.clone(), path).await;
                assert_eq!(answer.code, codes[kind], "{method} {path} of member {kind}");
                assert_eq!(answer.body.is_empty(), method == Method::HEAD, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_leadership_that_ends_between_publishing_and_answering_is_no_leadership() {
    let mut status = primary();
    let proof = leadership(Millis(30));
    status.leadership = Some(proof);
    let bench = Bench::new(status);
    assert_eq!(bench.code("/primary").await, 200);
    while clock::now() < proof.until() {
        tokio::task::yield_now().await;
    }
    for path in ["/primary", "/leader", "/read-only", "/readiness"] {
        assert_eq!(bench.code(path).await, 503, "{path}");
    }
    let body = bench.json("/primary").await;
    assert_eq!(body["haa"]["why"], "this member's leadership has run out");
    assert!(bench.json("/routes").await["primary"].is_null());
    assert_eq!(bench.code("/routes/primary").await, 503);
}

#[tokio::test]
async fn a_leader_in_recovery_is_no_primary() {
    let mut status = replica();
    status.leadership = Some(leadership(Millis(5_000)));
    let bench = Bench::new(status);
    assert_eq!(bench.code("/leader").await, 200);
    assert_eq!(bench.code("/primary").await, 503);
}

#[tokio::test]
async fn a_postgres_out_of_recovery_without_a_leadership_is_no_primary() {
    let mut status = primary();
    status.leadership = None;
    let bench = Bench::new(status);
    assert_eq!(bench.code("/primary").await, 503);
    assert_eq!(bench.code("/replica").await, 503);
    assert_eq!(bench.json("/primary").await["haa"]["why"], "this member does not lead");
}

#[tokio::test]
async fn a_loop_that_stands_still_answers_nothing_with_200() {
    for status in [primary(), replica()] {
        let bench = Bench::new(status);
        bench.alive_at.send_replace(clock::now().before(Settings::default().timing.ttl));
        for (path, _) in TABLE {
            assert_eq!(bench.code(path).await, 503, "{path}");
        }
        assert_eq!(bench.code("/routes").await, 503);
    }
}

/// n2 has voted with other data, and is to vote again.
#[tokio::test]
async fn a_replica_that_is_to_vote_is_read_when_it_does() {
    let voters = |voters: &str| {
        let mut status = replica();
        status.record.incarnation = Some(Incarnation(7));
        let sync = format!(
            r#"{{"version": 4, "term": 3, "primary": "n1", "line": {{"timeline": 3, "forks": []}},
                "durability": "quorum", "voters": {voters}, "k": 1, "members": {{}}}}"#
        );
        status.sync = Some(serde_json::from_str(&sync).unwrap());
        status
    };
    let bench = Bench::new(voters(r#"{"n1": 1, "n2": 2, "n3": 3}"#));
    for path in ["/replica", "/read-only", "/sync"] {
        assert_eq!(bench.code(path).await, 503, "{path}");
    }
    let why = &bench.json("/replica").await["haa"]["why"];
    assert_eq!(why, "this replica is no voter yet: what it shows may be lost in a failover");
    assert_eq!(bench.code("/async").await, 200, "who asks for any copy has it");
    assert_eq!(bench.code("/routes/read").await, 503);

    let mut tagged = voters(r#"{"n1": 1, "n3": 3}"#);
    tagged.record.tags.nofailover = true;
    let mut silent = voters(r#"{"n1": 1, "n3": 3}"#);
    silent.record.tags.nosync = true;
    let alone = voters(r#"{"n1": 1}"#);
    for status in [tagged, silent, alone, voters(r#"{"n1": 1, "n2": 7}"#)] {
        assert_eq!(Bench::new(status).code("/replica").await, 200);
    }
}

#[tokio::test]
async fn replicas_meet_demands() {
    let bench = Bench::new(replica());
    for (query, code) in [
        ("lag=4096", 200),
        ("lag=4095", 503),
        ("lag=16kB", 200),
        ("lag=1MB&replication_state=streaming", 200),
        ("tag_zone=a", 503),
        ("tag_nofailover=false", 200),
        ("tag_nosync=true", 503),
        ("lag=", 400),
        ("lag=-1", 400),
        ("lag=many", 400),
        ("replication_state=archive", 400),
        ("lagg=1MB", 400),
        ("tag_=x", 400),
    ] {
        assert_eq!(bench.code(&format!("/replica?{query}")).await, code, "{query}");
        assert_eq!(bench.code(&format!("/read-only?{query}")).await, code, "{query}");
    }
    assert_eq!(bench.code("/primary?_=123").await, 503, "a check without parameters ignores them");
    let answer = bench.ask(Method::GET, "/replica?lag=many").await;
    assert_eq!(
        answer.error(),
        "parameter lag: 'many' is not bytes, a size such as 16kB or 10MB, or a time such as 2s"
    );

    let mut status = replica();
    status.record.tags.free.insert("zone".to_owned(), "a".to_owned());
    let bench = Bench::new(status);
    assert_eq!(bench.code("/replica?tag_zone=a").await, 200);
    assert_eq!(bench.code("/replica?tag_zone=b").await, 503);
}

#[tokio::test]
async fn a_replica_that_is_not_to_be_read_from_says_so() {
    let mut status = replica();
    status.record.tags.noloadbalance = true;
    let bench = Bench::new(status);
    assert_eq!(bench.code("/replica").await, 503);
    assert_eq!(bench.code("/health").await, 200);
    assert_eq!(bench.code("/readiness").await, 200);
}

#[tokio::test]
async fn a_replica_that_replays_nothing_is_not_read_from() {
    let mut status = replica();
    status.stalled = true;
    let bench = Bench::new(status);
    assert_eq!(bench.code("/replica").await, 503);
    assert_eq!(bench.code("/read-only").await, 503);
    assert_eq!(bench.code("/health").await, 200);
}

#[tokio::test]
async fn a_replica_that_lets_nobody_in_is_not_read_from() {
    let mut status = replica();
    let Some(Server::Standby(standby)) = status.postgres.as_mut().map(|facts| &mut facts.server)
    else {
        panic!("n2 is a standby")
    };
    standby.door = Some(Door::Shut);
    let bench = Bench::new(status);
    assert_eq!(bench.code("/replica").await, 503);
    assert_eq!(bench.code("/replica?min_lsn=0/0").await, 503);
    assert_eq!(bench.code("/read-only").await, 503);
    assert_eq!(bench.code("/health").await, 200);
}

#[tokio::test]
async fn readiness_measures_what_was_asked() {
    let bench = Bench::new(replica());
    assert_eq!(bench.code("/readiness?lag=2048").await, 503);
    assert_eq!(bench.code("/readiness?lag=2048&mode=apply").await, 503);
    assert_eq!(bench.code("/readiness?lag=2048&mode=write").await, 200);
    assert_eq!(bench.code("/readiness?mode=read").await, 400);
    let mut status = replica();
    status.primary_position = None;
    assert_eq!(Bench::new(status).code("/readiness").await, 503, "an unknown lag is not small");
}

#[tokio::test]
async fn voters_are_synchronous_and_others_are_not() {
    let mut status = replica();
    let voter = BTreeMap::from([(name("n1"), Incarnation(1)), (name("n2"), Incarnation(1))]);
    status.sync = Some(SyncRecord {
        version: 1,
        term: TERM,
        primary: name("n1"),
        line: Line::default(),
        durability: Durability::Quorum,
        voters: voter,
        k: 1,
        members: BTreeMap::new(),
        standby: None,
    });
    let bench = Bench::new(status.clone());
    assert_eq!(bench.code("/sync").await, 200);
    assert_eq!(bench.code("/read-only-sync").await, 200);
    assert_eq!(bench.code("/async").await, 503);
    status.sync.as_mut().unwrap().voters.remove(&name("n2"));
    let bench = Bench::new(status);
    assert_eq!(bench.code("/sync").await, 503);
    assert_eq!(bench.code("/async").await, 200);
}

#[tokio::test]
async fn a_mistyped_path_is_404_whatever_the_peers_answer() {
    let bench = Bench::new(primary());
    for path in ["/primry", "/primary/", "/PRIMARY", "/routes/", "/haa.v1.Peers/Nothing"] {
        let answer = bench.ask(Method::GET, path).await;
        assert_eq!(answer.code, 404, "{path}");
        assert!(answer.error().starts_with(&format!("there is no {path}")), "{}", answer.body);
    }
    assert_eq!(bench.ask(Method::POST, "/primary").await.code, 405);
    assert_eq!(bench.ask(Method::GET, "/switchover").await.code, 405);
    let answer = bench.ask(Method::DELETE, "/failover").await;
    assert_eq!(answer.error(), "/failover does not take DELETE: docs/api.md lists every path");
}

#[tokio::test]
async fn before_anything_is_known_nothing_passes() {
    let bench = Bench::new(primary());
    bench.status.send_replace(None);
    for (path, _) in TABLE {
        if path != "/liveness" {
            assert_eq!(bench.code(path).await, 503, "{path}");
        }
    }
    for path in ["/patroni", "/cluster", "/routes", "/routes/primary"] {
        assert_eq!(bench.code(path).await, 503, "{path}");
    }
    assert_eq!(bench.code("/liveness").await, 200, "the loop turns all the same");
}
