//! Commands at a time: what is written down, what cannot wait, and what is forgotten again.

use haa_core::parameters::Pending;
use haa_core::records::{Ask, RequestId, RequestRecord, RequestState};

use super::commands::post;
use super::*;

impl Bench {
    /// Sends a command that is to wait; what is written down.
    async fn planned(&mut self, path: &str, body: &str) -> Vec<(RequestId, RequestRecord)> {
        let (router, mut sent) = (self.router(), post(path, Some(TOKEN), body));
        if path == "/config" {
            *sent.method_mut() = Method::PATCH;
        }
        let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
        let Some(Call::Plan { plan, reply }) = next(&mut self.calls).await else {
            panic!("no plan")
        };
        let mut status = Status::clone(self.status.borrow().as_ref().unwrap());
        status.requests.extend(plan.clone());
        self.status.send_replace(Some(Arc::new(status)));
        reply.send(Ok(())).unwrap();
        let response = asking.await.unwrap();
        assert_eq!(response.status().as_u16(), 202);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let says = String::from_utf8_lossy(&bytes);
        assert!(says.contains(&format!("\"request\":\"{}\"", plan[0].0)), "{says}");
        plan
    }
}

#[tokio::test]
async fn what_is_to_begin_at_a_time_is_written_down() {
    let mut bench = Bench::new(primary());
    let body = r#"{"candidate": "n2", "scheduled_at": "+2h"}"#;
    let plan = bench.planned("/switchover", body).await;
    let (_, record) = &plan[0];
    assert_eq!(record.ask, Ask::Switchover { to: Some(name("n2")) });
    assert_eq!((&record.state, record.by.as_str()), (&RequestState::Scheduled, "alice"));
    let due = record.due.as_ref().unwrap();
    assert_eq!((due.until_unix_ms - due.at_unix_ms, due.from.as_ref()), (15 * 60_000, None));

    // Who names nobody means: away from the one that leads now.
    let plan = bench.planned("/switchover", r#"{"scheduled_at": "+2h"}"#).await;
    assert_eq!(plan[0].1.due.as_ref().unwrap().from, Some(name("n1")));

    // Whether there is one is seen then.
    let plan = bench.planned("/remove", r#"{"member": "n9", "scheduled_at": "+2h"}"#).await;
    assert_eq!(plan[0].1.ask, Ask::Remove { member: name("n9") });

    let plan = bench.planned("/config", r#"{"pause": true, "scheduled_at": "+2h"}"#).await;
    let said = plan[0].1.ask.sentence();
    assert_eq!(said, "set pause = true (was false)");

    let body = r#"{"member": "n3", "scheduled_at": "+2h"}"#;
    let plan = bench.planned("/reload", body).await;
    assert_eq!(plan[0].1.ask, Ask::Reload { member: name("n3") });

    let body = r#"{"k": 2, "strict": null, "scheduled_at": "+2h"}"#;
    let plan = bench.planned("/config", body).await;
    let said = plan[0].1.ask.sentence();
    assert_eq!(said, "set k = 2 (was not said), strict = false (was false)");
    let due = plan[0].1.due.as_ref().unwrap();
    assert_eq!(due.until_unix_ms - due.at_unix_ms, 15 * 60_000);

    let body = r#"{"everybody": true, "schedule": "+3h"}"#;
    let plan = bench.planned("/restart", body).await;
    let said: Vec<String> = plan.iter().map(|(_, record)| record.ask.sentence()).collect();
    let last = said.last().map(String::as_str);
    assert_eq!(last, Some("switchover to the best replica"));
    assert_eq!(said[0], "restart n1, one after the other");
    for pair in plan.windows(2) {
        let (before, after) = (pair[0].1.due.as_ref().unwrap(), pair[1].1.due.as_ref().unwrap());
        assert_eq!(after.after.as_ref(), Some(&pair[0].0));
        assert_eq!(before.at_unix_ms, after.at_unix_ms);
        assert!(before.until_unix_ms < after.until_unix_ms, "a later one has longer");
    }
    let waiting = bench.ask(Method::GET, "/patroni").await;
    assert!(waiting.body.contains("\"scheduled_restart\":{\"schedule\":\"20"), "{}", waiting.body);
    let next = bench.ask(Method::GET, "/cluster").await;
    assert!(next.body.contains("\"scheduled_switchover\":{\"at\":\"20"), "{}", next.body);
}

#[tokio::test]
async fn what_cannot_wait_is_refused_at_once() {
    let mut bench = Bench::new(primary());
    for (path, body, code, says) in [
        ("/switchover", r#"{"scheduled_at": "2020-01-01T00:00:00Z"}"#, 422, "is over"),
        ("/switchover", r#"{"candidate": "n9", "scheduled_at": "+2h"}"#, 400, "no member 'n9'"),
        ("/switchover", r#"{"leader": "n2", "scheduled_at": "+2h"}"#, 412, "n2 does not lead"),
        ("/switchover", r#"{"leader": "n1", "candidate": "n1"}"#, 412, "n1 leads"),
        ("/drain", r#"{"member": "n2", "scheduled_at": "soon"}"#, 422, "'soon' is no time"),
        ("/failover", r#"{"candidate": "n2", "scheduled_at": "+2h"}"#, 400, "unknown field"),
        ("/restart", r#"{"everybody": true}"#, 400, "with a schedule and without a member"),
        ("/reload", r#"{"member": "n9", "scheduled_at": "+2h"}"#, 400, "no member 'n9'"),
        ("/reload", r#"{"member": "n2"}"#, 400, "each is asked itself, and this is n1"),
        ("/promote-cluster", r#"{"scheduled_at": "+2h"}"#, 400, "both would accept writes"),
        ("/demote-cluster", r#"{"scheduled_at": "+2h"}"#, 400, "nobody would accept writes"),
    ] {
        let answer = bench.send(post(path, Some(TOKEN), body)).await;
        assert_eq!(answer.code, code, "{path} {body}: {}", answer.body);
        assert!(answer.error().contains(says), "{}", answer.body);
    }
    let site = Site { hosts: vec![address(7001)], slot: None };
    let follows = Some(Follows { site, until: None, dry_since: None });
    let mut standby = Bench::new(Status { follows, ..primary() });
    for (path, body, says) in [
        (
            "/restart",
            r#"{"everybody": true, "schedule": "+3h"}"#,
            "everybody: in a standby cluster",
        ),
        ("/reinitialize", r#"{"member": "n2", "from": "n3"}"#, "from: in a standby cluster"),
        (
            "/reinitialize",
            r#"{"member": "n2", "from": "n3", "scheduled_at": "+2h"}"#,
            "from: in a standby cluster",
        ),
        ("/reinitialize", r#"{"member": "n2", "from": "n2"}"#, "from: n2 cannot be cloned"),
    ] {
        let answer = standby.send(post(path, Some(TOKEN), body)).await;
        assert_eq!(answer.code, 412, "{path} {body}: {}", answer.body);
        assert!(answer.error().contains(says), "{}", answer.body);
    }
    assert!(is_quiet(&mut standby.calls), "nothing was passed on");
    for (method, body, says) in [
        (Method::PATCH, r#"{"pause": 1, "scheduled_at": "+2h"}"#, "pause true or false"),
        (Method::PATCH, r#"{"k": 0, "scheduled_at": "+2h"}"#, "0 copies are none"),
        (Method::PATCH, r#"{"scheduled_at": "+2h"}"#, "settings that are to be others"),
        (Method::PATCH, r#"{"k": 2, "scheduled_at": 7}"#, "a time in a text"),
        (Method::PUT, r#"{"kk": 2, "scheduled_at": "+2h"}"#, "did you mean k?"),
    ] {
        let mut sent = post("/config", Some(TOKEN), body);
        *sent.method_mut() = method;
        let answer = bench.send(sent).await;
        assert_eq!(answer.code, 400, "{body}: {}", answer.body);
        assert!(answer.error().contains(says), "{}", answer.body);
    }
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");
}

#[tokio::test]
async fn all_are_restarted_at_a_time_only_where_that_order_is_right() {
    let body = r#"{"everybody": true, "schedule": "+3h"}"#;
    let pending = |name: &str, running: &str, written: &str| {
        let written = Some(written.to_owned());
        vec![Pending { name: name.to_owned(), running: running.to_owned(), written }]
    };
    for (pending, refused) in [
        (pending("max_connections", "120", "100"), true),
        (pending("max_connections", "100", "120"), false),
        (pending("shared_buffers", "120", "100"), false),
    ] {
        let (mut at_primary, mut at_replica) = (primary(), replica());
        at_primary.postgres.as_mut().unwrap().parameters.pending = pending.clone();
        let n1 = at_replica.members.get_mut(&name("n1")).unwrap();
        n1.heard.as_mut().unwrap().1.parameters.pending = pending.clone();
        for status in [at_primary, at_replica] {
            let mut bench = Bench::new(status);
            if !refused {
                assert!(!bench.planned("/restart", body).await.is_empty());
                continue;
            }
            let answer = bench.send(post("/restart", Some(TOKEN), body)).await;
            assert_eq!(answer.code, 412, "{}", answer.body);
            let says = "everybody: max_connections is to be lower, which begins with the primary";
            assert!(answer.error().contains(says), "{}", answer.body);
            assert!(is_quiet(&mut bench.calls), "nothing was passed on");
        }
    }
}

#[tokio::test]
async fn what_waits_is_forgotten_as_todays_tools_do() {
    let mut bench = Bench::new(primary());
    let forget = |path: &str| {
        let mut request = post(path, Some(TOKEN), "");
        *request.method_mut() = Method::DELETE;
        request
    };
    for (path, body) in
        [("/switchover", r#"{"scheduled_at": "+2h"}"#), ("/restart", r#"{"schedule": "+2h"}"#)]
    {
        let answer = bench.send(forget(path)).await;
        assert_eq!(answer.code, 404, "{}", answer.body);
        let plan = bench.planned(path, body).await;
        let (router, sent) = (bench.router(), forget(path));
        let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
        let Some(Call::Withdraw { id, reply, .. }) = next(&mut bench.calls).await else {
            panic!("it was not to be taken back")
        };
        assert_eq!(id, plan[0].0);
        reply.send(Ok(true)).unwrap();
        assert_eq!(asking.await.unwrap().status().as_u16(), 200);
    }
}
