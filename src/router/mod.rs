//! The TCP router: a port for writers and one for readers, each client sent to the right server. Never decides which
//! (the core does), never ends TLS, never runs on the agent's threads.
//!
//! ```text
//!   client --> lobby: first packet --> place (held while there is nobody) --> relay --> ended, or cut
//!                       |                 ^                                     ^
//!                       v                 | every status                        | a new leader
//!                    cancels          compass <---------- what the agent publishes
//! ```

mod answer;
mod cancels;
mod client;
mod compass;
mod counters;
mod lobby;
mod packet;
mod port;
mod relay;
mod server;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use haa_core::routes::Status;
use haa_core::seat::Access;
use haa_core::units::{Address, Millis};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use counters::{Counters, Port as ShownPort, Shown};

use crate::config;
use cancels::Cancels;
use compass::Compass;
use lobby::Lobby;
use port::{Limits, Port};

/// File descriptors that the agent and those who are not yet clients may need.
const RESERVE: u64 = 1024;
/// Beyond the drain, for the last connections to be closed.
const LAST: Duration = Duration::from_secs(1);

/// A running router.
#[derive(Debug)]
pub struct Router {
    counters: Arc<Counters>,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
    drain: Duration,
}

impl Router {
    /// Listens, and relays on threads of its own: a flood of clients must not delay the agent.
    ///
    /// # Errors
    /// A port is not free, or there are no threads.
    pub fn start(
        config: &config::Router,
        status: watch::Receiver<Option<Arc<Status>>>,
        alive_at: watch::Receiver<Millis>,
    ) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for (key, access, at) in [
            ("read_write", Access::Write, &config.read_write),
            ("read_only", Access::Read, &config.read_only),
        ] {
            if let Some(at) = at {
                listeners.push((access, listen(key, at)?));
            }
        }
        let limits = Limits {
            max_connections: affordable(config.max_connections, listeners.len()),
            max_held: config.max_held,
            hold: config.hold,
            drain: config.drain,
        };
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let port = |access| Port {
            access,
            limits,
            lobby: Lobby::default(),
            cancels: Cancels::default(),
            counters: Arc::clone(&counters),
            stop: stop.clone(),
            cut: CancellationToken::new(),
        };
        let ports: Vec<(TcpListener, Port)> =
            listeners.into_iter().map(|(access, listener)| (listener, port(access))).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("haa-router")
            .enable_all()
            .build()
            .context("no threads for the router")?;
        let (end, ended) = oneshot::channel();
        let run = move || {
            runtime.block_on(run(ports, status, alive_at));
            // Nobody waits for this end any more if the agent is gone.
            let _ = end.send(());
        };
        std::thread::Builder::new()
            .name("haa-router".to_owned())
            .spawn(run)
            .context("no thread for the router")?;
        Ok(Self { counters, stop, ended, drain: config.drain })
    }

    /// What it counts.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Takes no more clients, lets those that are connected go on for the drain's time, and cuts the rest.
    pub async fn leave(self) {
        self.stop.cancel();
        if tokio::time::timeout(self.drain + LAST, self.ended).await.is_err() {
            tracing::debug!("the router did not end in time");
        }
    }
}

fn listen(key: &str, at: &Address) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((at.host.as_str(), at.port)).with_context(|| {
        format!(
            "cannot listen on {at} for the router: free the port, or change router.{key} in haad.toml"
        )
    })?;
    listener.set_nonblocking(true).context("the router's port cannot be used")?;
    Ok(listener)
}

async fn run(
    ports: Vec<(TcpListener, Port)>,
    status: watch::Receiver<Option<Arc<Status>>>,
    alive_at: watch::Receiver<Millis>,
) {
    let compass = Compass::follow(status, alive_at);
    let ports = ports.into_iter().map(|(listener, port)| {
        let compass = compass.clone();
        async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => port.run(listener, compass).await,
                Err(error) => tracing::error!(%error, "a port of the router cannot be used"),
            }
        }
    });
    futures_util::future::join_all(ports).await;
}

/// A client takes two file descriptors. Raises their limit as far as this process may; what is left is for the agent.
fn affordable(wished: u64, ports: usize) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    };
    let ports = u64::try_from(ports).unwrap_or(1).max(1);
    let most = (files.saturating_sub(RESERVE) / 2 / ports).max(1);
    if most < wished {
        tracing::warn!(
            files,
            wished,
            most,
            "router.max_connections is more than the limit of open files allows: raise LimitNOFILE, or lower it"
        );
    }
    wished.min(most)
}
