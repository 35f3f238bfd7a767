//! The knock: whether anybody who begins a connection is answered, tried once a second. Sessions that are there show
//! their backends only, and those live on when the postmaster hangs. Never concludes that it does.
//!
//! What is sent is the question for encryption. It is answered by one byte, before a server asks who is there: it needs
//! no role, takes no place among `max_connections`, and leaves no line in Postgres' log but by `log_connections`.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::site::Site;

/// Between two knocks.
const EVERY: Duration = Duration::from_secs(1);
/// An agent that was frozen takes no more than this for silence.
const STEP: Duration = Duration::from_millis(250);
/// After so many steps it is tried once more: a single backend may hang.
const STEPS: u32 = 8;
/// `SSLRequest`: its length, and its code.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// For how long nobody was answered, in milliseconds.
pub(super) struct Knocks(AtomicU64);

impl Knocks {
    pub(super) const fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// As of now.
    pub(super) fn unanswered_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    async fn knock(&self, socket: &Path, step: Duration) {
        let answer = answered(socket);
        tokio::pin!(answer);
        for _ in 0..STEPS {
            if timeout(step, &mut answer).await.is_ok() {
                return self.0.store(0, Ordering::Relaxed);
            }
            let ms = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
            self.0.fetch_add(ms, Ordering::Relaxed);
        }
    }
}

/// Knocks as long as it is not dropped.
pub(super) async fn knock(site: Arc<Site>) {
    let listen = format!(".s.PGSQL.{}", site.config.listen.port);
    let socket = site.config.socket_directory.join(listen);
    loop {
        site.knocks.knock(&socket, STEP).await;
        if site.knocks.unanswered_ms() == 0 {
            sleep(EVERY).await;
        }
    }
}

/// Returns when anything has come back, be it that nobody listens: whoever looks knows why.
async fn answered(socket: &Path) {
    match exchange(socket).await {
        // So many wait already that none is taken into the queue.
        Err(error) if error.kind() == ErrorKind::WouldBlock => std::future::pending().await,
        Ok(()) | Err(_) => {}
    }
}

async fn exchange(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&REQUEST).await?;
    stream.read_u8().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_adds_up_until_somebody_answers_or_is_gone() {
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(9));
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let knocks = Knocks::none();
        let listener = tokio::net::UnixListener::bind(&socket).expect("bound");
        knocks.knock(&socket, short).await;
        knocks.knock(&socket, short).await;
        assert_eq!(knocks.unanswered_ms(), 16, "nobody takes the connections");
        let serve = async {
            for _ in 0..3 {
                let (mut client, _) = listener.accept().await.expect("a client");
                let mut asked = [0; 8];
                client.read_exact(&mut asked).await.expect("it asks");
                assert_eq!(asked, REQUEST);
                // Whoever gave up is gone already.
                drop(client.write_all(b"N").await);
            }
        };
        tokio::join!(serve, knocks.knock(&socket, long));
        assert_eq!(knocks.unanswered_ms(), 0, "it was answered");
        knocks.knock(&socket, short).await;
        assert_eq!(knocks.unanswered_ms(), 8);
        drop(listener);
        knocks.knock(&socket, long).await;
        assert_eq!(knocks.unanswered_ms(), 0, "nobody listens, which anybody can see");
    }
}
