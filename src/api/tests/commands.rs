//! Commands: who may, what is passed on, and what is answered.

use haa_core::records::{Ask, Due, Loss, Manner, RequestId, RequestRecord, RequestState};

use super::*;
use crate::api::Unwritten;
use crate::api::carry::{Asked, Came, unfinished};
use crate::api::commands::Refusal;

pub(super) fn post(path: &str, token: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(Method::POST).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

impl Bench {
    /// Sends a command, takes the request as the store would, and publishes what `end` makes of it.
    async fn command(&mut self, path: &str, body: &str, end: RequestState) -> (Answer, Ask) {
        let sent = post(path, Some(TOKEN), body);
        let (status, calls) = (&self.status, &mut self.calls);
        let api = self.api.clone();
        let asking = tokio::spawn(async move {
            let response = router(api, Router::new()).oneshot(sent).await.unwrap();
            let code = response.status().as_u16();
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            (code, String::from_utf8(bytes.to_vec()).unwrap())
        });
        let Some(Call::Ask { id, record, reply }) = next(calls).await else { panic!("no ask") };
        reply.send(Ok(())).unwrap();
        assert_eq!(record.by, "alice");
        assert_eq!(record.state, RequestState::Pending);
        for state in [RequestState::Pending, RequestState::Accepted { term: TERM }, end] {
            publish(status, &id, &record, state);
            tokio::task::yield_now().await;
        }
        let (code, body) = asking.await.unwrap();
        (Answer { code, challenge: None, tag: None, body }, record.ask)
    }
}

impl Bench {
    /// What is said of a request that did not end in time, when the store answers so to taking it back.
    async fn came_to_nothing(
        &mut self,
        (id, unseen): (&RequestId, Option<RequestRecord>),
        taken: Result<bool, Unwritten>,
    ) -> String {
        let api = Arc::new(self.api.clone());
        let asked = Asked { id: id.clone(), unseen: unseen.clone() };
        let saying = tokio::spawn(async move { unfinished(&api, asked).await });
        let Some(Call::Withdraw { id: back, unseen: never, reply, .. }) =
            next(&mut self.calls).await
        else {
            panic!("it was not to be taken back")
        };
        assert_eq!((back, never), (id.clone(), unseen));
        reply.send(taken).unwrap();
        match saying.await.unwrap() {
            Ok(Came::GoesOn(says)) => format!("goes on: {says}"),
            Ok(Came::So(Ok(says))) => format!("done: {says}"),
            Ok(Came::So(Err(Refusal { code, says, .. }))) | Err(Refusal { code, says, .. }) => {
                format!("{code}: {says}")
            }
        }
    }
}

fn publish(
    sender: &watch::Sender<Option<Arc<Status>>>,
    id: &RequestId,
    record: &RequestRecord,
    state: RequestState,
) {
    let mut status = Status::clone(sender.borrow().as_ref().unwrap());
    status.requests.insert(id.clone(), RequestRecord { state, ..record.clone() });
    sender.send_replace(Some(Arc::new(status)));
}

#[tokio::test]
async fn a_switchover_answers_when_the_new_primary_accepts_writes() {
    let mut bench = Bench::new(primary());
    let done = RequestState::Done { what: "n2 accepts writes now, in term 8".to_owned() };
    let body = r#"{"leader": "n1", "candidate": "n2"}"#;
    let (answer, ask) = bench.command("/switchover", body, done).await;
    assert_eq!((answer.code, answer.body.as_str()), (200, "n2 accepts writes now, in term 8\n"));
    assert_eq!(ask, Ask::Switchover { to: Some(name("n2")) });
}

#[tokio::test]
async fn a_refused_command_says_why() {
    let mut bench = Bench::new(primary());
    let refused = RequestState::Refused { why: "n2 does not stream from the primary".to_owned() };
    let (answer, ask) = bench.command("/failover", r#"{"candidate": null}"#, refused).await;
    assert_eq!(answer.code, 412);
    assert_eq!(answer.error(), "n2 does not stream from the primary");
    assert_eq!(ask, Ask::Failover { to: None, loss: Loss::Allowed });
}

#[tokio::test]
async fn a_member_to_drain_is_named_and_known() {
    let mut bench = Bench::new(primary());
    let done = RequestState::Done { what: "n2 is drained".to_owned() };
    let (answer, ask) = bench.command("/drain", r#"{"member": "n2"}"#, done).await;
    assert_eq!((answer.code, answer.body.as_str()), (200, "n2 is drained\n"));
    assert_eq!(ask, Ask::Drain { member: name("n2") });
    let mut status = primary();
    status.drained.insert(name("n3"));
    status.members.remove(&name("n3"));
    let mut bench = Bench::new(status);
    let done = RequestState::Done { what: "n3 is in use again".to_owned() };
    let (_, ask) = bench.command("/undrain", r#"{"member": "n3"}"#, done).await;
    assert_eq!(ask, Ask::Undrain { member: name("n3") }, "its agent is gone, and it is known");
}

#[tokio::test]
async fn a_clone_answers_when_it_has_begun() {
    let done = || RequestState::Done { what: "n2 was cloned anew".to_owned() };
    let mut bench = Bench::new(primary());
    let body = r#"{"member": "n2", "force": true, "from_leader": true}"#;
    let (answer, ask) = bench.command("/reinitialize", body, done()).await;
    assert_eq!(answer.code, 202);
    assert!(answer.body.contains("n2 is being cloned anew"), "{}", answer.body);
    assert_eq!(ask, Ask::Reinit { member: name("n2"), data: None, from: None });
    let (answer, ask) = bench.command("/reinitialize", "", done()).await;
    assert_eq!(answer.code, 202, "{}", answer.body);
    assert_eq!(
        ask,
        Ask::Reinit { member: name("n1"), data: None, from: None },
        "the one that was asked"
    );

    let mut bench = Bench::new(Status { leader: None, ..primary() });
    let answer = bench.send(post("/reinitialize", Some(TOKEN), body)).await;
    assert_eq!(answer.code, 412);
    assert!(answer.error().contains("nobody leads"), "{}", answer.body);
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");
}

/// Their names are drawn, and tell nothing of their order.
#[tokio::test]
async fn what_is_done_one_after_the_other_is_shown_and_cancelled_so() {
    let mut bench = Bench::new(primary());
    let names = [("c1", "n3", None), ("a2", "n2", Some("c1")), ("b3", "n1", Some("a2"))];
    for (id, member, after) in names {
        let after = after.map(str::to_owned);
        let due = Due { at_unix_ms: 9, until_unix_ms: 10, after, from: None };
        let record = RequestRecord {
            ask: Ask::Restart { member: name(member), manner: Manner::Rolling },
            by: "alice".to_owned(),
            asked_unix_ms: 0,
            due: Some(due),
            ended_unix_ms: None,
            state: RequestState::Scheduled,
        };
        publish(&bench.status, &id.to_owned(), &record, RequestState::Scheduled);
    }
    let asked = Request::builder().uri("/requests").body(Body::empty()).unwrap();
    let shown = bench.send(asked).await.body;
    let at = |id: &str| shown.find(&format!("[\"{id}\"")).expect("it is shown");
    assert!(at("c1") < at("a2") && at("a2") < at("b3"), "{shown}");

    let mut request = post("/requests/b3", Some(TOKEN), "");
    *request.method_mut() = axum::http::Method::DELETE;
    let router = bench.router();
    let asking = tokio::spawn(async move { router.oneshot(request).await.unwrap() });
    let Some(Call::Withdraw { reply, .. }) = next(&mut bench.calls).await else {
        panic!("it was not to be taken back")
    };
    reply.send(Ok(true)).unwrap();
    let bytes = axum::body::to_bytes(asking.await.unwrap().into_body(), 1 << 20).await.unwrap();
    let says = "what comes before it is still done: haactl requests cancel c1 ends that";
    assert!(String::from_utf8_lossy(&bytes).contains(says), "{bytes:?}");
}

#[tokio::test]
async fn only_what_nobody_acts_on_is_cancelled() {
    let mut bench = Bench::new(primary());
    let cancel = |id: &str, token| {
        let mut request = post(&format!("/requests/{id}"), token, "");
        *request.method_mut() = axum::http::Method::DELETE;
        request
    };
    let record = RequestRecord {
        ask: Ask::Drain { member: name("n2") },
        by: "alice".to_owned(),
        asked_unix_ms: 0,
        due: None,
        ended_unix_ms: None,
        state: RequestState::Pending,
    };
    let id = "17".to_owned();
    assert_eq!(bench.send(cancel(&id, None)).await.code, 401);
    let answer = bench.send(cancel(&id, Some(TOKEN))).await;
    assert_eq!(answer.code, 404);
    assert!(answer.error().contains("there is no request '17'"), "{}", answer.body);
    for (state, why) in [
        (RequestState::Accepted { term: TERM }, "the leader of term 7 has begun with it"),
        (RequestState::Done { what: "n2 is drained".to_owned() }, "it is done: n2 is drained"),
        (RequestState::Refused { why: "n2 leads".to_owned() }, "it was refused: n2 leads"),
    ] {
        publish(&bench.status, &id, &record, state);
        let answer = bench.send(cancel(&id, Some(TOKEN))).await;
        assert_eq!(answer.code, 412);
        assert!(answer.error().contains(why), "{}", answer.body);
    }
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");

    publish(&bench.status, &id, &record, RequestState::Pending);
    for (taken, code, says) in [
        (true, 200, "'drain n2' is cancelled: nothing will come of it"),
        (false, 412, "somebody has just begun to act on it"),
    ] {
        let (router, sent) = (bench.router(), cancel(&id, Some(TOKEN)));
        let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
        let Some(Call::Withdraw { why, reply, .. }) = next(&mut bench.calls).await else {
            panic!("it was not to be taken back")
        };
        assert_eq!(why, "cancelled by alice before anybody acted on it");
        reply.send(Ok(taken)).unwrap();
        let response = asking.await.unwrap();
        assert_eq!(response.status().as_u16(), code);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains(says), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_command_that_comes_to_nothing_says_what_is_known() {
    let mut bench = Bench::new(primary());
    let id = "17".to_owned();
    let record = pending_switchover();
    for unseen in [None, Some(record.clone())] {
        let says = bench.came_to_nothing((&id, unseen), Ok(true)).await;
        assert!(says.contains("it was taken back: nothing will come of it"), "{says}");
    }
    publish(&bench.status, &id, &record, RequestState::Accepted { term: TERM });
    let says = bench.came_to_nothing((&id, None), Ok(false)).await;
    assert!(says.starts_with("goes on: the leader of term 7 began to hand over"), "{says}");
    let why = || "n2 leads".to_owned();
    publish(&bench.status, &id, &record, RequestState::Refused { why: why() });
    let says = bench.came_to_nothing((&id, None), Ok(false)).await;
    assert_eq!(says, "412 Precondition Failed: n2 leads", "it ended while it was being taken back");
}

fn pending_switchover() -> RequestRecord {
    RequestRecord {
        ask: Ask::Switchover { to: None },
        by: "alice".to_owned(),
        asked_unix_ms: 0,
        due: None,
        ended_unix_ms: None,
        state: RequestState::Pending,
    }
}

/// Each time the store was heard after the last try, and never else.
#[tokio::test]
async fn what_could_not_be_taken_back_is_once_the_store_answers() {
    let mut bench = Bench::new(primary());
    let id = "17".to_owned();
    let record = pending_switchover();
    let silent = || Unwritten::No("etcd is silent".to_owned());
    let says = bench.came_to_nothing((&id, Some(record.clone())), Err(silent())).await;
    assert!(
        says.contains("tried again until the store answers, and it may still happen"),
        "{says}"
    );
    for (ms, answer) in [
        (1, Err(silent())),
        (1_000_000, Err(Unwritten::Perhaps("no answer".to_owned()))),
        (2_000_000, Ok(true)),
    ] {
        publish(&bench.status, &id, &record, RequestState::Pending);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(is_quiet(&mut bench.calls), "nothing was heard since");
        let heard = Some(clock::now().after(Millis(ms)));
        bench.status.send_replace(Some(Arc::new(Status { store_heard_at: heard, ..primary() })));
        let Some(Call::Withdraw { id: back, unseen, reply, .. }) = next(&mut bench.calls).await
        else {
            panic!("it is not tried again")
        };
        assert_eq!((back, unseen.as_ref()), (id.clone(), Some(&record)));
        // What was heard before the next try counts no more.
        bench.status.send_replace(Some(Arc::new(primary())));
        reply.send(answer).unwrap();
    }
    while bench.status.receiver_count() > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_looks_after_it_themselves_is_answered_at_once() {
    let mut bench = Bench::new(primary());
    let mut sent = post("/drain", Some(TOKEN), r#"{"member": "n2"}"#);
    sent.headers_mut().insert("prefer", "wait=5, Respond-Async".parse().unwrap());
    let router = bench.router();
    let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap() });
    let Some(Call::Ask { id, reply, .. }) = next(&mut bench.calls).await else { panic!("no ask") };
    reply.send(Ok(())).unwrap();
    let response = asking.await.unwrap();
    assert_eq!(response.status().as_u16(), 202);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains(&id), "{bytes:?}");
}

#[tokio::test]
async fn only_a_token_that_holds_may_command() {
    let mut bench = Bench::new(primary());
    for (token, says) in [
        (None, "this needs a token: send the header"),
        (Some("wrong-wrong-wrong-wrong"), "this token is not in the API's token file"),
        (Some("expired-expired-expired"), "the token of bob expired at 2020-01-01T00:00:00Z"),
    ] {
        for path in ["/switchover", "/failover"] {
            let answer = bench.send(post(path, token, "{}")).await;
            assert_eq!(answer.code, 401, "{token:?}");
            assert_eq!(answer.challenge.as_deref(), Some("Bearer"));
            assert!(answer.error().starts_with(says), "{}", answer.body);
        }
    }
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");
}

#[tokio::test]
async fn who_is_refused_here_is_told_of_if_the_token_is_known() {
    let mut bench = Bench::new(primary());
    for (token, body) in [
        (None, r#"{"leader": "n2"}"#),
        (Some("wrong-wrong-wrong-wrong"), r#"{"leader": "n2"}"#),
        (Some("viewer-viewer-viewer"), "{}"),
        (Some(TOKEN), r#"{"leader": "n2"}"#),
    ] {
        bench.send(post("/switchover", token, body)).await;
    }
    for (by, why) in [("vic", "a token with the role operator"), ("alice", "n2 does not lead")] {
        let Ok(Call::Refused { event }) = bench.calls.try_recv() else { panic!("it is not told") };
        assert_eq!(event.by, by);
        assert_eq!(event.ask.sentence(), "POST /switchover, asked of n1");
        assert!(event.ended_unix_ms.is_some());
        let RequestState::Refused { why: said } = event.state else { panic!("it was refused") };
        assert!(said.contains(why), "{said}");
    }
    // What the cluster refuses is among the events by itself.
    let refused = RequestState::Refused { why: "n2 does not stream".to_owned() };
    let (answer, _) = bench.command("/switchover", "{}", refused).await;
    assert_eq!(answer.code, 412);
    assert!(bench.calls.try_recv().is_err(), "it is told twice");
}

#[tokio::test]
async fn what_makes_no_sense_is_not_passed_on() {
    let mut bench = Bench::new(primary());
    for (body, code, says) in [
        (
            r#"{"candidate": "n9"}"#,
            400,
            "candidate: there is no member 'n9' now, or its agent is gone; members are n1, n2, n3",
        ),
        (
            r#"{"leader": "n9"}"#,
            400,
            "leader: there is no member 'n9' now, or its agent is gone; members are n1, n2, n3",
        ),
        (r#"{"leader": "n2"}"#, 412, "n2 does not lead: n1 does; look and ask again"),
        (r#"{"to": "n2"}"#, 400, "the command is not the JSON that is wanted: unknown field `to`"),
        ("n2", 400, "the command is not the JSON that is wanted"),
    ] {
        let answer = bench.send(post("/switchover", Some(TOKEN), body)).await;
        assert_eq!(answer.code, code, "{body}");
        assert!(answer.error().starts_with(says), "{}", answer.body);
    }
    let answer = bench.send(post("/failover", Some(TOKEN), &"x".repeat(20_000))).await;
    assert_eq!(answer.code, 413);
    assert!(is_quiet(&mut bench.calls), "nothing was passed on");
}

/// What is answered to a switchover when the store answers so, or whoever takes calls is gone; and its name.
async fn untaken(bench: &mut Bench, says: Option<Unwritten>) -> (Answer, RequestId) {
    let (router, sent) = (bench.router(), post("/switchover", Some(TOKEN), "{}"));
    let asking = tokio::spawn(async move {
        let response = router.oneshot(sent).await.unwrap();
        let code = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    });
    let Some(Call::Ask { id, reply, .. }) = next(&mut bench.calls).await else { panic!("no ask") };
    assert_eq!(id.len(), 32);
    match says {
        Some(why) => reply.send(Err(why)).unwrap(),
        None => drop(reply),
    }
    let (code, body) = asking.await.unwrap();
    assert_eq!(code, 503);
    (Answer { code, challenge: None, tag: None, body }, id)
}

#[tokio::test]
async fn a_store_that_does_not_take_it_is_named_and_nobody_waits() {
    let mut bench = Bench::new(primary());
    let why = Unwritten::No("no endpoint answers".to_owned());
    let (answer, _) = untaken(&mut bench, Some(why)).await;
    let says = "the store did not take the request: no endpoint answers; nothing was written: ask another member";
    assert!(answer.error().starts_with(says), "{}", answer.body);
    assert!(answer.body.contains("\"taken\":false"), "another may be asked: {}", answer.body);
    assert_eq!(bench.status.receiver_count(), 1, "nobody waits for what cannot come");
}

#[tokio::test]
async fn what_may_have_been_taken_is_waited_for_though_nobody_knows() {
    for says in [Some(Unwritten::Perhaps("no answer".to_owned())), None] {
        let mut bench = Bench::new(primary());
        let (answer, id) = untaken(&mut bench, says).await;
        let says = format!(
            "whether 'switchover to the best replica' was taken is not known; haactl requests wait {id} (or GET \
             /requests) says what came of it: look before you ask again"
        );
        assert!(answer.error().starts_with(&says), "{}", answer.body);
        assert!(!answer.body.contains("\"taken\""), "nobody knows: {}", answer.body);
        assert!(bench.status.receiver_count() > 1, "somebody waits for it");
        let record = RequestRecord::told(
            Ask::Switchover { to: None },
            "alice".to_owned(),
            0,
            RequestState::Pending,
        );
        publish(&bench.status, &id, &record, RequestState::Done { what: "it came".to_owned() });
        while bench.status.receiver_count() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(is_quiet(&mut bench.calls), "what has ended is not taken back");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let mut bench = Bench::new(primary());
    let (router, sent) = (bench.router(), post("/switchover", Some(TOKEN), "{}"));
    let asking = tokio::spawn(async move { router.oneshot(sent).await.unwrap().status() });
    let Some(Call::Ask { reply, .. }) = next(&mut bench.calls).await else { panic!("no ask") };
    asking.abort();
    assert!(asking.await.is_err(), "the client is gone");
    assert!(reply.send(Ok(())).is_ok(), "somebody is there who will take it back");
}
