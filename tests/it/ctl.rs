//! haactl as an operator uses it, against agents that only speak HTTP. Exit codes and sentences are the interface.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use assert_cmd::Command;
use clap::CommandFactory;
use haa::playground::ports;

use crate::support::{become_postgres, programs};

const CLUSTER: &str = r#"{"scope":"shop","pause":false,"members":[
    {"name":"n1","role":"leader","state":"running","api_url":"http://127.0.0.1:1/patroni",
     "host":"10.0.0.1","port":5432,"timeline":3,"tags":{}},
    {"name":"n2","role":"replica","state":"streaming","api_url":"http://127.0.0.1:1/patroni",
     "host":"10.0.0.2","port":5432,"timeline":3,"lag":2048,"tags":{"nofailover":true}}]}"#;
const ROUTES: &str = r#"{"term":7,"age_ms":12,
    "primary":{"member":"n1","host":"10.0.0.1","port":5432},
    "replicas":[{"member":"n2","host":"10.0.0.2","port":5432,"lag_bytes":2048}]}"#;
const NO_PRIMARY: &str = r#"{"term":7,"age_ms":12,"primary":null,"replicas":[]}"#;

/// A request as an agent saw it: the first line, the `authorization` header and the body.
#[derive(Debug)]
struct Heard {
    line: String,
    authorization: Option<String>,
    body: String,
}

/// An agent that gives fixed answers, one for each path.
struct Stub {
    address: String,
    heard: Receiver<Heard>,
}

impl Stub {
    fn start(answers: &[(&'static str, u16, &'static str)]) -> Self {
        become_postgres();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let answers: BTreeMap<_, _> = answers.iter().map(|(p, s, b)| (*p, (*s, *b))).collect();
        let (told, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serve(stream, &answers, &told).is_none() {
                    return;
                }
            }
        });
        Self { address, heard }
    }
}

fn serve(
    mut stream: TcpStream,
    answers: &BTreeMap<&str, (u16, &str)>,
    told: &Sender<Heard>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((key, value)) = header.split_once(':') else { break };
        match key.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let (status, text) = answers.get(path.as_str()).copied().unwrap_or((404, "not found"));
    let body = String::from_utf8_lossy(&body).into_owned();
    told.send(Heard { line, authorization, body }).ok()?;
    let length = text.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{text}");
    stream.write_all(head.as_bytes()).ok()
}

