//! HTTP on one port: health checks, documents, routes, commands. Never decides, never asks Postgres.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, delete, on, post};
use haa_core::records::{RequestId, RequestRecord};
use haa_core::routes::Status;
use haa_core::settings::{KeptSlot, Settings};
use haa_core::units::{Millis, Revision, Term};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

mod carry;
mod checks;
mod cluster;
mod commands;
mod doctor;
pub(crate) mod document;
mod metrics;
mod parameters;
mod planned;
mod query;
mod questions;
mod refusals;
mod reload;
mod requests;
mod routes;
mod schedule;
mod serve;
mod settings;
mod sites;
#[cfg(test)]
mod tests;
pub mod tokens;

use crate::agent::Reloaded;
use crate::config::Questions;
use crate::doctor::Report;
use crate::guard::Standing;
use crate::postgres::{Held, Shown};
use crate::router::Counters;
use crate::store::Chapter;
pub use metrics::Metrics;
pub(crate) use planned::{Undone, due};
use refusals::Allowance;
pub use serve::serve;
use tokens::Tokens;

/// What the API answers from and whom it asks.
#[derive(Clone, Debug)]
pub struct Api {
    /// What the node published last; `None` before the first time.
    pub status: watch::Receiver<Option<Arc<Status>>>,
    /// Where what needs the store is asked.
    pub calls: mpsc::Sender<Call>,
    /// Who may command.
    pub tokens: Tokens,
    /// Who may ask.
    pub questions: Questions,
    /// The cluster's name.
    pub cluster: String,
    /// `http`, or `https` where the members' ports speak TLS.
    pub scheme: &'static str,
    /// When the agent's loop turned last.
    pub alive_at: watch::Receiver<Millis>,
    /// What the router counts, if there is one.
    pub router: Option<Arc<Counters>>,
    /// What the guard has confirmed, if there is to be one.
    pub guard: Option<watch::Receiver<Standing>>,
    /// How the operator's replication slots are.
    pub slots: watch::Receiver<BTreeMap<String, Shown>>,
    /// What every slot holds.
    pub held: watch::Receiver<BTreeMap<String, Held>>,
    /// What is counted as it happens.
    pub metrics: Arc<Metrics>,
}

/// What the API asks of the store.
#[derive(Debug)]
pub enum Call {
    /// Write down what an operator asks for.
    Ask {
        /// Its name, random.
        id: RequestId,
        /// What is asked.
        record: RequestRecord,
        /// Whether it was written.
        reply: oneshot::Sender<Result<(), Unwritten>>,
    },
    /// Write down what operators ask for in advance, all of it or nothing.
    Plan {
        /// Their names, random, and what is asked; one at least.
        plan: Vec<(RequestId, RequestRecord)>,
        /// Whether they were written.
        reply: oneshot::Sender<Result<(), Unwritten>>,
    },
    /// Take back what nobody has acted on.
    Withdraw {
        /// Its name.
        id: RequestId,
        /// What was asked, where nobody knows whether it was written: it is not to come later.
        unseen: Option<RequestRecord>,
        /// What it is answered with, in a sentence.
        why: String,
        /// Whether it was taken back; not if somebody acts on it by now.
        reply: oneshot::Sender<Result<bool, Unwritten>>,
    },
    /// Write other settings, and the event that tells of it.
    Change {
        /// Unless they were changed since this revision.
        since: Revision,
        /// What they are from now on.
        settings: Box<Settings>,
        /// The name of the event, random, and what it tells.
        event: (RequestId, RequestRecord),
        /// Whether they were written, or changed by somebody else before.
        reply: oneshot::Sender<Result<bool, Unwritten>>,
    },
    /// Judge parameters of Postgres before they are written.
    Vet {
        /// What is new of them.
        wanted: BTreeMap<String, String>,
        /// All that would be.
        whole: BTreeMap<String, String>,
        /// Slots that are new.
        slots: BTreeMap<String, KeptSlot>,
        /// What speaks against them, a sentence each; else why nobody can say.
        reply: oneshot::Sender<Result<Vec<String>, String>>,
    },
    /// Tell of a command that was refused here.
    Refused {
        /// What is told.
        event: RequestRecord,
    },
    /// Read `haad.toml` again.
    Reload {
        /// Who asks, and from where.
        by: String,
        /// What came of it; else what is wrong with the file.
        reply: oneshot::Sender<Result<Reloaded, String>>,
    },
    /// Every leadership on record, oldest first.
    History {
        /// The records; else why not, in a sentence.
        reply: oneshot::Sender<Result<Vec<(Term, Chapter)>, String>>,
    },
    /// Look at this member's setup.
    Examine {
        /// What was found.
        reply: oneshot::Sender<Report>,
    },
    /// What operators asked for and came to its end, oldest first.
    Events {
        /// The records; else why not, in a sentence.
        reply: oneshot::Sender<Result<Vec<(RequestId, RequestRecord)>, String>>,
    },
}

