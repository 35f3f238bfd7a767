//! A load generator: connections that ask `/primary` again as soon as they are answered. Never more than one question
//! at once on each.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use haa_core::units::Address;

use crate::report::load::Asked;

/// An agent that takes longer has not answered.
const ANSWER: Duration = Duration::from_secs(2);
/// After a failure.
const AGAIN: Duration = Duration::from_millis(10);

/// What one connection saw.
#[derive(Debug, Default)]
struct Tally {
    /// Microseconds that each answer took.
    took: Vec<u32>,
    /// Answers with 200.
    ok: u64,
    failed: u64,
    /// A server that closes after each answer has many.
    connections: u64,
}

type Sender = SendRequest<Empty<Bytes>>;

/// Asks this agent from the host of the clients for so long.
///
/// # Errors
/// When the generator itself fails, or nothing was answered.
pub(super) async fn ask(
    clients: &Handle,
    agent: &Address,
    connections: usize,
    length: Duration,
) -> anyhow::Result<Asked> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn_on(one(agent.clone(), began + length), clients);
    }
    let tallies = tasks.join_all().await;
    summed(&tallies, connections, began.elapsed())
        .with_context(|| format!("{agent} answered /primary not once"))
}

fn summed(tallies: &[Tally], connections: usize, length: Duration) -> Option<Asked> {
    let mut took: Vec<u32> = tallies.iter().flat_map(|tally| tally.took.iter().copied()).collect();
    took.sort_unstable();
    let count = u32::try_from(took.len()).unwrap_or(u32::MAX);
    let of = |percent| crate::report::percentile(&took, percent).map(|us| f64::from(us) / 1000.0);
    Some(Asked {
        connections,
        per_second: f64::from(count) / length.as_secs_f64().max(0.001),
        p50_ms: of(50)?,
        p99_ms: of(99)?,
        max_ms: of(100)?,
        not_200: u64::from(count) - tallies.iter().map(|tally| tally.ok).sum::<u64>(),
        failed: tallies.iter().map(|tally| tally.failed).sum(),
        opened: tallies.iter().map(|tally| tally.connections).sum(),
        agent_cpu_percent: 0.0,
    })
}

async fn one(agent: Address, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<Sender> = None;
    while Instant::now() < end {
        let began = Instant::now();
        let asked = timeout(ANSWER, once(&agent, &mut kept, &mut tally.connections)).await;
        match asked {
            Ok(Ok(status)) => {
                let took = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
                tally.took.push(took);
                tally.ok += u64::from(status == 200);
            }
            Ok(Err(_)) | Err(_) => {
                kept = None;
                tally.failed += 1;
                // Where nobody listens the next try would fail at once, and ours would be the load.
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    tally
}

/// Asks over the connection that is kept, or a new one when the server has closed it.
async fn once(agent: &Address, kept: &mut Option<Sender>, opened: &mut u64) -> anyhow::Result<u16> {
    let usable = match kept.as_mut() {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    let sender = match kept {
        Some(sender) if usable => sender,
        Some(_) | None => {
            *opened += 1;
            kept.insert(connect(agent).await?)
        }
    };
    let request = Request::get("/primary").header(header::HOST, agent.to_string());
    let answer = sender.send_request(request.body(Empty::new())?).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await?;
    Ok(status)
}

async fn connect(agent: &Address) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect((agent.host.as_str(), agent.port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_summed() {
        let one = Tally { took: vec![3000, 1000], ok: 2, failed: 0, connections: 1 };
        let other = Tally { took: vec![2000, 4000], ok: 1, failed: 3, connections: 2 };
        let asked = summed(&[one, other], 2, Duration::from_secs(2)).unwrap();
        assert!((asked.per_second - 2.0).abs() < 1e-9);
        assert!((asked.p50_ms - 2.0).abs() < 1e-9 && (asked.p99_ms - 4.0).abs() < 1e-9);
        assert_eq!((asked.not_200, asked.failed, asked.opened), (1, 3, 3));
        assert!(summed(&[Tally::default()], 1, Duration::from_secs(1)).is_none());
    }

    /// One server that keeps its connections and one that closes them after each answer.
    #[tokio::test]
    async fn a_closed_connection_is_opened_anew() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        for (head, more) in [("HTTP/1.1 200 OK", false), ("HTTP/1.0 200 OK", true)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                        let text = format!("{head}\r\ncontent-length: 2\r\n\r\nok");
                        let _ = stream.write_all(text.as_bytes()).await;
                        if more {
                            break;
                        }
                    }
                }
            });
            let agent = Address { host: "127.0.0.1".to_owned(), port };
            let (mut kept, mut opened) = (None, 0);
            for _ in 0..3 {
                assert_eq!(once(&agent, &mut kept, &mut opened).await.unwrap(), 200);
            }
            assert_eq!(opened, if more { 3 } else { 1 }, "{head}");
            server.abort();
        }
    }
}