/// A port that nobody listens on.
fn nobody() -> String {
    format!("127.0.0.1:{}", ports::claim().expect("a free port"))
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn haactl(arguments: &[&str]) -> Said {
    let mut command = Command::new(programs().join("haactl"));
    command.env_clear().env("HOME", "/nonexistent").current_dir("/");
    let output = command.args(arguments).output().expect("haactl runs");
    Said {
        code: output.status.code().expect("it ended by itself"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn list_is_for_people_and_for_programs() {
    let stub = Stub::start(&[("/cluster", 200, CLUSTER), ("/routes", 200, ROUTES)]);
    let table = haactl(&["--api", &stub.address, "list"]);
    assert_eq!(table.code, 0, "{}", table.err);
    assert!(table.out.starts_with("cluster shop  term 7  leader n1\n"), "{}", table.out);
    let row = table.out.lines().find(|line| line.contains("n2")).expect("a row for n2");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[..5], ["n2", "replica", "streaming", "-", "3"]);
    assert_eq!(words[5..], ["2.0", "kB", "10.0.0.2:5432", "nofailover"]);

    let json = haactl(&["--api", &stub.address, "list", "--output", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["members"][1]["lag"], 2048);
    let yaml = haactl(&["--api", &stub.address, "list", "--output", "yaml"]).out;
    assert!(yaml.contains("cluster: shop"), "{yaml}");
}

#[test]
fn a_dead_agent_is_passed_over_and_all_dead_are_named() {
    let stub = Stub::start(&[("/cluster", 200, CLUSTER), ("/routes", 200, ROUTES)]);
    let (dead, dead_too) = (nobody(), nobody());
    let found = haactl(&["--api", &format!("{dead},{}", stub.address), "list"]);
    assert_eq!(found.code, 0, "{}", found.err);
    let lost = haactl(&["--api", &format!("{dead},{dead_too}"), "list"]);
    assert_eq!(lost.code, 3);
    for address in [dead, dead_too] {
        assert!(lost.err.contains(&format!("{address} (connection refused)")), "{}", lost.err);
    }
}

#[test]
fn nobody_is_asked_about_a_member_that_there_is_not() {
    let stub = Stub::start(&[("/cluster", 200, CLUSTER), ("/routes", 200, ROUTES)]);
    for asked in [
        &["switchover", "--to", "n9"][..],
        &["failover", "--to", "n9"],
        &["restart", "n9", "--in-place"],
        &["reinit", "n9"],
        &["reload", "n9"],
    ] {
        let said = haactl(&[&["--api", &stub.address][..], asked].concat());
        assert_eq!(said.code, 1, "{asked:?}: {}", said.err);
        assert!(said.err.contains("no member 'n9' in cluster shop"), "{asked:?}: {}", said.err);
    }
}

#[test]
fn routes_are_one_line_each_and_none_is_a_failure() {
    let stub = Stub::start(&[("/routes", 200, ROUTES)]);
    let dsn = haactl(&["--api", &stub.address, "routes", "primary", "--format", "dsn"]);
    assert_eq!((dsn.code, dsn.out.as_str()), (0, "host=10.0.0.1 port=5432\n"));
    let read = haactl(&["--api", &stub.address, "routes", "read"]);
    assert_eq!((read.code, read.out.as_str()), (0, "10.0.0.2:5432\n"));
    let stub = Stub::start(&[("/routes", 200, NO_PRIMARY)]);
    let none = haactl(&["--api", &stub.address, "routes", "primary"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("nobody accepts writes"), "{}", none.err);
}

#[test]
fn history_shows_positions_as_postgres_writes_them_and_what_was_discarded() {
    let lost = r#"{"member":"n1","term":8,"fork":{"timeline":1,"lsn":"0/3000060"},"end":{"timeline":1,
        "lsn":"0/30002A8"},"commits":{"counted":{"transactions":3,"first_unix_ms":1764115200000,
        "last_unix_ms":1764115201500}},"kept":"/state/diverged-17","at_unix_ms":1764115300000}"#;
    let record = |discarded: &str| {
        format!(
            r#"[[8,{{"leader":"n2","timeline":3,"fork":{{"timeline":1,"lsn":"0/3000060"}},"reason":"leader_lost",
            "at_unix_ms":1764115202000,"took_ms":9{discarded}}}]]"#
        )
    };
    // An older agent says nothing of that.
    let stub = Stub::start(&[("/why", 200, record("").leak())]);
    let said = haactl(&["--api", &stub.address, "history"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let row = said.out.lines().nth(1).expect("a row");
    assert!(row.contains("0/3000060") && row.contains("n2"), "{row}");
    assert_eq!(said.out.lines().count(), 2, "{}", said.out);
    let stub = Stub::start(&[("/why", 200, record(&format!(r#","discarded":[{lost}]"#)).leak())]);
    let said = haactl(&["--api", &stub.address, "history"]);
    let expected = "\n\nterm 8: n1 discarded 3 transactions (WAL 0/3000060 to 0/30002A8 of timeline 1), kept in \
         /state/diverged-17 on n1; the last commit is of 2025-11-26T00:00:01.500Z\n";
    assert!(said.out.ends_with(expected), "{}", said.out);
    let json = haactl(&["--api", &stub.address, "history", "--output", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(rows[0][1], 50_331_744, "as GET /history has it: {rows}");
    assert_eq!(rows[0][5][0]["commits"]["counted"]["transactions"], 3, "{rows}");
    let stub = Stub::start(&[("/why", 503, r#"{"error":"the store is silent"}"#)]);
    let silent = haactl(&["--api", &stub.address, "history"]);
    assert_eq!(silent.code, 1, "an agent was reached");
    assert!(silent.err.contains("the store is silent"), "{}", silent.err);
}

#[test]
fn a_command_takes_its_token_from_a_file() {
    let done = r#"{"message":"n2 leads in term 8"}"#;
    let stub = Stub::start(&[
        ("/cluster", 200, CLUSTER),
        ("/routes", 200, ROUTES),
        ("/switchover", 200, done),
    ]);
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("token"), "# ours\nsecret name=alice\n").expect("written");
    let client = folder.path().join("haactl.toml");
    let text = format!("api = [\"{}\"]\ntoken_file = \"token\"\n", stub.address);
    std::fs::write(&client, text).expect("written");
    let client = client.to_string_lossy();
    let said = haactl(&["--client-file", &client, "switchover", "--to", "n2", "--yes"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.out, "n2 leads in term 8\n");
    let heard = stub.heard.try_iter().find(|heard| heard.line.starts_with("POST"));
    let heard = heard.expect("the order arrived");
    assert_eq!(heard.authorization.as_deref(), Some("Bearer secret"));
    let body: serde_json::Value = serde_json::from_str(&heard.body).expect("JSON");
    assert_eq!(body, serde_json::json!({ "leader": "n1", "candidate": "n2" }));
}

#[test]
fn each_refusal_has_its_code_and_its_reason() {
    let stub = Stub::start(&[
        ("/cluster", 200, CLUSTER),
        ("/routes", 200, ROUTES),
        ("/switchover", 412, r#"{"error":"n2 never leads: it is tagged nofailover"}"#),
        ("/failover", 401, "no such token"),
    ]);
    let without = haactl(&["--api", &stub.address, "switchover", "--yes"]);
    assert_eq!(without.code, 4, "{}", without.err);
    assert!(without.err.contains("--token-file"), "{}", without.err);

    let mut token = tempfile::NamedTempFile::new().expect("a file");
    token.write_all(b"secret\n").expect("written");
    let token = token.path().to_string_lossy();
    let with = ["--api", &stub.address, "--token-file", &token];
    let refused = haactl(&[&with[..], &["switchover", "--to", "n2", "--yes"]].concat());
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("tagged nofailover"), "{}", refused.err);
    let wrong = haactl(&[&with[..], &["failover", "--yes"]].concat());
    assert_eq!(wrong.code, 4, "{}", wrong.err);
    let unasked = haactl(&[&with[..], &["failover"]].concat());
    assert_eq!(unasked.code, 1, "nobody was there to say yes");
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
}

#[test]
fn a_clone_that_nobody_shows_has_begun_all_the_same() {
    let begun = r#"{"message":"n2 is being cloned anew","request":"17"}"#;
    let stub = Stub::start(&[
        ("/reinitialize", 202, begun),
        ("/requests", 503, r#"{"error":"the agent has just started"}"#),
    ]);
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    token.write_all(b"secret\n").expect("written");
    let token = token.path().to_string_lossy();
    let with = ["--api", &stub.address, "--token-file", &token];
    let said = haactl(&[&with[..], &["reinit", "n2", "--yes"]].concat());
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("haactl requests wait 17"), "{}", said.err);
    let looks = stub.heard.try_iter().filter(|heard| heard.line.contains("/requests")).count();
    assert!(looks > 1, "one failed look is not the last");
}

#[test]
fn wrong_usage_says_what_to_do() {
    let nothing = haactl(&["list"]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.err.contains("HAACTL_API"), "{}", nothing.err);
    assert_eq!(haactl(&["--api", "no-port", "list"]).code, 2);
    assert_eq!(haactl(&["--client-file", "/nonexistent/x", "list"]).code, 2);
    assert_eq!(haactl(&["--api", "a:1", "switchover", "--to", "N 2"]).code, 2);
}

#[test]
fn every_verb_explains_itself() {
    let program = haa::ctl::Cli::command();
    let verbs: Vec<&str> = program
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(clap::Command::get_name)
        .collect();
    assert!(verbs.len() >= 26, "{verbs:?}");
    for verb in verbs {
        let help = haactl(&[verb, "--help"]);
        assert_eq!(help.code, 0, "{verb}: {}", help.err);
        assert!(help.out.contains("Example"), "{verb} has no example");
        assert!(help.out.contains("Exit codes"), "{verb} does not tell its exit codes");
    }
}
