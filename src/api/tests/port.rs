//! The port itself: old protocols, bad clients, an end in order.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::api::serve;
use crate::ctl::http::Ask;
use crate::tls::Door;

pub(super) struct Port {
    pub(super) at: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    pub(super) bench: Bench,
}

impl Port {
    pub(super) async fn open() -> Self {
        Self::of(Bench::new(primary())).await
    }

    async fn of(bench: Bench) -> Self {
        let peers = |_: &Api| Router::new().fallback(|| async { StatusCode::OK });
        Self::behind(Door::open(), bench, peers).await
    }

    pub(super) async fn behind(
        door: Door,
        bench: Bench,
        peers: impl FnOnce(&Api) -> Router,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let peers = peers(&bench.api);
        let serving = tokio::spawn(serve(listener, door, bench.api.clone(), peers, stop.clone()));
        Self { at, stop, serving, bench }
    }

    pub(super) async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// What comes back until the server closes.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.dial().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        heard
    }
}

#[tokio::test]
async fn http_1_0_without_any_header_is_answered() {
    let port = Port::open().await;
    let heard = port.say("OPTIONS /primary HTTP/1.0\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.0 200 OK\r\n"), "{heard}");
    let heard = port.say("GET /replica HTTP/1.0\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.0 503 "), "{heard}");
    let heard = port.say("HEAD /primary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.ends_with("\r\n\r\n"), "{heard}");
}

/// As haactl does it.
#[tokio::test]
async fn a_token_is_sent_to_whoever_does_not_answer_without() {
    let mut bench = Bench::new(primary());
    bench.api.questions = Questions::Token;
    let port = Port::of(bench).await;
    let at = port.at.to_string().parse().unwrap();
    let asked = Ask::get("/cluster");
    assert_eq!(asked.send(&at).await.unwrap().status, 401);
    let viewer = Some("viewer-viewer-viewer".to_owned());
    assert_eq!(asked.clone().or_with(viewer).send(&at).await.unwrap().status, 200);
    let stranger = Some("wrong-wrong-wrong-wrong".to_owned());
    assert_eq!(asked.or_with(stranger).send(&at).await.unwrap().status, 401);
}

#[tokio::test]
async fn http_2_by_prior_knowledge_is_answered() {
    let port = Port::open().await;
    let io = hyper_util::rt::TokioIo::new(port.dial().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, turning) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(turning);
    let uri = format!("http://{}/primary", port.at);
    let request =
        Request::builder().uri(uri).body(http_body_util::Empty::<hyper::body::Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn silent_and_half_spoken_clients_starve_nobody() {
    let port = Port::open().await;
    let mut silent = Vec::new();
    for number in 0..600 {
        let mut stream = port.dial().await;
        let half: &[u8] = match number % 3 {
            0 => b"",
            1 => b"PRI * HT",
            _ => b"GET /primary HTTP/1.1\r\nHost: x\r\n",
        };
        stream.write_all(half).await.unwrap();
        silent.push(stream);
    }
    let heard = port.say("GET /primary HTTP/1.0\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.0 200 OK"), "{heard}");
    // Each of them is sent away: with an answer (408) or without, the connection ends.
    for mut stream in silent {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    }
}

#[tokio::test]
async fn when_stopped_it_ends_although_clients_hold_on() {
    let port = Port::open().await;
    let mut idle = port.dial().await;
    idle.write_all(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0_u8; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let _silent = port.dial().await;
    port.stop.cancel();
    port.serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(port.at).await.is_err());
}

#[tokio::test]
async fn clients_that_wait_for_a_change_starve_nobody_and_keep_nobody_from_stopping() {
    let port = Port::open().await;
    let heard = port.say("GET /routes HTTP/1.0\r\n\r\n").await;
    let tag = heard.lines().find_map(|line| line.strip_prefix("etag: ")).expect("it is marked");
    let wait = format!("GET /routes?wait=5m HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\n\r\n");
    let stream = "GET /routes/stream HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut waiting = Vec::new();
    for number in 0..600 {
        let mut client = port.dial().await;
        let ask = if number % 2 == 0 { wait.as_str() } else { stream };
        client.write_all(ask.as_bytes()).await.unwrap();
        waiting.push(client);
        if number % 2 == 1 {
            // It is answered: the connection was taken.
            waiting.last_mut().unwrap().readable().await.unwrap();
        }
    }
    let heard = port.say("GET /primary HTTP/1.0\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.0 200 OK"), "{heard}");
    port.stop.cancel();
    port.serving.await.unwrap().unwrap();
    let last = waiting.last_mut().unwrap();
    let mut rest = Vec::new();
    last.read_to_end(&mut rest).await.expect("a stream ends in order");
}
