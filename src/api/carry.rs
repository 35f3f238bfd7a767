//! A command on its way: written down, awaited, and taken back if nobody acts on it. Never decides what comes of it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use haa_core::records::{Ask, RequestId, RequestRecord, RequestState};
use haa_core::routes::Status;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::commands::{Begun, Refusal, Who};
use super::{Api, Call, Untold, Unwritten, document, json, text, told};
use crate::agent::clock;

/// The store has taken a request by then.
const STORE_PATIENCE: Duration = Duration::from_secs(10);
/// Somebody has acted on it by then, or it is taken back. No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// For what whoever asks waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until it has come to its end, for as long as an answer may take.
    Ended,
    /// Only until it is written down: they look after it themselves (RFC 7240).
    Written,
}

impl Wait {
    /// As the headers of a command say it: `Prefer: respond-async`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        let mut words = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
        match words.any(|word| word.eq_ignore_ascii_case("respond-async")) {
            true => Self::Written,
            false => Self::Ended,
        }
    }
}

/// A request that is about to be written down, under a name that nobody else draws.
pub(super) fn request(ask: Ask, by: String, state: RequestState) -> (RequestId, RequestRecord) {
    let id: RequestId = format!("{:032x}", rand::random::<u128>());
    tracing::info!(request = id, by, asks = ask.sentence(), "an operator asks");
    let asked_unix_ms = document::unix_ms();
    (id, RequestRecord { ask, by, asked_unix_ms, due: None, ended_unix_ms: None, state })
}

/// Lets the store write something down.
pub(super) async fn written<T>(
    api: &Api,
    call: impl FnOnce(oneshot::Sender<Result<T, Unwritten>>) -> Call,
) -> Result<T, Unwritten> {
    match told(api, STORE_PATIENCE, call).await {
        Ok(written) => written,
        Err(Untold::Stopping) => Err(Unwritten::No("the agent is stopping".to_owned())),
        Err(Untold::Lost) => Err(Unwritten::Perhaps("the agent is stopping".to_owned())),
        Err(Untold::Late) => {
            Err(Unwritten::Perhaps(format!("the store did not say within {STORE_PATIENCE:?}")))
        }
    }
}

impl Unwritten {
    /// As whoever asked hears of it: what is not known, if that is why, and where to look.
    pub(super) fn refusal(self, unknown: &str) -> Refusal {
        match self {
            Self::No(why) => Refusal::untaken(format!(
                "the store did not take the request: {why}; nothing was written: ask another member \
                 (haactl --api ADDRESS)"
            )),
            Self::Perhaps(why) => {
                unavailable(format!("{unknown}: look before you ask again ({why})"))
            }
        }
    }
}

const fn unavailable(says: String) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, says)
}

/// Writes the request down, and answers with what came of it; or with its name, where that takes longer than an answer
/// may, or nobody waits for it here.
pub(super) async fn carry_out(api: &Arc<Api>, ask: Ask, who: &Who) -> Result<Response, Refusal> {
    let what = ask.sentence();
    let (request, came) = carry(api, ask, who.by.clone(), outcome).await?;
    let message = match who.wait {
        Wait::Written => format!("'{what}' is asked for: GET /requests says how it stands"),
        Wait::Ended => match ended(came).await? {
            Came::So(Ok(says)) => return Ok(text(StatusCode::OK, says)),
            Came::So(Err(refusal)) => return Ok(refusal.on_record()),
            Came::GoesOn(message) => message,
        },
    };
    Ok(json(StatusCode::ACCEPTED, &Begun { message, request }))
}

/// Writes the request down, and answers when it has begun.
pub(super) async fn begun(
    api: &Arc<Api>,
    ask: Ask,
    by: String,
    message: String,
) -> Result<Response, Refusal> {
    let (request, came) = carry(api, ask, by, has_begun).await?;
    match ended(came).await? {
        Came::So(Ok(_)) => Ok(json(StatusCode::ACCEPTED, &Begun { message, request })),
        Came::So(Err(refusal)) => Ok(refusal.on_record()),
        Came::GoesOn(message) => Ok(json(StatusCode::ACCEPTED, &Begun { message, request })),
    }
}

/// What a request has come to, if it is far enough to be told.
type Told = fn(&RequestState) -> Option<Result<String, Refusal>>;

/// What is known of a request.
pub(super) enum Came {
    /// It is as far as was wished.
    So(Result<String, Refusal>),
    /// It takes longer than an answer may.
    GoesOn(String),
}

/// A request that is waited for.
pub(super) struct Asked {
    /// Its name.
    pub(super) id: RequestId,
    /// What it says, where nobody knows whether it was written.
    pub(super) unseen: Option<RequestRecord>,
}

/// Who waits for it.
type Waiting = JoinHandle<Result<Came, Refusal>>;

/// Writes the request down, and has somebody wait until it has come that far. Whoever asked may go away meanwhile: what
/// nobody acts on is taken back all the same.
async fn carry(
    api: &Arc<Api>,
    ask: Ask,
    by: String,
    far_enough: Told,
) -> Result<(RequestId, Waiting), Refusal> {
    let api = Arc::clone(api);
    let asking = tokio::spawn(async move {
        let (id, record) = request(ask, by, RequestState::Pending);
        let unseen = record.clone();
        let unknown = format!(
            "whether '{}' was taken is not known; haactl requests wait {id} (or GET /requests) says what came of it",
            record.ask.sentence()
        );
        let ask = |reply| Call::Ask { id: id.clone(), record, reply };
        let (unseen, taken) = match written(&api, ask).await {
            Ok(()) => (None, Ok(())),
            Err(why @ Unwritten::No(_)) => return Err(why.refusal(&unknown)),
            // Nobody is told here what comes of it. It is waited for all the same.
            Err(why @ Unwritten::Perhaps(_)) => (Some(unseen), Err(why.refusal(&unknown))),
        };
        let asked = Asked { id: id.clone(), unseen };
        let waiting = tokio::spawn(wait_for(api, asked, far_enough));
        taken.map(|()| (id, waiting))
    });
    asking.await.unwrap_or_else(|error| Err(broken(&error)))
}

