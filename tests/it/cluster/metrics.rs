//! Metrics of three real members across a failover: what they count is what happened.

use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};
use crate::support::exposition::Page;

impl Cluster {
    async fn scrape(&self, member: &MemberName) -> Page {
        let answer = self.playground.http_get(member, "/metrics").await;
        let (code, text) = answer.expect("the agent answers");
        assert_eq!(code, 200, "{text}");
        // The playground trims what it got.
        Page::parse(&(text + "\n"))
    }

    /// Scrapes until it is so.
    pub(super) async fn shows(
        &self,
        member: &MemberName,
        what: &str,
        so: impl Fn(&Page) -> bool,
    ) -> Page {
        let began = Instant::now();
        loop {
            let page = self.scrape(member).await;
            if so(&page) {
                return page;
            }
            assert!(began.elapsed() < LONG, "{member} does not show that {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_are_scraped_across_a_failover() {
    let mut cluster = Cluster::start().await;
    cluster.all_vote().await;
    let old = cluster.primary().await;
    let votes = |page: &Page| page.get("patroni_quorum_standby", &[]) == Some(1.0);
    for member in cluster.playground.names() {
        let page = cluster.scrape(&member).await;
        let leads = f64::from(u8::from(member == old));
        assert_eq!(page.get("patroni_primary", &[]), Some(leads));
        assert_eq!(page.get("patroni_replica", &[]), Some(1.0 - leads));
        assert_eq!(page.get("haa_leadership", &[]), Some(leads));
        assert_eq!(page.get("haa_term", &[]), Some(1.0));
        assert_eq!(page.get("haa_guard_present", &[]), Some(1.0));
        assert_eq!(page.all("haa_guard_deadline_seconds").count(), usize::from(member == old));
        assert_eq!(page.get("haa_leaderships_total", &[]).unwrap_or(0.0), leads);
        assert!(page.get("haa_lease_renewals_total", &[("outcome", "renewed")]) > Some(0.0));
        assert!(page.all("haa_etcd_request_duration_seconds_count").all(|(_, count)| count > 0.0));
        for other in cluster.playground.names().iter().filter(|other| **other != member) {
            let of = [("member", other.as_str())];
            let heard = |page: &Page| page.get("haa_member_heard", &of) == Some(1.0);
            cluster.shows(&member, &format!("it hears {other}"), heard).await;
        }
        if member != old {
            cluster.shows(&member, "it votes", votes).await;
        }
    }

    let timeline = cluster.scrape(&old).await.get("patroni_postgres_timeline", &[]);
    assert!(timeline.is_some());

    cluster.playground.kill(&old, Part::Host).expect("it was running");
    cluster.write_until_acknowledged(1).await;
    let new = cluster.primary().await;
    let told = |page: &Page| page.all("haa_leaderships_total").count() == 1;
    let page = cluster.shows(&new, "it took over", told).await;
    let (labels, led) = page.all("haa_leaderships_total").next().expect("it is there");
    println!("{new} took over: {labels:?}");
    assert_eq!(led, 1.0);
    for phase in ["noticed", "stood", "granted", "elected", "promoted", "open"] {
        let count = page.get("haa_leadership_phase_seconds_count", &[("phase", phase)]);
        assert_eq!(count, Some(1.0), "{phase}");
    }
    let promoted = page.get("haa_jobs_total", &[("job", "promote"), ("result", "done")]);
    assert_eq!(promoted, Some(1.0));
    assert!(page.get("patroni_postgres_timeline", &[]) > timeline);
    let silent = |page: &Page| {
        page.get("haa_member_heard", &[("member", old.as_str())]) == Some(0.0)
            && page.all("haa_replica_streaming").count() == 1
    };
    cluster.shows(&new, "the old primary is silent", silent).await;

    cluster.playground.start_member(&old).expect("it can be started");
    cluster.playground.wait_member_streams(&old, LONG).await.expect("it rejoins");
    let back = |page: &Page| {
        let of = |name| page.get(name, &[("member", old.as_str())]);
        of("haa_replica_streaming") == Some(1.0) && of("haa_replica_replay_lag_bytes") == Some(0.0)
    };
    cluster.shows(&new, "the old primary is back", back).await;
}