/// Why the store is not known to have written something down, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// It has not, and will not.
    No(String),
    /// Nobody knows: it may have, and may yet.
    Perhaps(String),
}

/// Every path of ours, then `peers`, then our own 404: a stranger's fallback must not answer a mistyped check.
pub fn router(api: Api, peers: Router) -> Router {
    let api = Arc::new(api);
    let mut ours = Router::new();
    for (path, check) in checks::PATHS {
        ours = ours.route(path, asked(move |api, uri| checks::answer(*check, api, uri)));
    }
    ours.route("/patroni", asked(checks::member))
        .route("/cluster", asked(cluster::cluster))
        .route("/config", settings::paths())
        .route("/status", asked(cluster::verdict))
        .route("/history", on(READ, cluster::history))
        .route("/why", on(READ, cluster::why))
        .route("/events", on(READ, cluster::events))
        .route("/routes", on(READ, routes::all))
        .route("/routes/primary", on(READ, routes::primary))
        .route("/routes/read", on(READ, routes::read))
        .route("/routes/stream", on(READ, routes::stream))
        .route("/doctor", on(READ, doctor::doctor))
        .route("/router", asked(routes::router))
        .route("/metrics", asked(metrics::metrics))
        .route("/switchover", post(commands::switchover).delete(schedule::forget_switchover))
        .route("/failover", post(commands::failover))
        .route("/drain", post(commands::drain))
        .route("/restart", post(commands::restart).delete(schedule::forget_restart))
        .route("/reload", post(reload::reload))
        .route("/undrain", post(commands::undrain))
        .route("/promote-cluster", post(sites::promote))
        .route("/demote-cluster", post(sites::demote))
        .route("/remove", post(commands::remove))
        .route("/reinitialize", post(commands::reinitialize))
        .route("/requests", asked(requests::requests))
        .route("/requests/{id}", delete(requests::cancel))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(query::commanded))
        .layer(from_fn_with_state(Arc::clone(&api), questions::asked))
        .layer(from_fn_with_state((Arc::clone(&api), Allowance::new()), refusals::told))
        .with_state(Arc::clone(&api))
        .merge(peers)
        .fallback(unknown_path)
        .layer(from_fn_with_state(api, metrics::count))
}

/// HEAD comes with GET.
const READ: MethodFilter = MethodFilter::GET.or(MethodFilter::OPTIONS);

/// A question that is answered from memory.
fn asked<F>(answer: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(&Api, &Uri) -> Response + Clone + Send + Sync + 'static,
{
    on(READ, move |axum::extract::State(api): axum::extract::State<Arc<Api>>, uri: Uri| {
        std::future::ready(answer(&api, &uri))
    })
}

/// Why whoever takes calls has not answered one.
enum Untold {
    /// The agent stops, and nobody takes calls any more.
    Stopping,
    /// The agent stops, and whoever took the call is gone with it.
    Lost,
    /// Not in this time.
    Late,
}

/// Calls, and waits for the answer.
async fn told<T>(
    api: &Api,
    patience: Duration,
    call: impl FnOnce(oneshot::Sender<T>) -> Call,
) -> Result<T, Untold> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        api.calls.send(call(reply)).await.map_err(|_| Untold::Stopping)?;
        answer.await.map_err(|_| Untold::Lost)
    };
    tokio::time::timeout(patience, asked).await.unwrap_or(Err(Untold::Late))
}

/// Why there is no answer, or not the wished one.
#[derive(Serialize)]
struct Complaint {
    error: String,
    /// False: nothing was written, and nothing will come of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<bool>,
}

fn complaint(code: StatusCode, error: impl Into<String>) -> Response {
    json(code, &Complaint { error: error.into(), taken: None })
}

fn json(code: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(mut body) => {
            body.push(b'\n');
            typed(code, "application/json", body)
        }
        Err(error) => {
            let says = format!("the answer could not be written: {error}\n");
            typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", says.into())
        }
    }
}

fn text(code: StatusCode, mut line: String) -> Response {
    line.push('\n');
    typed(code, "text/plain; charset=utf-8", line.into())
}

fn typed(code: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    (code, headers, body).into_response()
}

/// What is answered before the node published anything.
fn not_yet() -> Response {
    complaint(StatusCode::SERVICE_UNAVAILABLE, "the agent has just started and knows nothing yet")
}

async fn unknown_path(uri: Uri) -> Response {
    let says = format!("there is no {}: docs/api.md lists every path", uri.path());
    complaint(StatusCode::NOT_FOUND, says)
}

async fn wrong_method(method: axum::http::Method, uri: Uri) -> Response {
    let says = format!("{} does not take {method}: docs/api.md lists every path", uri.path());
    complaint(StatusCode::METHOD_NOT_ALLOWED, says)
}
