//! The whole table of who may what: every route, for every role.

use super::*;
use crate::api::questions::{For, meant_for};
use crate::api::tokens::Role;

/// Commands, and the role that each needs.
const COMMANDS: [(&str, &str, &str, Role); 20] = [
    ("POST", "/switchover", "", Role::Operator),
    ("POST", "/failover", "", Role::Operator),
    ("POST", "/failover", r#"{"accept_loss": false}"#, Role::Operator),
    ("POST", "/failover", r#"{"accept_loss": true}"#, Role::Admin),
    ("POST", "/drain", r#"{"member": "n2"}"#, Role::Operator),
    ("POST", "/undrain", r#"{"member": "n2"}"#, Role::Operator),
    ("POST", "/restart", "", Role::Operator),
    ("POST", "/reload", "", Role::Operator),
    ("POST", "/remove", r#"{"member": "n2"}"#, Role::Admin),
    ("POST", "/promote-cluster", "", Role::Admin),
    ("POST", "/demote-cluster", r#"{"to": ["10.1.0.1:5432"]}"#, Role::Admin),
    ("POST", "/reinitialize", r#"{"member": "n2"}"#, Role::Admin),
    ("DELETE", "/requests/17", "", Role::Operator),
    ("PATCH", "/config", r#"{"pause": true}"#, Role::Operator),
    ("PATCH", "/config", r#"{"pause": false}"#, Role::Operator),
    ("PATCH", "/config", r#"{"pause": true, "k": 2}"#, Role::Admin),
    ("PATCH", "/config", r#"{"k": 2}"#, Role::Admin),
    ("PATCH", "/config", "[]", Role::Admin),
    ("PUT", "/config", r#"{"pause": true}"#, Role::Admin),
    ("PUT", "/config", "{}", Role::Admin),
];

/// Documents: open, or for any role.
const DOCUMENTS: [&str; 11] = [
    "/patroni",
    "/cluster",
    "/config",
    "/status",
    "/history",
    "/why",
    "/events",
    "/doctor",
    "/router",
    "/metrics",
    "/requests",
];

const ROUTES: [&str; 4] = ["/routes", "/routes/primary", "/routes/read", "/routes/stream"];

const BEARERS: [(&str, Option<Role>); 6] = [
    ("", None),
    ("wrong-wrong-wrong-wrong", None),
    ("expired-expired-expired", None),
    ("viewer-viewer-viewer", Some(Role::Viewer)),
    ("operator-operator", Some(Role::Operator)),
    ("admin-admin-admin-admin", Some(Role::Admin)),
];

fn request(method: &str, path: &str, token: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// Nobody is there who would carry anything out: who may, hears that.
fn alone(questions: Questions) -> Bench {
    let mut bench = Bench::new(primary());
    bench.calls.close();
    bench.api.questions = questions;
    bench
}

#[tokio::test]
async fn every_command_for_every_role() {
    for questions in [Questions::Open, Questions::Token] {
        let bench = alone(questions);
        for (method, path, body, needs) in COMMANDS {
            for (token, has) in BEARERS {
                let answer = bench.send(request(method, path, token, body)).await;
                let what = format!("{method} {path} {body} with {token}: {}", answer.body);
                match has {
                    None => assert_eq!(answer.code, 401, "{what}"),
                    Some(has) if has < needs => {
                        assert_eq!(answer.code, 403, "{what}");
                        let roles = [
                            format!("with the role {},", needs.word()),
                            format!("has the role {}:", has.word()),
                        ];
                        assert!(roles.iter().all(|role| answer.error().contains(role)), "{what}");
                    }
                    Some(_) => assert!(![401, 403].contains(&answer.code), "{what}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn every_question_for_every_role() {
    for (questions, token_wanted) in [(Questions::Open, None), (Questions::Token, Some(401))] {
        let bench = alone(questions);
        for (token, has) in BEARERS {
            let refused = token_wanted.filter(|_| has.is_none());
            for path in DOCUMENTS {
                assert_eq!(meant_for(path), For::Readers, "{path}");
                let answer = bench.send(request("GET", path, token, "")).await;
                match refused {
                    Some(code) => assert_eq!(answer.code, code, "{path} with {token}"),
                    None => assert!(![401, 403].contains(&answer.code), "{path} with {token}"),
                }
            }
            for (path, _) in crate::api::checks::PATHS {
                let answer = bench.send(request("GET", path, token, "")).await;
                let known = bench.send(request("GET", path, "viewer-viewer-viewer", "")).await;
                assert_eq!(answer.code, known.code, "{path} with {token}");
                assert_eq!(answer.body.is_empty(), refused.is_some(), "{path} with {token}");
            }
        }
    }
    let bench = alone(Questions::Token);
    for path in ROUTES {
        assert_eq!(meant_for(path), For::Clients);
        // The stream never ends.
        let answer = bench.router().oneshot(request("GET", path, "", "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

/// `/failover?candidate=n2` would make anybody lead, if it were passed over.
#[tokio::test]
async fn a_command_takes_nothing_from_its_address() {
    let bench = alone(Questions::Open);
    for (method, path, body, _) in COMMANDS {
        let path = format!("{path}?candidate=n2");
        let answer = bench.send(request(method, &path, "admin-admin-admin-admin", body)).await;
        assert_eq!(answer.code, 400, "{method} {path}");
        assert!(answer.error().ends_with("here was 'candidate=n2'"), "{}", answer.error());
    }
}

/// A route that somebody adds is in one of the tables above.
#[test]
fn no_route_is_forgotten() {
    let source = include_str!("../mod.rs");
    let known = |path: &str| {
        DOCUMENTS.contains(&path)
            || ROUTES.contains(&path)
            || COMMANDS.iter().any(|(_, command, ..)| *command == path.replace("{id}", "17"))
    };
    let routes: Vec<&str> =
        source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() > 15, "{routes:?}");
    for path in routes {
        assert!(known(path), "{path} is in no table");
    }
}
