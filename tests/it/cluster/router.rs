//! Clients that know only a router: they write, read, cancel, and come through a failover. Times are printed.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::{Address, MemberName};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio_postgres::error::SqlState;

use super::fixture::{Cluster, LONG, print_times};
use super::secured::Papers;

/// Three members, each with a router, all of them voters.
pub(super) async fn routed(adapt: &str) -> Cluster {
    let extra: toml::Table = adapt.parse().expect("it is TOML");
    let cluster = Cluster::start_with(|options| options.routers().extra(extra)).await;
    cluster.all_vote().await;
    cluster
}

pub(super) fn write_port(cluster: &Cluster, member: &MemberName) -> Address {
    cluster.playground.router(member).expect("it has a router").0
}

pub(super) fn read_port(cluster: &Cluster, member: &MemberName) -> Address {
    cluster.playground.router(member).expect("it has a router").1
}

/// `GET /router` of a member.
pub(super) async fn counted(cluster: &Cluster, member: &MemberName) -> Value {
    let answer = cluster.playground.http_get(member, "/router").await;
    let (code, text) = answer.expect("the API answers");
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Waits until what a router counts is as wished.
pub(super) async fn counts(cluster: &Cluster, member: &MemberName, is: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let now = counted(cluster, member).await;
        if is(&now) {
            return;
        }
        assert!(began.elapsed() < LONG, "it never comes to that: {now:#}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn server_of(client: &tokio_postgres::Client) -> u16 {
    let row = client.query_one("SELECT inet_server_port()", &[]).await.expect("it answers");
    u16::try_from(row.get::<_, i32>(0)).expect("a port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_find_the_primary_readers_are_spread_and_a_cancel_finds_its_session() {
    let cluster = routed("router.drain = '30s'").await;
    let primary = cluster.primary().await;
    for (id, member) in (1_i64..).zip(cluster.playground.names()) {
        let client = cluster.connect(&write_port(&cluster, &member)).await.expect("it leads there");
        assert_eq!(server_of(&client).await, cluster.playground.postgres(&primary).port);
        client.execute("INSERT INTO t VALUES ($1)", &[&id]).await.expect("it writes");
    }
    // SCRAM is between the client and the server: a wrong password does not come through.
    let at = write_port(&cluster, &primary);
    let mut wrong = cluster.playground.superuser(&at).expect("there is a password");
    wrong.password("wrong");
    let refused = wrong.connect(tokio_postgres::NoTls).await.map(drop).expect_err("it is wrong");
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD), "{refused}");

    let names = cluster.playground.names().into_iter().filter(|name| *name != primary);
    let replicas = names.map(|name| cluster.playground.postgres(&name).to_string());
    let replicas = replicas.collect::<Vec<_>>().join("\n");
    let read = "/routes/read?format=hostport";
    cluster.until_answered(&primary, read, (200, &replicas)).await;
    let at = read_port(&cluster, &primary);
    let mut readers = Vec::new();
    for _ in 0..6 {
        readers.push(cluster.connect(&at).await.expect("there are replicas"));
    }
    let mut servers = std::collections::BTreeMap::<u16, u8>::new();
    for reader in &readers {
        *servers.entry(server_of(reader).await).or_default() += 1;
    }
    assert_eq!(servers.values().copied().collect::<Vec<_>>(), [3, 3], "{servers:?}");
    assert!(!servers.contains_key(&cluster.playground.postgres(&primary).port));

    cancelled_alone(readers).await;
    let client = cluster.connect(&write_port(&cluster, &primary)).await.expect("it leads there");
    cancelled_alone(vec![client]).await;
    who_has_fewer_clients_is_named(&cluster, &primary).await;
    stops_last_for_who_is_connected(&cluster, &cluster.other_than(&primary)).await;
}

/// Of two replicas, by a member that hears of their clients from them.
async fn who_has_fewer_clients_is_named(cluster: &Cluster, primary: &MemberName) {
    let names = cluster.playground.names();
    let replicas: Vec<&MemberName> = names.iter().filter(|name| *name != primary).collect();
    let path = "/routes/read?choose=least-connections&format=hostport";
    for (busy, calm) in [(replicas[0], replicas[1]), (replicas[1], replicas[0])] {
        let (busy, calm) = (cluster.playground.postgres(busy), cluster.playground.postgres(calm));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(cluster.connect(&busy).await.expect("it accepts"));
        }
        let began = Instant::now();
        while cluster.playground.http_get(primary, path).await.ok() != Some((200, calm.to_string()))
        {
            assert!(began.elapsed() < LONG, "{calm} has fewer clients than {busy}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A router that stops takes nobody new, and leaves who is connected the time to end.
async fn stops_last_for_who_is_connected(cluster: &Cluster, router: &MemberName) {
    let at = write_port(cluster, router);
    let stays = cluster.connect(&at).await.expect("it leads there");
    let began = Instant::now();
    cluster.playground.terminate_agent(router).expect("it runs");
    while cluster.connect(&at).await.is_ok() {
        assert!(began.elapsed() < LONG, "it takes clients though it stops");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stays.execute("INSERT INTO t VALUES (10)", &[]).await.expect("it is not cut");
    drop(stays);
    cluster.agent_is_gone(router).await;
    println!("a router ended {:?} after it was told to, its last client gone", began.elapsed());
}

/// Every client sleeps; the cancelled one alone wakes.
async fn cancelled_alone(clients: Vec<tokio_postgres::Client>) {
    let tokens: Vec<_> = clients.iter().map(tokio_postgres::Client::cancel_token).collect();
    let mut sleeping: Vec<_> = clients
        .into_iter()
        .map(|client| {
            tokio::spawn(async move { client.batch_execute("SELECT pg_sleep(600)").await })
        })
        .collect();
    while !sleeping.is_empty() {
        let (token, client) = (&tokens[tokens.len() - sleeping.len()], sleeping.remove(0));
        let began = Instant::now();
        while !client.is_finished() {
            token.cancel_query(tokio_postgres::NoTls).await.expect("the router takes it");
            assert!(began.elapsed() < LONG, "the cancel never arrives");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let error = client.await.expect("no panic").expect_err("it was cancelled");
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
        assert!(sleeping.iter().all(|other| !other.is_finished()), "another was cancelled too");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_under_load_holds_its_clients_and_sends_them_on() {
    // Longer than anybody waits here: no client is to be refused.
    let cluster = Arc::new(routed("router.hold = '40s'").await);
    let old = cluster.primary().await;
    let other = cluster.other_than(&old);
    let (killed, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut writers = Vec::new();
    for writer in 0..8_i64 {
        let (cluster, killed, end) = (Arc::clone(&cluster), Arc::clone(&killed), Arc::clone(&end));
        // Half of them go through the router beside the primary, half through another.
        let at = write_port(&cluster, if writer % 2 == 0 { &old } else { &other });
        writers.push(tokio::spawn(write_on(cluster, at, writer * 1_000_000, killed, end)));
    }
    for router in [&old, &other] {
        counts(&cluster, router, |now| now["read_write"]["servers"][old.as_str()] == 4).await;
    }
    cluster.playground.kill(&old, Part::Postgres).expect("it was running");
    killed.store(true, Ordering::SeqCst);
    let began = Instant::now();
    for router in [&old, &other] {
        counts(&cluster, router, |now| {
            let (port, leader) = (&now["read_write"], now["leader"].as_str());
            let servers = port["servers"].as_object().expect("an object");
            let elsewhere = servers.iter().filter(|(name, _)| Some(name.as_str()) != leader);
            let stray: u64 = elsewhere.filter_map(|(_, count)| count.as_u64()).sum();
            // A session that had only begun is sent on again without its client noticing, and is not counted twice.
            let there = leader.filter(|leader| *leader != old.as_str());
            let moved = there.and_then(|leader| servers.get(leader)).is_some_and(|all| *all == 4);
            moved && port["clients"] == 4 && stray == 0
        })
        .await;
    }
    println!("all clients of both routers at the new primary {:?} after the kill", began.elapsed());
    end.store(true, Ordering::SeqCst);
    let mut outages = Vec::new();
    for writer in writers {
        outages.push(writer.await.expect("no writer was refused"));
    }
    print_times("kill -9 of the postmaster to the next write of a client behind a router", outages);
    let held = counted(&cluster, &other).await["read_write"]["held_ever"].as_u64();
    assert!(held > Some(0), "nobody was held: {held:?}");
}

/// Writes, and connects anew when its connection ends. Returns the longest time between two writes.
async fn write_on(
    cluster: Arc<Cluster>,
    at: Address,
    mut id: i64,
    killed: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !end.load(Ordering::SeqCst) {
        let before = !killed.load(Ordering::SeqCst);
        let client = match cluster.connect(&at).await {
            Ok(client) => client,
            // Its server died while it logged in; a refusal by the router would have a code.
            Err(error) => {
                assert!(before || error.code().is_none(), "refused: {error:?}");
                let refused = format!("{error:?}").contains("ConnectionRefused");
                assert!(!refused, "the router itself was not there: {error:?}");
                continue;
            }
        };
        while !end.load(Ordering::SeqCst) {
            id += 1;
            if client.execute("INSERT INTO t VALUES ($1)", &[&id]).await.is_err() {
                break;
            }
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposed_primary_that_still_answers_loses_the_clients_of_every_router() {
    let cluster = routed("").await;
    let old = cluster.primary().await;
    let other = cluster.other_than(&old);
    let through = cluster.connect(&write_port(&cluster, &other)).await.expect("it leads there");
    let direct = cluster.connect(&cluster.playground.postgres(&old)).await.expect("it accepts");
    let reader = cluster.connect(&read_port(&cluster, &old)).await.expect("there are replicas");
    // Nobody is left who could close this Postgres: without the router, its sessions would go on.
    let guard = cluster.playground.guard(&old).expect("a member").expect("it has a guard");
    guard.signal(Signal::STOP).expect("it runs");
    cluster.playground.freeze_agent(&old).expect("it runs");
    let began = Instant::now();
    let new = loop {
        let now = counted(&cluster, &other).await;
        match now["leader"].as_str() {
            Some(leader) if leader != old.as_str() => break leader.to_owned(),
            _ => assert!(began.elapsed() < LONG, "nobody takes over: {now:#}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let (taken, ended) = (Instant::now(), began.elapsed());
    while !through.is_closed() {
        assert!(taken.elapsed() < LONG, "the client still talks to the deposed primary");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "takeover after {ended:?}; the old session was cut {:?} after it was seen",
        taken.elapsed()
    );
    direct.query_one("SELECT 1", &[]).await.expect("the deposed primary still answers by itself");
    let now = counted(&cluster, &other).await;
    assert_eq!(now["read_write"]["cut"], 1, "{now:#}");
    assert_eq!(now["read_write"]["servers"][old.as_str()], 0, "{now:#}");
    let again = cluster.connect(&write_port(&cluster, &other)).await.expect("it is sent on");
    again.execute("INSERT INTO t VALUES (1)", &[]).await.expect("the new primary writes");
    assert_ne!(server_of(&again).await, cluster.playground.postgres(&old).port);
    println!(
        "{new} leads; a reader's session through the frozen router: closed {}",
        reader.is_closed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_channel_binding_are_between_the_client_and_the_server() {
    crate::support::become_postgres();
    let directory = tempfile::Builder::new().prefix("haa-it-").tempdir_in("/tmp");
    let directory = directory.expect("a temporary directory");
    let papers = Papers::issue(directory.path(), "server");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&papers.key, private).expect("it is ours");
    let adapt = format!(
        "postgres.parameters = {{ ssl = 'on', ssl_cert_file = {:?}, ssl_key_file = {:?} }}",
        papers.certificate, papers.key
    );
    let cluster = routed(&adapt).await;
    let primary = cluster.primary().await;
    let at = write_port(&cluster, &primary);
    let password = std::fs::read_to_string(cluster.password_file(&primary, "superuser"));
    let strict = format!(
        "host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=verify-full \
         channel_binding=require sslrootcert={}",
        at.port,
        papers.ca.display()
    );
    let psql = |sql: &str| {
        let mut psql = Command::new("psql");
        psql.args([strict.as_str(), "-XAtc", sql]).env("HOME", "/nonexistent");
        psql.env("PGPASSWORD", password.as_ref().expect("it is there").trim());
        psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql is there")
    };
    let shown = psql(SHOWN).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(said.trim(), "t|f", "{}", String::from_utf8_lossy(&shown.stderr));
    // Ctrl-C in psql: its CancelRequest comes in clear, and the session's key was never seen here.
    let sleeps = psql("SELECT pg_sleep(60)");
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await.expect("it accepts");
    let asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let began = Instant::now();
    while client.query(asleep, &[]).await.expect("it answers").is_empty() {
        assert!(began.elapsed() < LONG, "psql does not come to sleep");
    }
    rustix::process::kill_process(Pid::from_child(&sleeps), Signal::INT).expect("it runs");
    let cancelled = sleeps.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&cancelled.stderr).into_owned();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    assert_eq!(counted(&cluster, &primary).await["read_write"]["cancels"], 1);
}

const SHOWN: &str = "SELECT ssl, pg_is_in_recovery() FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
