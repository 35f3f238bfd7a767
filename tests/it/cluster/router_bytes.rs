//! A router and clients that are refused, silent, slow or mad: byte by byte, as no library would send them.

use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::error::SqlState;

use super::fixture::{Cluster, LONG};
use super::router::{counted, counts, read_port, routed, write_port};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];
const STARTUP: &[u8] = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";

async fn dial(at: &Address) -> TcpStream {
    TcpStream::connect((at.host.as_str(), at.port)).await.expect("the router listens")
}

/// All that it says until it closes; a reset is no farewell.
async fn to_the_end(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut said)).await;
    read.expect("it closes the connection").expect("in order, without a reset");
    said
}

fn is_fatal(said: &[u8], code: &str) -> bool {
    let field = format!("\0C{code}\0");
    said.first() == Some(&b'E') && said.windows(field.len()).any(|part| part == field.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_hold_is_over_the_client_is_told() {
    let cluster = routed("router.hold = '5s'\nrouter.max_held = 3").await;
    let last = cluster.other_than(&cluster.primary().await);
    for member in cluster.playground.names().into_iter().filter(|name| *name != last) {
        cluster.playground.kill(&member, Part::Host).expect("it ran");
    }
    let at = write_port(&cluster, &last);
    // Until the loss is known here, a client may still be sent to a server that is gone: it is held as well.
    let began = Instant::now();
    let refused = cluster.connect(&at).await.map(drop).expect_err("nobody leads");
    println!("held for {:?}: {refused:?}", began.elapsed());
    assert_eq!(refused.code(), Some(&SqlState::CANNOT_CONNECT_NOW), "{refused:?}");
    let now = counted(&cluster, &last).await;
    assert_eq!(now["read_write"]["hold_expired"], 1, "{now:#}");

    // One that asks for encryption first hears that there is none here, and then why.
    let mut client = dial(&at).await;
    for request in [GSS_REQUEST, SSL_REQUEST] {
        client.write_all(&request).await.expect("it listens");
        assert_eq!(client.read_u8().await.expect("it answers"), b'N');
    }
    client.write_all(STARTUP).await.expect("it listens");
    let said = to_the_end(client).await;
    assert!(is_fatal(&said, "57P03"), "{}", String::from_utf8_lossy(&said));

    // Three are held; the fourth is told at once; one that leaves is not held any more.
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = dial(&at).await;
        client.write_all(STARTUP).await.expect("it listens");
        held.push(client);
    }
    counts(&cluster, &last, |now| now["read_write"]["held"] == 3).await;
    let mut fourth = dial(&at).await;
    fourth.write_all(STARTUP).await.expect("it listens");
    let said = to_the_end(fourth).await;
    assert!(String::from_utf8_lossy(&said).contains("too many wait"), "{said:?}");
    drop(held);
    counts(&cluster, &last, |now| now["read_write"]["clients"] == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mad_and_silent_clients_do_no_harm() {
    let cluster = routed("router.max_connections = 20").await;
    let member = cluster.primary().await;
    let (write, read) = (write_port(&cluster, &member), read_port(&cluster, &member));
    let (began, before) = (Instant::now(), files(&cluster));

    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33).to_be_bytes()
    };
    for round in 0..200 {
        let mut client = dial(if round % 2 == 0 { &write } else { &read }).await;
        let mut bytes = random().to_vec();
        bytes.extend(random());
        // Some look like the beginning of a packet.
        if round % 4 == 0 {
            bytes[..6].copy_from_slice(&[0, 0, 0, 40, 0, 3]);
        }
        client.write_all(&bytes).await.expect("it listens");
    }
    let said = {
        let mut client = dial(&write).await;
        client.write_all(b"GET /primary HTTP/1.1\r\n\r\n").await.expect("it listens");
        to_the_end(client).await
    };
    assert!(is_fatal(&said, "08P01"), "{}", String::from_utf8_lossy(&said));

    // More than the lobby has room for, silent or in the middle of their first packet: a client still comes through.
    let mut silent = Vec::new();
    for count in 0..300 {
        let mut client = dial(&write).await;
        client.write_all(&STARTUP[..count % 4]).await.expect("it listens");
        silent.push(client);
    }
    let asked = Instant::now();
    let client = cluster.connect(&write).await.expect("there is room");
    client.execute("INSERT INTO t VALUES (1)", &[]).await.expect("it writes");
    println!("a client among 300 silent ones was served after {:?}", asked.elapsed());
    for client in silent {
        to_the_end(client).await;
    }

    // No more than may, and the next one hears why.
    let mut clients = vec![client];
    while clients.len() < 20 {
        clients.push(cluster.connect(&write).await.expect("there is room"));
    }
    let refused = cluster.connect(&write).await.map(drop).expect_err("there is none");
    assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{refused:?}");
    drop(clients);

    counts(&cluster, &member, |now| {
        now["read_write"]["clients"] == 0 && now["read_only"]["clients"] == 0
    })
    .await;
    let now = counted(&cluster, &member).await;
    assert!(now["read_write"]["unreadable"].as_u64() > Some(0), "{now:#}");
    assert!(now["read_write"]["silent"].as_u64() > Some(0), "{now:#}");
    // The probes of haad itself open and close some: what 500 clients had must be gone.
    while files(&cluster) > before + 20 {
        assert!(began.elapsed() < LONG, "{} files are open, {before} were", files(&cluster));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("open files of haad: {before} before, {} after", files(&cluster));
}

/// Open files of all agents.
fn files(cluster: &Cluster) -> usize {
    let agents = cluster.playground.names().into_iter().filter_map(|name| {
        let agent = cluster.playground.agent(&name).expect("a member")?;
        std::fs::read_dir(format!("/proc/{}/fd", agent.pid)).ok()
    });
    agents.map(Iterator::count).sum()
}
