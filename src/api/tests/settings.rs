//! `/config`: what is written, what is refused, and when it is answered.

use haa_core::records::{Altered, Ask, RequestState};

use super::*;
use crate::api::Undone;
use crate::api::settings::{Whose, unfinished};

fn send(method: Method, token: Option<&str>, tag: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri("/config");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

impl Bench {
    /// What the agent asked the store to write, answered with `written`.
    async fn change(&mut self, written: bool) -> (Revision, Settings, Ask) {
        let Some(Call::Change { since, settings, event: (_, event), reply }) =
            next(&mut self.calls).await
        else {
            panic!("no change");
        };
        reply.send(Ok(written)).unwrap();
        assert_eq!(event.by, "alice");
        assert!(matches!(event.state, RequestState::Done { .. }));
        (since, *settings, event.ask)
    }

    /// The members go by these settings.
    fn goes_by(&self, settings: &Settings, revision: Revision, members: &[&str]) {
        let mut status = Status::clone(self.status.borrow().as_ref().unwrap());
        status.settings = settings.clone();
        status.settings_revision = revision;
        status.postgres.as_mut().unwrap().parameters.taken = revision;
        for member in members {
            let member = status.members.get_mut(&name(member)).unwrap();
            if let Some((_, beat)) = &mut member.heard {
                beat.settings = revision;
                beat.parameters.taken = revision;
            }
        }
        self.status.send_replace(Some(Arc::new(status)));
    }
}

#[tokio::test]
async fn a_change_is_answered_when_every_member_goes_by_it() {
    let mut bench = Bench::new(primary());
    let sent = send(Method::PATCH, Some(TOKEN), Some("\"7\""), r#"{"k": 2}"#);
    let router = bench.router();
    let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
    let (since, settings, ask) = bench.change(true).await;
    assert_eq!((since, settings.k), (Revision(7), Some(2)));
    assert_eq!(ask.sentence(), "set k = 2 (was not said)");
    bench.goes_by(&settings, Revision(8), &["n2"]);
    tokio::task::yield_now().await;
    assert!(!asking.is_finished(), "n3 does not go by it yet");
    bench.goes_by(&settings, Revision(8), &["n2", "n3"]);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["etag"], "\"8\"");
}

/// Whoever asks again until the answer is 200 is not told so too early.
#[tokio::test]
async fn what_is_so_already_is_answered_when_every_member_goes_by_it() {
    let pauses = r#"{"pause": true}"#;
    let parameters = r#"{"pause": true, "postgresql": {"parameters": {"WORK_MEM": "64MB"}}}"#;
    let none = r#"{"pause": true, "postgres": {"parameters": {}}}"#;
    for (body, waits_for_postgres) in [(pauses, false), (none, false), (parameters, true)] {
        let mut bench = Bench::new(primary());
        let mut settings = Settings { pause: true, ..Settings::default() };
        settings.postgres.parameters.insert("work_mem".to_owned(), "64MB".to_owned());
        bench.goes_by(&settings, Revision(8), &["n2"]);
        let router = bench.router();
        let sent = send(Method::PATCH, Some(TOKEN), None, body);
        let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
        let others_run = async || {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        };
        others_run().await;
        assert!(!asking.is_finished(), "{body}: n3 does not go by it yet");
        bench.goes_by(&settings, Revision(8), &["n2", "n3"]);
        let mut status = Status::clone(bench.status.borrow().as_ref().unwrap());
        let n3 = status.members.get_mut(&name("n3")).and_then(|member| member.heard.as_mut());
        n3.unwrap().1.parameters.taken = Revision(7);
        bench.status.send_replace(Some(Arc::new(status)));
        others_run().await;
        assert_eq!(!asking.is_finished(), waits_for_postgres, "{body}");
        bench.goes_by(&settings, Revision(8), &["n2", "n3"]);
        let answer = asking.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{body}");
        assert_eq!(answer.headers()["etag"], "\"8\"");
        assert!(is_quiet(&mut bench.calls), "nothing was passed on");
    }
}

#[test]
fn who_does_not_go_by_it_is_named() {
    let bench = Bench::new(primary());
    bench.goes_by(&Settings::default(), Revision(8), &["n2"]);
    let status = bench.status.borrow().clone().unwrap();
    let says = unfinished(&status, Whose::Agents);
    assert_eq!(says, "written; not known to go by them yet: n3");
    let mut status = Status::clone(&status);
    let beat = status.members.get_mut(&name("n2")).and_then(|member| member.heard.as_mut());
    let parameters = &mut beat.unwrap().1.parameters;
    parameters.taken = Revision(7);
    parameters.objection = Some("line 3 is odd".to_owned());
    assert_eq!(unfinished(&status, Whose::Agents), says, "agents alone");
    let says = unfinished(&status, Whose::Postgres);
    assert_eq!(says, "written; not known to go by them yet: n2 (its Postgres: line 3 is odd), n3");
}

#[tokio::test]
async fn parameters_are_vetted_before_they_are_written() {
    let mut bench = Bench::new(primary());
    let body = r#"{"postgres": {"parameters": {"work_mem": "64XB"}}}"#;
    for (vetted, code, says) in [
        (Ok(vec!["64XB is odd".to_owned()]), 400, "64XB is odd"),
        (Err("it is down".to_owned()), 503, "nothing was written: it is down; ask another member"),
    ] {
        let sent = send(Method::PATCH, Some(TOKEN), None, body);
        let router = bench.router();
        let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
        let Some(Call::Vet { wanted, reply, .. }) = next(&mut bench.calls).await else {
            panic!("it is not vetted");
        };
        assert_eq!(wanted["work_mem"], "64XB");
        reply.send(vetted).unwrap();
        let answer = asking.await.unwrap();
        assert_eq!(answer.status().as_u16(), code);
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(says), "{body}");
        assert_eq!(body.contains("\"taken\":false"), code == 503, "another may know: {body}");
        assert!(is_quiet(&mut bench.calls), "nothing was passed on");
    }
}

