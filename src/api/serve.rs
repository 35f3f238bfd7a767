//! The port: accepts, serves HTTP/1 and HTTP/2, and outlives bad clients. Never knows what is asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Api, router};
use crate::tls::{Accepted, Door, Rights};

/// So many connections at a time; with one more, the oldest that asks nothing is closed.
const CONNECTIONS: usize = 512;
/// A connection has asked something by then, and asks the next thing.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// An HTTP/2 peer that answers no ping for this long is gone.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Answers under way have this long when the agent stops.
const DRAIN: Duration = Duration::from_secs(2);
/// After a failed accept (no file descriptors left, say), this long until the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection does.
#[derive(Debug, Default)]
struct Doing {
    /// Requests without an answer yet.
    open: AtomicUsize,
    /// Told when the first request is here.
    first: Notify,
}

struct Connection {
    doing: Arc<Doing>,
    task: AbortHandle,
}

/// To whoever commands a port that wants to know by a certificate who does.
const NOT_CERTIFIED: &str = "this needs a client certificate (api.verify_client): give haactl a \
                             --cert-file and a --key-file";

/// Serves the API and `peers` to whom `door` lets in until `shutdown`, then lets answers under way end.
///
/// # Errors
/// The listener is not usable.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    api: Api,
    peers: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    listener.local_addr()?;
    let router = router(api, peers);
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<Connection> = VecDeque::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = tasks.join_next() => open.retain(|one| !one.task.is_finished()),
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    if !make_room(&mut open) {
                        continue;
                    }
                    let doing = Arc::new(Doing::default());
                    let (router, stop) = (router.clone(), shutdown.clone());
                    let talk = Talk { router, from, doing: Arc::clone(&doing), stop };
                    let task = tasks.spawn(talk.enter(door.clone(), stream));
                    open.push_back(Connection { doing, task });
                }
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept a connection");
                    let pause = tokio::time::timeout(ACCEPT_PAUSE, shutdown.cancelled());
                    if pause.await.is_ok() {
                        break;
                    }
                }
            },
        }
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tasks.shutdown().await;
    }
    Ok(())
}

/// Room for one more, if need be by closing the oldest connection that asks nothing at the moment.
fn make_room(open: &mut VecDeque<Connection>) -> bool {
    if open.len() < CONNECTIONS {
        return true;
    }
    let idle = open.iter().position(|one| one.doing.open.load(Ordering::Relaxed) == 0);
    match idle.and_then(|at| open.remove(at)) {
        Some(oldest) => {
            oldest.task.abort();
            true
        }
        None => false,
    }
}

/// One connection.
struct Talk {
    router: Router,
    from: SocketAddr,
    doing: Arc<Doing>,
    stop: CancellationToken,
}

impl Talk {
    async fn enter(self, door: Door, stream: TcpStream) {
        // Small answers: waiting for more to send would only delay them.
        drop(stream.set_nodelay(true));
        match tokio::time::timeout(HEAD_PATIENCE, door.accept(stream)).await {
            Ok(Ok(accepted)) => self.run(accepted).await,
            Ok(Err(error)) => {
                tracing::debug!(from = %self.from, %error, "an API connection was not let in");
            }
            Err(_) => {}
        }
    }

    async fn run(self, Accepted { stream, rights }: Accepted) {
        let doing = Arc::clone(&self.doing);
        let stop = self.stop.clone();
        let builder = protocols();
        let answer = service_fn(move |request| self.answer(request, rights));
        let mut turn = pin!(builder.serve_connection(TokioIo::new(stream), answer));
        // Covers what a client may hold back before the protocol is known; afterwards hyper's own limits do.
        let mut first = pin!(tokio::time::timeout(HEAD_PATIENCE, doing.first.notified()));
        let (mut judged, mut stopping) = (false, false);
        loop {
            tokio::select! {
                ended = turn.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an API connection ended early");
                    }
                    return;
                }
                asked = first.as_mut(), if !judged => {
                    judged = true;
                    if asked.is_err() {
                        return;
                    }
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    turn.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        rights: Rights,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        let open = Open::new(Arc::clone(&self.doing));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.from));
        let patience = Patience { doing: Arc::clone(&self.doing), stop: self.stop.clone() };
        request.extensions_mut().insert(patience);
        let barred = rights == Rights::Questions && !request.method().is_safe();
        let answered = self.router.clone().oneshot(request);
        async move {
            let response = if barred {
                Ok((StatusCode::FORBIDDEN, NOT_CERTIFIED).into_response())
            } else {
                answered.await
            };
            drop(open);
            response
        }
    }
}

/// A request without an answer yet, counted for as long as this lives.
struct Open(Arc<Doing>);

impl Open {
    fn new(doing: Arc<Doing>) -> Self {
        doing.open.fetch_add(1, Ordering::Relaxed);
        doing.first.notify_one();
        Self(doing)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an answer that takes its time knows of its connection: whoever waits does not keep others out, nor the agent
/// from stopping.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    doing: Arc<Doing>,
    stop: CancellationToken,
}

impl Patience {
    /// Waits for `event` for an answer that has begun; `None` when the agent stops.
    pub(super) async fn stream<T>(&self, event: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(event).await
    }

    /// Waits for `event` before an answer; `None` when the agent stops. Meanwhile the connection counts as idle.
    pub(super) async fn wait<T>(&self, event: impl Future<Output = T>) -> Option<T> {
        let _idle = Idle::new(&self.doing);
        self.stop.run_until_cancelled(event).await
    }
}

struct Idle<'a>(&'a Doing);

impl<'a> Idle<'a> {
    fn new(doing: &'a Doing) -> Self {
        doing.open.fetch_sub(1, Ordering::Relaxed);
        Self(doing)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_add(1, Ordering::Relaxed);
    }
}

/// HTTP/1 and, for the peers, HTTP/2 by prior knowledge.
fn protocols() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(16 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(64)
        .max_header_list_size(16 * 1024);
    builder
}
