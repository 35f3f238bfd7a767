//! Questions and commands that nobody would send, and peers that say what no member would: each is answered, none is
//! this agent's own mistake (500).

use axum::http::Uri;
use futures_util::FutureExt as _;
use tokio::runtime::Runtime;

use super::*;
use crate::api::query::{Takes, demand, readiness, wish};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn fuzz_parameters() {
    let examples = [
        "lag=10MB&max_lag=2s&min_lsn=0/3000060&replication_state=streaming&tag_zone=a%20b",
        "format=hostport&wait=30s&choose=least-lag",
        "lag=1GB&mode=apply",
    ];
    crate::fuzz::text(&examples, |text| {
        let Ok(uri) = format!("/routes/read?{text}").parse::<Uri>() else { return };
        let wishes =
            [Takes::Wait, Takes::Format, Takes::Demand].map(|takes| wish(&uri, takes).err());
        for refused in
            wishes.into_iter().chain([demand(&uri).err(), readiness(&uri).err()]).flatten()
        {
            let says = &refused.0;
            assert!(!says.is_empty() && !says.contains(char::is_control), "{says:?}");
        }
    });
}

/// `METHOD PATH`, lines of headers, an empty line, a body.
fn request(text: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_owned())).ok()
}

/// An answer that is not made at once waits for the world.
fn answered(bench: &Bench, request: Request<Body>) {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let Some(Ok(response)) = bench.router().oneshot(request).now_or_never() else { return };
    let code = response.status();
    assert_ne!(code, StatusCode::INTERNAL_SERVER_ERROR, "{method} {uri}");
    if code == StatusCode::BAD_REQUEST && method != Method::HEAD {
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).now_or_never();
        let body = body.expect("it is there").expect("it is whole");
        assert!(!body.is_empty(), "{method} {uri}: refused without a word");
    }
}

#[test]
fn fuzz_questions_and_commands() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let bench = Bench::new(primary());
    let command = |what: &str, body: &str| {
        format!("{what}\nauthorization: Bearer {TOKEN}\ncontent-type: application/json\n\n{body}")
    };
    let deep = command("PATCH /config", &"[".repeat(50_000));
    let examples = [
        "GET /primary?lag=1\nhost: x".to_owned(),
        "HEAD /replica?min_lsn=0/3000060&tag_zone=a".to_owned(),
        "GET /routes/read?format=json&choose=all\nif-none-match: \"7-1\"".to_owned(),
        "GET /readiness?lag=10MB&mode=write".to_owned(),
        "GET /history?limit=3".to_owned(),
        "GET /why/7".to_owned(),
        "GET /cluster".to_owned(),
        "GET /metrics\naccept: text/plain".to_owned(),
        "GET /patroni".to_owned(),
        command("POST /switchover", r#"{"leader":"n1","candidate":"n2","to":"n2"}"#),
        command("POST /failover", r#"{"to":"n2","accept_loss":true}"#),
        command("POST /restart", r#"{"member":"n2","in_place":true}"#),
        command("POST /drain", r#"{"member":"n2"}"#),
        command("POST /reinitialize", r#"{"member":"n2","force":true}"#),
        command("POST /remove", r#"{"member":"n3"}"#),
        command("PATCH /config", r#"{"timing":{"ttl":"20s"},"pause":true}"#),
        command("PUT /config\nif-match: \"7\"", r#"{"k":1,"timing":{"round":"3s"}}"#),
        deep,
    ];
    let examples = examples.each_ref().map(String::as_str);
    crate::fuzz::text(&examples, |text| {
        if let Some(request) = request(text) {
            answered(&bench, request);
        }
    });
}

#[test]
fn fuzz_what_a_peer_says() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let bench = Bench::new(primary());
    let beats = [PeerState::Streaming, PeerState::Primary].map(|state| {
        let (_, mut beat) = heard("n2", state, 0x500_0000);
        beat.tags.free.insert("zone".to_owned(), "a".to_owned());
        serde_json::to_string(&beat).unwrap()
    });
    crate::fuzz::text(&beats.each_ref().map(String::as_str), |text| {
        let Ok(beat) = serde_json::from_str::<Heartbeat>(text) else { return };
        let again = serde_json::to_string(&beat).unwrap();
        assert_eq!(serde_json::from_str::<Heartbeat>(&again).ok().as_ref(), Some(&beat));
        let mut status = replica();
        status.members.get_mut(&name("n1")).unwrap().heard = Some((clock::now(), beat));
        bench.status.send_replace(Some(Arc::new(status)));
        let paths = [
            "/replica?lag=1MB",
            "/routes/read?choose=least-lag",
            "/cluster",
            "/metrics",
            "/patroni",
        ];
        for path in paths {
            answered(&bench, Request::get(path).body(Body::empty()).unwrap());
        }
    });
}
