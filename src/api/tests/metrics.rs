//! The page of metrics, read as strictly as a scraper could.

use haa_core::records::{ClusterRecord, SyncRecord};

use super::*;
use crate::guard::Standing;
use crate::router::Counters;

#[path = "../../../tests/it/support/exposition.rs"]
mod exposition;
use exposition::Page;

impl Bench {
    async fn scrape(&self) -> Page {
        let answer = self.ask(Method::GET, "/metrics").await;
        assert_eq!(answer.code, 200);
        Page::parse(&answer.body)
    }
}

fn sync(k: u32) -> SyncRecord {
    let text = format!(
        r#"{{"version": 4, "term": 7, "primary": "n1", "line": {{"timeline": 3, "forks": []}},
        "durability": "quorum", "voters": {{"n1": 1, "n2": 2, "n3": 3}}, "k": {k},
        "members": {{"n1": 1, "n2": 2, "n3": 3, "n4": 4}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_primarys_metrics() {
    let mut status = primary();
    status.sync = Some(sync(1));
    let n2 = status.members.get_mut(&name("n2")).and_then(|member| member.heard.as_mut());
    n2.unwrap().1.replayed = Some(Lsn(0x500_0000 - 512));
    status.members.get_mut(&name("n3")).unwrap().heard = None;
    let mut bench = Bench::new(status);
    let (_stands, standing) = watch::channel(Standing::Until(clock::now().after(Millis(9_000))));
    bench.api.guard = Some(standing);
    bench.api.router = Some(Arc::new(Counters::default()));
    let page = bench.scrape().await;
    let number = |name: &str| page.get(name, &[("scope", "main"), ("name", "n1")]);
    assert_eq!(number("patroni_primary"), Some(1.0));
    assert_eq!(number("patroni_replica"), Some(0.0));
    assert_eq!(number("patroni_postgres_running"), Some(1.0));
    assert_eq!(number("patroni_postgres_timeline"), Some(3.0));
    assert_eq!(number("patroni_postgres_server_version"), Some(150_004.0));
    assert_eq!(number("patroni_postmaster_start_time"), Some(1_700_000_000.123));
    assert_eq!(number("patroni_xlog_location"), Some(83_886_080.0));
    assert_eq!(number("patroni_xlog_replayed_location"), None, "it replays nothing");
    assert_eq!(number("patroni_cluster_unlocked"), Some(0.0));
    assert_eq!(number("patroni_is_paused"), None, "the cluster's settings were not read yet");
    assert_eq!(page.get("haa_role", &[("role", "primary")]), Some(1.0));
    assert_eq!(number("haa_term"), Some(7.0));
    assert_eq!(number("haa_leadership"), Some(1.0));
    assert!((0.1..5.1).contains(&number("haa_leadership_left_seconds").unwrap()));
    assert!((0.1..9.1).contains(&number("haa_guard_deadline_seconds").unwrap()));
    assert_eq!(number("haa_guard_present"), Some(1.0));
    assert_eq!(page.get("haa_durability", &[("durability", "quorum")]), Some(1.0));
    assert_eq!((number("haa_voters"), number("haa_commit_replicas")), (Some(3.0), Some(1.0)));
    assert_eq!(number("haa_alone"), Some(0.0));
    let of = |metric: &str, member: &str| page.get(metric, &[("member", member)]);
    assert_eq!(of("haa_replica_replay_lag_bytes", "n2"), Some(512.0));
    assert_eq!(of("haa_replica_flush_lag_bytes", "n2"), Some(0.0));
    assert_eq!(of("haa_replica_streaming", "n2"), Some(1.0));
    assert_eq!(of("haa_replica_streaming", "n3"), None, "nothing is known of who is silent");
    assert_eq!(of("haa_replica_streaming", "n1"), None, "it leads");
    assert_eq!(of("haa_member_heard", "n2"), Some(1.0));
    assert_eq!(of("haa_member_heard", "n3"), Some(0.0));
    assert_eq!(of("haa_member_heard", "n4"), Some(0.0), "it is on a list, and gone from etcd");
    assert_eq!(page.get("haa_cluster_health", &[("health", "degraded")]), Some(1.0));
    assert_eq!(page.get("haa_router_held", &[("port", "read_only")]), Some(0.0));
    assert_eq!(page.get("haa_router_cut_total", &[("port", "read_write")]), Some(0.0));
}

#[tokio::test]
async fn a_replicas_metrics() {
    let mut status = replica();
    status.sync = Some(sync(0));
    status.stalled = true;
    status.postgres.as_mut().unwrap().room = haa_core::observe::Room::None;
    status.cluster = Some(ClusterRecord { creator: name("n1"), system_id: None });
    status.settings.pause = true;
    let page = Bench::new(status).scrape().await;
    let number = |name: &str| page.get(name, &[]);
    assert_eq!(number("patroni_primary"), Some(0.0));
    assert_eq!(number("patroni_replica"), Some(1.0));
    assert_eq!(number("patroni_postgres_streaming"), Some(1.0));
    assert_eq!(number("patroni_quorum_standby"), Some(1.0));
    assert_eq!(number("patroni_xlog_location"), None);
    assert_eq!(number("patroni_xlog_replayed_location"), Some(83_881_984.0));
    assert_eq!(number("patroni_is_paused"), Some(1.0));
    assert_eq!(number("haa_leadership"), Some(0.0));
    assert_eq!(number("haa_leadership_left_seconds"), None);
    assert_eq!(number("haa_guard_present"), None, "no guard is wanted here");
    assert_eq!(number("haa_alone"), Some(1.0));
    assert_eq!(number("haa_takeover_possible"), Some(0.0));
    assert_eq!(number("haa_takeover_loss_bytes"), None, "what it would cost is not known");
    assert_eq!(page.get("haa_replica_replay_lag_bytes", &[("member", "n2")]), Some(4096.0));
    assert_eq!(page.get("haa_replica_stalled", &[("member", "n2")]), Some(1.0));
    assert_eq!(page.get("haa_disk_full", &[("member", "n2")]), Some(1.0));
    assert_eq!(page.get("haa_disk_full", &[("member", "n1")]), Some(0.0));
    assert_eq!(number("haa_router_clients"), None, "there is no router here");
}

#[tokio::test]
async fn what_is_not_known_is_left_out() {
    let bench = Bench::new(primary());
    bench.alive_at.send_replace(clock::now().before(Millis(60_000)));
    let asleep = bench.scrape().await;
    assert!(asleep.get("haa_loop_turn_age_seconds", &[]).unwrap() >= 60.0);
    bench.alive_at.send_replace(clock::now());
    bench.status.send_replace(None);
    let young = bench.scrape().await;
    for page in [asleep, young] {
        for name in ["patroni_primary", "patroni_postgres_running", "haa_term", "haa_role"] {
            assert_eq!(page.all(name).count(), 0, "{name}");
        }
        assert_eq!(page.all("patroni_version").count(), 1);
    }

    let mut status = replica();
    status.postgres = None;
    status.sync = None;
    status.store_heard_at = None;
    let page = Bench::new(status).scrape().await;
    for name in ["patroni_replica", "patroni_dcs_last_seen", "haa_durability", "haa_voters"] {
        assert_eq!(page.all(name).count(), 0, "{name}");
    }
    assert_eq!(page.get("haa_cluster_health", &[("health", "unknown")]), Some(1.0));
    assert_eq!(page.get("haa_replica_streaming", &[("member", "n2")]), None);

    let mut status = replica();
    status.store_heard_at = Some(clock::now().before(status.settings.timing.ttl));
    let page = Bench::new(status).scrape().await;
    assert_eq!(page.all("patroni_cluster_unlocked").count(), 0, "that was long ago");
    assert_eq!(page.all("patroni_dcs_last_seen").count(), 1);

    let page = Bench::new(stopped()).scrape().await;
    assert_eq!(page.get("patroni_postgres_running", &[]), Some(0.0));
    assert_eq!(page.all("patroni_replica").count(), 0, "in recovery or not: nobody can tell");
}

#[tokio::test]
async fn answers_are_counted_by_path_and_code() {
    let bench = Bench::new(primary());
    for path in ["/replica", "/replica", "/primary", "/prmary", "/other", "/replica?lag=x"] {
        bench.code(path).await;
    }
    let page = bench.scrape().await;
    let answers = |path: &str, code: &str| {
        page.get("haa_http_answers_total", &[("path", path), ("code", code)])
    };
    assert_eq!(answers("/replica", "503"), Some(2.0));
    assert_eq!(answers("/replica", "400"), Some(1.0));
    assert_eq!(answers("/primary", "200"), Some(1.0));
    assert_eq!(answers("/metrics", "200"), None, "it is counted when it is answered");
    let others: f64 = page.all("haa_http_answers_total").map(|(_, answers)| answers).sum();
    assert_eq!(others, 6.0, "what is mistyped makes no series of its own");
}
