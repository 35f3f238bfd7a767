//! The port under siege, in clear and over TLS: clients that say nothing, half of it, or nonsense. Times are printed,
//! never asserted.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::port::Port;
use super::*;
use crate::tls::{Dialer, Door, Http, Identity, Plain, Tls, Verify};

/// The same port twice, with the peers' own service on it, and who can ask there.
struct Besieged {
    how: &'static str,
    port: Port,
    dialer: Dialer,
    _papers: TempDir,
}

impl Besieged {
    async fn both() -> [Self; 2] {
        [Self::open("in clear").await, Self::open("over TLS").await]
    }

    async fn open(how: &'static str) -> Self {
        let papers = tempfile::tempdir().unwrap();
        let at = |name: &str| papers.path().join(name);
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(at("node.pem"), made.cert.pem()).unwrap();
        std::fs::write(at("node.key"), made.key_pair.serialize_pem()).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(at("node.key"), private).unwrap();
        let (door, dialer) = if how == "in clear" {
            (Door::open(), Dialer::plain())
        } else {
            let identity = Identity { certificate: at("node.pem"), key: at("node.key") };
            let (verify, plain) = (Verify::None, Plain::Refused);
            let tls = Tls { identity, authority: at("node.pem"), verify, plain };
            (Door::load(&tls).unwrap(), Dialer::load(&at("node.pem"), None).unwrap())
        };
        let (inputs, _) = mpsc::channel(1);
        let peers = |api: &Api| crate::peers::router("main", api.tokens.clone(), inputs);
        let port = Port::behind(door, Bench::new(primary()), peers).await;
        Self { how, port, dialer, _papers: papers }
    }

    /// What is answered to these bytes until it closes; nothing to those whom it only sends away.
    async fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let to = Address { host: "127.0.0.1".to_owned(), port: self.port.at.port() };
        let mut stream = self.dialer.dial(&to, Http::One).await.unwrap();
        let mut heard = Vec::new();
        if stream.write_all(bytes).await.is_ok() {
            drop(stream.read_to_end(&mut heard).await);
        }
        heard
    }

    async fn health_check(&self) -> Duration {
        // A leadership that lasts for the question, and an agent at work.
        self.port.bench.alive_at.send_replace(clock::now());
        self.port.bench.status.send_replace(Some(Arc::new(primary())));
        let began = Instant::now();
        let heard = self.answer(b"GET /primary HTTP/1.0\r\n\r\n").await;
        assert!(heard.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&heard));
        began.elapsed()
    }

    async fn print_health_checks(&self, among: &str) {
        let mut times = Vec::new();
        for _ in 0..200 {
            times.push(self.health_check().await);
        }
        times.sort();
        let (p50, p99, max) = (times[100], times[198], times[199]);
        println!("health checks {} among {among}: p50 {p50:?}, p99 {p99:?}, max {max:?}", self.how);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_slow_and_half_open_clients_hold_up_no_health_check() {
    for besieged in Besieged::both().await {
        besieged.print_health_checks("nobody").await;
        let mut held = Vec::new();
        for number in 0..1_000 {
            let mut stream = besieged.port.dial().await;
            let half: &[u8] = match number % 5 {
                0 => b"",
                1 => b"GET /primary HTTP/1.1\r\nHost: x\r\n",
                2 => &[22, 3, 1, 2, 0],
                3 => b"PRI * HT",
                _ => b"G",
            };
            // Those whom newer ones crowd out may be gone already.
            drop(stream.write_all(half).await);
            if number % 5 == 3 {
                drop(stream.shutdown().await);
            }
            held.push(stream);
        }
        let dripping = tokio::spawn(drip(held));
        besieged.print_health_checks("a thousand silent, slow and half-open ones").await;
        dripping.abort();
    }
}

/// A byte at a time, for ever.
async fn drip(mut clients: Vec<TcpStream>) {
    loop {
        for client in clients.iter_mut().skip(4).step_by(5) {
            drop(client.try_write(b"G"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_in_a_word_and_leaves_nothing_behind() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for besieged in Besieged::both().await {
        besieged.health_check().await;
        let before = alive();
        let long = "x".repeat(40_000);
        let many: String = (0..200).map(|number| format!("h{number}: x\r\n")).collect();
        for (request, code) in [
            ("\0\0\r\n\r\n".to_owned(), "400"),
            ("GET /primary HTTP/9.9\r\n\r\n".to_owned(), "400"),
            ("GET /primary HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), "400"),
            (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), "4"),
            (format!("GET / HTTP/1.1\r\nHost: x\r\nlong: {long}\r\n\r\n"), "431"),
            (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "431"),
            ("POST /config HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n".to_owned(), "400"),
        ] {
            let heard = besieged.answer(request.as_bytes()).await;
            let heard = String::from_utf8_lossy(&heard);
            let told = format!("HTTP/1.1 {code}");
            let start: String = request.chars().take(40).collect();
            assert!(heard.starts_with(&told), "{}: {start:?}: {heard:?}", besieged.how);
        }
        let mut random = crate::fuzz::random(7);
        for round in 0..300 {
            let mut bytes = random(300);
            // The peers' own protocol, and the head of a handshake.
            match round % 3 {
                0 => drop(bytes.splice(..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
                1 => bytes[..3].copy_from_slice(&[22, 3, 1]),
                _ => {}
            }
            let mut stream = besieged.port.dial().await;
            drop(stream.write_all(&bytes).await);
            drop(stream.shutdown().await);
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest).await);
            if round % 3 == 0 && besieged.how == "over TLS" {
                let mut framed = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                framed.extend(random(100));
                drop(besieged.answer(&framed).await);
            }
        }
        besieged.health_check().await;
        let began = Instant::now();
        while alive() > before {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{} tasks, {before} before",
                alive()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
