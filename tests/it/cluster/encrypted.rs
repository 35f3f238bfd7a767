//! The members' own port over TLS: strangers are told, commands want a certificate, certificates are renewed, and a
//! running cluster changes over. Owns no certificates: `secured` does.

use std::time::{Duration, Instant};

use haa::ctl::http::{Ask, HttpError};
use haa::tls::{Dialer, Identity};
use haa_core::units::{Address, MemberName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{Cluster, LONG, name, print_times};
use super::secured::Papers;
use crate::support;
use crate::support::exposition::Page;

/// More than the port has room for.
const SILENT: usize = 600;

fn api_section(papers: &Papers, more: &[(&str, &str)]) -> toml::Table {
    let files = json!({
        "cert_file": papers.certificate, "key_file": papers.key, "ca_file": papers.ca,
    });
    let mut section = json!({ "api": files });
    for (key, value) in more {
        section["api"][key] = json!(value);
    }
    toml::Table::try_from(section).expect("it is TOML")
}

/// Three agents whose ports speak TLS, and the files of it.
async fn encrypted(verify_client: &str) -> (TempDir, Papers, Cluster) {
    support::become_postgres();
    let directory = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let papers = Papers::issue(directory.path(), "ours");
    let section = api_section(&papers, &[("verify_client", verify_client)]);
    let mut cluster = Cluster::prepare(|options| options.extra(section));
    cluster.playground.start_etcd().await.expect("it starts");
    for member in cluster.playground.names() {
        cluster.playground.start_member(&member).expect("it starts");
    }
    (directory, papers, cluster)
}

fn member_dialer(papers: &Papers) -> Dialer {
    let (certificate, key) = (papers.certificate.clone(), papers.key.clone());
    Dialer::load(&papers.ca, Some(Identity { certificate, key })).expect("they can be used")
}

fn guest_dialer(papers: &Papers) -> Dialer {
    Dialer::load(&papers.ca, None).expect("it can be used")
}

/// What `/cluster` shows once all have one leader and stream, in quorum.
async fn forms(cluster: &Cluster, dialer: &Dialer) -> Value {
    shows_all(&cluster.playground.api(&name("n1")), dialer).await
}

async fn shows_all(first: &Address, dialer: &Dialer) -> Value {
    let began = Instant::now();
    loop {
        let answer = Ask::get("/cluster").over(dialer).send(first).await;
        let seen: Value = answer
            .ok()
            .and_then(|answer| serde_json::from_slice(&answer.body).ok())
            .unwrap_or_default();
        let roles: Vec<&str> = seen["members"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|member| member["role"].as_str())
            .collect();
        let count = |wanted: &str| roles.iter().filter(|role| **role == wanted).count();
        if count("leader") == 1 && count("quorum_standby") == 2 {
            return seen;
        }
        assert!(began.elapsed() < LONG, "it does not form: {seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn replica_of(seen: &Value) -> MemberName {
    let members = seen["members"].as_array().expect("members");
    let replica = members.iter().find(|member| member["role"] != "leader").expect("a replica");
    name(replica["name"].as_str().expect("a name"))
}

/// The silent ones are held open meanwhile.
async fn asked_among_silent(at: &Address, dialer: &Dialer) -> Vec<Duration> {
    let mut silent = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(at.to_string()).await.expect("it is taken");
        if number % 2 == 0 {
            // The head of a handshake that never goes on.
            stream.write_all(&[22, 3, 1, 2, 0]).await.expect("it is taken");
        }
        silent.push(stream);
    }
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let answer = Ask::get("/liveness").over(dialer).send(at).await.expect("it is answered");
        assert_eq!(answer.status, 200);
        times.push(began.elapsed());
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_operators_speak_tls_and_strangers_are_told() {
    let (directory, papers, cluster) = encrypted("optional").await;
    let guest = guest_dialer(&papers);
    let seen = forms(&cluster, &guest).await;
    assert!(seen["members"][0]["api_url"].as_str().is_some_and(|url| url.starts_with("https://")));

    // Without TLS: a sentence, in HTTP.
    let first = cluster.playground.api(&name("n1"));
    let answer = Ask::get("/primary").send(&first).await.expect("it is told");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("this port speaks TLS"), "{}", answer.text());

    // Of another authority: neither believes the other.
    let others = Papers::issue(directory.path(), "others");
    let refused = Ask::get("/primary").over(&guest_dialer(&others)).send(&first).await;
    let Err(HttpError::NotConnected(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("UnknownIssuer"), "{why}");

    let (target, token) = (replica_of(&seen), cluster.playground.token_file());
    let ca = papers.ca.to_str().expect("UTF-8");
    let [certificate, key] =
        [&papers.certificate, &papers.key].map(|path| path.to_str().expect("UTF-8"));
    let token = token.to_str().expect("UTF-8");
    let asked = ["switchover", "--to", target.as_str(), "--yes", "--token-file", token];
    let (code, said) = cluster.haactl(&[&asked[..], &["--ca-file", ca]].concat());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("this needs a client certificate"), "{said}");
    let own = ["--ca-file", ca, "--cert-file", certificate, "--key-file", key];
    let (code, said) = cluster.haactl(&[&asked[..], &own].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = cluster.haactl(&["list", "--ca-file", ca]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = cluster.haactl(&["list", "--cert-file", certificate, "--key-file", key]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("give --ca-file"), "{said}");

    let times = asked_among_silent(&first, &guest).await;
    print_times(&format!("a question over TLS beside {SILENT} silent connections"), times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_while_members_run() {
    let (directory, papers, cluster) = encrypted("required").await;
    forms(&cluster, &member_dialer(&papers)).await;
    let first = cluster.playground.api(&name("n1"));
    let refused = Ask::get("/primary").over(&guest_dialer(&papers)).send(&first).await;
    assert!(refused.is_err(), "whoever has no certificate is not let in: {refused:?}");

    // Another authority altogether, into the same files.
    let before = member_dialer(&papers);
    let old = directory.path().join("old.pem");
    std::fs::copy(&papers.ca, &old).expect("it can be copied");
    let renewed = Papers::issue(directory.path(), "renewed");
    for (from, to) in [
        (&renewed.ca, &papers.ca),
        (&renewed.certificate, &papers.certificate),
        (&renewed.key, &papers.key),
    ] {
        std::fs::copy(from, to).expect("it can be written");
    }
    // Ours reads them anew, too.
    let answer = Ask::get("/liveness").over(&before).send(&first).await.expect("it is believed");
    assert_eq!(answer.status, 200);
    let stale = Dialer::load(&old, None).expect("it can be used");
    let refused = Ask::get("/liveness").over(&stale).send(&first).await;
    assert!(refused.is_err(), "the old authority is not theirs any more: {refused:?}");
    forms(&cluster, &member_dialer(&papers)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_cluster_changes_over_one_member_after_the_other() {
    support::become_postgres();
    let directory = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let papers = Papers::issue(directory.path(), "ours");
    let mut cluster = Cluster::start().await;
    cluster.all_vote().await;
    // Two have changed, one has not: they hear each other, or no voter would stay one.
    let primary = cluster.primary().await;
    let files = api_section(&papers, &[("plain", "answered")]);
    let lines = files["api"].as_table().expect("a table").to_string();
    let changed: Vec<MemberName> =
        cluster.playground.names().into_iter().filter(|member| *member != primary).collect();
    for member in &changed {
        cluster.edit(member, |text| text.replace("[api]\n", &format!("[api]\n{lines}")));
        cluster.playground.kill_agent(member).expect("it was running");
        cluster.playground.start_member(member).expect("it starts again");
        cluster.all_vote().await;
    }
    // Who has changed speaks to whom has not.
    for member in &changed {
        let of = [("member", member.as_str())];
        let heard = |page: &Page| page.get("haa_member_heard", &of) == Some(1.0);
        cluster.shows(&primary, &format!("it hears {member}"), heard).await;
    }
    let guest = guest_dialer(&papers);
    let seen = shows_all(&cluster.playground.api(&changed[0]), &guest).await;
    assert_eq!(seen["members"].as_array().map(Vec::len), Some(3));
    // Its certificate is checked where TLS is spoken, and somebody who speaks none is answered meanwhile.
    let mut plain = TcpStream::connect(cluster.playground.api(&changed[0]).to_string())
        .await
        .expect("it is taken");
    plain.write_all(b"GET /liveness HTTP/1.0\r\n\r\n").await.expect("it is taken");
    let mut heard = String::new();
    plain.read_to_string(&mut heard).await.expect("it is answered");
    assert!(heard.starts_with("HTTP/1.0 200"), "{heard}");
}

#[tokio::test]
async fn what_cannot_be_used_is_told_before_the_start() {
    support::become_postgres();
    let directory = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let papers = Papers::issue(directory.path(), "ours");
    let others = Papers::issue(directory.path(), "others");
    let mut cluster = Cluster::prepare(|options| options.extra(api_section(&papers, &[])));
    cluster.playground.start_etcd().await.expect("it starts");
    let config = cluster.playground.config(&name("n1"));
    let said_of = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&config).expect("it is there");
        cluster.edit(&name("n1"), |text| text.replace(from, to));
        let (code, said) = super::fixture::haad("check", &config);
        std::fs::write(&config, text).expect("it can be written");
        (code, said)
    };
    let path = |path: &std::path::Path| path.display().to_string();
    let (code, said) = said_of("nothing", "nothing");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("is believed by whoever asks"), "{said}");
    let (code, said) = said_of(&path(&papers.key), &path(&others.key));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("and its key cannot be used"), "{said}");
    let (code, said) = said_of(&path(&papers.ca), &path(&others.ca));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("is not believed by whoever asks"), "{said}");
    let (code, said) = said_of(&path(&papers.ca), &path(&papers.key));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has no certificate in PEM"), "{said}");
    let (code, said) = said_of("cert_file = ", "# ");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is given, but no api.cert_file"), "{said}");
}
