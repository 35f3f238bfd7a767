//! Routes for whoever waits, and for readers that ask for more than any replica.

use std::time::Duration;

use http_body_util::BodyExt as _;

use super::*;

/// Longer than any answer here takes.
const LONG: &str = "60s";

fn without_primary() -> Status {
    let mut status = replica();
    status.leader = None;
    status.term = Term(8);
    status
}

async fn tagged(bench: &Bench, path: &str, tag: &str) -> Answer {
    let request = Request::builder().uri(path).header("if-none-match", tag);
    bench.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_answer_is_marked_and_asked_for_again_only_when_it_is_another() {
    let bench = Bench::new(replica());
    let first = bench.ask(Method::GET, "/routes").await;
    let tag = first.tag.expect("it is marked");
    let same = tagged(&bench, "/routes", &tag).await;
    assert_eq!((same.code, same.body.as_str()), (304, ""));
    assert_eq!(same.tag.as_ref(), Some(&tag));
    assert_eq!(tagged(&bench, "/routes", &format!("\"other\", W/{tag}")).await.code, 304);
    assert_eq!(tagged(&bench, "/routes", "\"other\"").await.code, 200);
    // Ages and lags are no other answer.
    let mut later = replica();
    later.primary_position = Some(at(0x600_0000));
    bench.status.send_replace(Some(Arc::new(later)));
    assert_eq!(tagged(&bench, "/routes", &tag).await.code, 304);
    bench.status.send_replace(Some(Arc::new(without_primary())));
    let other = tagged(&bench, "/routes", &tag).await;
    assert_eq!(other.code, 200);
    assert_ne!(other.tag, Some(tag));
}

#[tokio::test]
async fn whoever_waits_hears_of_the_change() {
    let bench = Bench::new(without_primary());
    assert_eq!(bench.code("/routes/primary").await, 503);
    let path = format!("/routes/primary?wait={LONG}&format=hostport");
    let (answer, ()) = tokio::join!(bench.ask(Method::GET, &path), async {
        tokio::task::yield_now().await;
        bench.status.send_replace(Some(Arc::new(replica())));
    });
    assert_eq!((answer.code, answer.body.as_str()), (200, "10.0.0.1:5001\n"));

    let tag = bench.ask(Method::GET, "/routes").await.tag.expect("it is marked");
    let path = format!("/routes?wait={LONG}");
    let (answer, ()) = tokio::join!(tagged(&bench, &path, &tag), async {
        tokio::task::yield_now().await;
        bench.status.send_replace(Some(Arc::new(without_primary())));
    });
    assert_eq!(answer.code, 200, "the primary is gone: that is another answer");

    let tag = answer.tag.expect("it is marked");
    assert_eq!(tagged(&bench, "/routes?wait=10ms", &tag).await.code, 304);
    assert_eq!(bench.code("/routes/primary?wait=10ms").await, 503);
}

#[tokio::test]
async fn a_reader_of_its_own_writes_is_sent_where_they_are() {
    let bench = Bench::new(primary());
    let read = |query: &str| format!("/routes/read?format=hostport&{query}");
    let there = bench.ask(Method::GET, &read("min_lsn=0/5000000")).await;
    assert_eq!(there.body, "10.0.0.1:5002\n10.0.0.1:5003\n");
    let beyond = bench.ask(Method::GET, &read("min_lsn=0/5000001")).await;
    assert_eq!(beyond.body, "10.0.0.1:5001\n", "the primary has it");
    let beyond = bench.ask(Method::GET, &read("min_lsn=0/5000001&wait=10ms")).await;
    assert_eq!(beyond.body, "10.0.0.1:5001\n", "after the wait the primary has it, too");

    let mut later = primary();
    let n3 = later.members.get_mut(&name("n3")).unwrap();
    n3.heard = Some(heard("n3", PeerState::Streaming, 0x500_0001));
    let path = read(&format!("min_lsn=0/5000001&wait={LONG}"));
    let (answer, ()) = tokio::join!(bench.ask(Method::GET, &path), async {
        tokio::task::yield_now().await;
        bench.status.send_replace(Some(Arc::new(later)));
    });
    assert_eq!(answer.body, "10.0.0.1:5003\n");

    let bench = Bench::new(replica());
    assert_eq!(bench.code("/replica?min_lsn=0/4FFF000").await, 200);
    assert_eq!(bench.code("/replica?min_lsn=0/4FFF001").await, 503);
    let why = &bench.json("/replica?min_lsn=0/4FFF001").await["haa"]["why"];
    assert_eq!(why, "this replica has not replayed what was asked for");
}

#[tokio::test]
async fn readers_are_chosen_by_lag_and_tags() {
    let bench = Bench::new(replica());
    let read = |query: &str| format!("/routes/read?format=hostport&{query}");
    let least = bench.ask(Method::GET, &read("choose=least-lag")).await;
    assert_eq!(least.body, "10.0.0.1:5003\n", "n2 lags by 4096 bytes");
    let calm = bench.ask(Method::GET, &read("choose=least-connections")).await;
    assert_eq!(calm.body, "10.0.0.1:5002\n", "n3 has one more");
    let near = bench.ask(Method::GET, &read("max_lag=4095")).await;
    assert_eq!(near.body, "10.0.0.1:5003\n");
    let soon = bench.ask(Method::GET, &read("max_lag=999ms")).await;
    assert_eq!(soon.body, "10.0.0.1:5003\n", "n2 replayed last what is a second old");
    let both = bench.ask(Method::GET, &read("max_lag=1s")).await;
    assert_eq!(both.body, "10.0.0.1:5002\n10.0.0.1:5003\n");
    assert_eq!(bench.code(&read("tag_site=b")).await, 503);
    assert_eq!(bench.code("/replica?lag=1s").await, 200);
    assert_eq!(bench.code("/replica?lag=999ms").await, 503);
}

#[tokio::test]
async fn a_parameter_that_cannot_be_used_is_named() {
    let bench = Bench::new(primary());
    for (path, word) in [
        ("/routes?format=json", "format"),
        ("/routes/primary?wait=soon", "wait"),
        ("/routes/primary?wait=6m", "at most 5m"),
        ("/routes/primary?min_lsn=0/1", "min_lsn"),
        ("/routes/read?min_lsn=5000000", "0/3000060"),
        ("/routes/read?max_lag=near", "max_lag"),
        ("/routes/read?choose=best", "least-connections"),
        ("/routes/read?tag_=x", "tag_"),
        ("/routes/stream?wait=1s", "wait=1s"),
    ] {
        let answer = bench.ask(Method::GET, path).await;
        assert_eq!(answer.code, 400, "{path}");
        assert!(answer.error().contains(word), "{path}: {}", answer.error());
    }
}

#[tokio::test]
async fn a_stream_tells_each_change_once() {
    let bench = Bench::new(replica());
    let request = Request::builder().uri("/routes/stream").body(Body::empty()).unwrap();
    let response = bench.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(Duration::from_secs(60), body.frame()).await;
        let bytes = frame.expect("an event").expect("more").expect("readable").into_data();
        String::from_utf8(bytes.expect("data").to_vec()).expect("text")
    };
    let first = next().await;
    assert!(first.starts_with("event: routes\n"), "{first}");
    assert!(first.contains("\"port\":5001"), "{first}");
    let mut same = replica();
    same.primary_position = Some(at(0x600_0000));
    bench.status.send_replace(Some(Arc::new(same)));
    bench.status.send_replace(Some(Arc::new(without_primary())));
    let second = next().await;
    assert!(second.contains("\"primary\":null"), "{second}");
    let mut blind = replica();
    blind.store_heard_at = None;
    bench.status.send_replace(Some(Arc::new(blind)));
    let third = next().await;
    assert!(third.starts_with("event: unknown\n"), "{third}");
}
