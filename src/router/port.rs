//! A port: accepts clients, sees them off when the router stops. Never knows what they say.

use std::sync::Arc;
use std::time::Duration;

use haa_core::seat::Access;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cancels::Cancels;
use super::client::Client;
use super::compass::Compass;
use super::counters::{Counters, Counts};
use super::lobby::Lobby;
use super::server::keep_alive;

/// After a failed accept (no file descriptors left, say), this long until the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How much a port takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_connections: u64,
    pub(super) max_held: u64,
    pub(super) hold: Duration,
    pub(super) drain: Duration,
}

/// A port and all that its clients share.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) lobby: Lobby,
    pub(super) cancels: Cancels,
    pub(super) counters: Arc<Counters>,
    /// No new clients, and nobody is held any more.
    pub(super) stop: CancellationToken,
    /// Nobody at all.
    pub(super) cut: CancellationToken,
}

impl Port {
    pub(super) fn counts(&self) -> &Counts {
        match self.access {
            Access::Write => &self.counters.read_write,
            Access::Read => &self.counters.read_only,
        }
    }

    /// Until it is told to stop and its clients have left, or their time is over.
    pub(super) async fn run(self, listener: TcpListener, compass: Compass) {
        let port = Arc::new(self);
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = port.stop.cancelled() => break,
                Some(_) = clients.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        port.counts().accepted.one();
                        if keep_alive(&stream).is_ok() {
                            let (port, compass) = (Arc::clone(&port), compass.clone());
                            clients.spawn(async move {
                                Client { port: &port, stream, compass }.run().await;
                            });
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, access = ?port.access, "the router cannot accept a connection");
                        let pause = tokio::time::timeout(ACCEPT_PAUSE, port.stop.cancelled());
                        if pause.await.is_ok() {
                            break;
                        }
                    }
                },
            }
        }
        drop(listener);
        let drained = async { while clients.join_next().await.is_some() {} };
        if tokio::time::timeout(port.limits.drain, drained).await.is_err() {
            tracing::info!(clients = clients.len(), access = ?port.access, "the router cuts who has not left");
            port.cut.cancel();
            clients.shutdown().await;
        }
    }
}