async fn ended(waiting: Waiting) -> Result<Came, Refusal> {
    waiting.await.unwrap_or_else(|error| Err(broken(&error)))
}

fn broken(error: &tokio::task::JoinError) -> Refusal {
    unavailable(format!(
        "the wait for the request ended: {error}; haactl requests says what came of it"
    ))
}

async fn wait_for(api: Arc<Api>, asked: Asked, far_enough: Told) -> Result<Came, Refusal> {
    let id = &asked.id;
    let came = |status: &Option<Arc<Status>>| {
        status.as_ref().and_then(|status| far_enough(&status.requests.get(id)?.state))
    };
    let mut published = api.status.clone();
    let ended = published.wait_for(|status| came(status).is_some());
    let came = match tokio::time::timeout(PATIENCE, ended).await {
        Ok(Ok(status)) => came(&status),
        Ok(Err(_)) => {
            return Err(unavailable(format!(
                "the agent stopped before request {id} came to an end: haactl requests wait {id} says what becomes of \
                 it"
            )));
        }
        Err(_) => None,
    };
    match came {
        Some(came) => Ok(Came::So(came)),
        None => unfinished(&api, asked).await,
    }
}

/// What came of a request, once something did.
fn outcome(state: &RequestState) -> Option<Result<String, Refusal>> {
    match state {
        RequestState::Done { what } => Some(Ok(what.clone())),
        RequestState::Refused { why } => {
            Some(Err(Refusal::new(StatusCode::PRECONDITION_FAILED, why.clone())))
        }
        RequestState::Scheduled | RequestState::Pending | RequestState::Accepted { .. } => None,
    }
}

/// The same, or that it has begun.
fn has_begun(state: &RequestState) -> Option<Result<String, Refusal>> {
    match state {
        RequestState::Accepted { .. } => Some(Ok(String::new())),
        RequestState::Scheduled
        | RequestState::Pending
        | RequestState::Done { .. }
        | RequestState::Refused { .. } => outcome(state),
    }
}

/// What is known of a request that did not end in time. One that nobody acts on is taken back: it is not to happen when
/// nobody expects it any more.
pub(super) async fn unfinished(api: &Arc<Api>, asked: Asked) -> Result<Came, Refusal> {
    let id = asked.id.clone();
    match taken_back(api, &asked).await {
        Ok(true) => Err(unavailable(format!(
            "nobody acted on request {id} within {PATIENCE:?}, and it was taken back: nothing will come of it. \
             haactl status says what the cluster is waiting for"
        ))),
        Ok(false) => Ok(known(api, &id)),
        Err(_) => {
            drop(tokio::spawn(take_back_later(Arc::clone(api), asked)));
            Err(unavailable(format!(
                "request {id} is not done after {PATIENCE:?}, and whether it could be taken back is not known: that is \
                 tried again until the store answers, and it may still happen before; haactl requests wait {id} says \
                 what becomes of it"
            )))
        }
    }
}

/// Until the store has answered, or the agent ends: hours later nobody expects it any more. Tried whenever something
/// was heard from the store since the last time.
async fn take_back_later(api: Arc<Api>, asked: Asked) {
    let mut published = api.status.clone();
    loop {
        let tried_at = Some(clock::now());
        let heard = |status: &Option<Arc<Status>>| {
            status.as_ref().is_some_and(|status| status.store_heard_at > tried_at)
        };
        if published.wait_for(heard).await.is_err() {
            return;
        }
        match taken_back(&api, &asked).await {
            Ok(true) => {
                tracing::info!(
                    request = asked.id,
                    "nobody has acted on it: it was taken back late"
                );
                return;
            }
            Ok(false) => return,
            Err(why) => {
                tracing::debug!(
                    request = asked.id,
                    ?why,
                    "it could not be taken back; it is tried again"
                );
            }
        }
    }
}

/// Whether it was; not if somebody acts on it by now.
async fn taken_back(api: &Api, Asked { id, unseen }: &Asked) -> Result<bool, Unwritten> {
    let why = format!(
        "taken back: nobody had acted on it after {PATIENCE:?}; haactl status says what the cluster is waiting for"
    );
    let (id, unseen) = (id.clone(), unseen.clone());
    written(api, |reply| Call::Withdraw { id, unseen, why, reply }).await
}

fn known(api: &Api, id: &RequestId) -> Came {
    let status = api.status.borrow().clone();
    let request = status.as_ref().and_then(|status| status.requests.get(id));
    if let Some(came) = request.and_then(|request| outcome(&request.state)) {
        return Came::So(came);
    }
    let how = match request.map(|request| (&request.state, &request.ask)) {
        Some((RequestState::Accepted { term }, Ask::Switchover { .. } | Ask::Failover { .. })) => {
            format!("the leader of term {term} began to hand over and nobody took over yet")
        }
        Some((RequestState::Accepted { .. }, ask)) => format!("'{}' has begun", ask.sentence()),
        Some((RequestState::Done { .. } | RequestState::Refused { .. }, _)) => {
            "it has just come to its end".to_owned()
        }
        Some((RequestState::Scheduled | RequestState::Pending, _)) | None => {
            "somebody has just begun to act on it".to_owned()
        }
    };
    Came::GoesOn(format!(
        "{how}, and it is not done after {PATIENCE:?}: it goes on; GET /requests says how request {id} stands"
    ))
}