#[tokio::test]
async fn a_race_that_is_lost_changes_nothing() {
    let mut bench = Bench::new(primary());
    let stale = send(Method::PUT, Some(TOKEN), Some("\"6\""), r#"{"k": 2}"#);
    let answer = bench.send(stale).await;
    assert_eq!(answer.code, 409, "{}", answer.body);
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");
    let sent = send(Method::PATCH, Some(TOKEN), None, r#"{"k": 2}"#);
    let router = bench.router();
    let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap().status() });
    bench.change(false).await;
    assert_eq!(asking.await.unwrap(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_makes_no_sense_or_has_no_token_is_not_passed_on() {
    let mut bench = Bench::new(primary());
    for (method, token, body, code, says) in [
        (Method::PATCH, None, r#"{"k": 2}"#, 401, "this needs a token"),
        (
            Method::PATCH,
            Some(TOKEN),
            r#"{"timing": {"ttl": "5s"}}"#,
            400,
            "ttl is 5s but two rounds",
        ),
        (
            Method::PUT,
            Some(TOKEN),
            r#"{"kk": 2}"#,
            400,
            "kk is no key in [settings]: did you mean k?",
        ),
        (Method::PUT, Some(TOKEN), "[]", 400, "a JSON object is wanted"),
        (Method::PATCH, Some(TOKEN), "", 400, "a JSON object is wanted"),
    ] {
        let answer = bench.send(send(method, token, None, body)).await;
        assert_eq!(answer.code, code, "{body}: {}", answer.body);
        assert!(answer.error().contains(says), "{}", answer.body);
    }
    let same = bench.send(send(Method::PATCH, Some(TOKEN), None, r#"{"k": null}"#)).await;
    assert_eq!((same.code, same.tag.as_deref()), (200, Some("\"7\"")), "nothing to change");
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");
}

#[tokio::test]
async fn what_is_due_is_checked_against_the_settings_of_then() {
    let mut bench = Bench::new(primary());
    let status = bench.status.borrow().clone().unwrap();
    let altered =
        |key: &str, to: &str| Altered { key: key.to_owned(), from: None, to: Some(to.to_owned()) };
    let due = |changes: Vec<Altered>| {
        let (api, status) = (bench.api.clone(), Arc::clone(&status));
        tokio::spawn(async move { crate::api::due(&api, &status, &changes).await })
    };
    let next = due(vec![altered("k", "2")]).await.unwrap();
    assert_eq!(next.map(|next| next.k), Ok(Some(2)));
    let why = due(vec![altered("timing.ttl", "5s")]).await.unwrap().unwrap_err();
    let never = matches!(&why, Undone::Never(why) if why.contains("ttl is 5s but two rounds"));
    assert!(never, "{why:?}");
    for (answer, refused) in [
        (Ok(vec!["64XB is odd".to_owned()]), true),
        (Err("its Postgres does not answer".to_owned()), false),
    ] {
        let asking = due(vec![altered("postgres.parameters.work_mem", "64XB")]);
        let Some(Call::Vet { reply, .. }) = super::next(&mut bench.calls).await else {
            panic!("it is not vetted")
        };
        reply.send(answer).unwrap();
        let why = asking.await.unwrap().unwrap_err();
        assert_eq!(matches!(why, Undone::Never(_)), refused, "{why:?}");
    }
}
