//! What operators asked for and is open or lately came to its end; and how it is cancelled before it begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use haa_core::records::{RequestId, RequestRecord, RequestState};

use super::carry::written;
use super::commands::{Refusal, current, finish, who};
use super::tokens::Role;
use super::{Api, Call, json, not_yet};

/// `GET /requests`: `[id, record]` for each command that is open or has lately come to its end, oldest first.
pub(super) fn requests(api: &Api, _: &Uri) -> Response {
    let Some(status) = api.status.borrow().clone() else { return not_yet() };
    let mut requests: Vec<_> = status.requests.iter().collect();
    // Those that are asked for at once, such as a rolling restart, as they come one after the other.
    let turn = |id: &RequestId| before(&status.requests, id).count();
    requests.sort_by_cached_key(|(id, request)| (request.asked_unix_ms, turn(id)));
    json(StatusCode::OK, &requests)
}

/// `DELETE /requests/ID`: what nobody has acted on is taken back.
pub(super) async fn cancel(
    State(api): State<Arc<Api>>,
    Path(id): Path<RequestId>,
    request: Request<Body>,
) -> Response {
    let cancelled = match who(&api, &request, Role::Operator) {
        Ok(who) => cancelled(&api, id, who.by).await,
        Err(refusal) => Err(refusal),
    };
    finish(cancelled)
}

/// Takes it back; what is told of it.
pub(super) async fn cancelled(api: &Api, id: RequestId, by: String) -> Result<String, Refusal> {
    let status = current(api)?;
    let Some(asked) = status.requests.get(&id) else {
        let id = id.escape_debug();
        let says = format!("there is no request '{id}' now: GET /requests lists them");
        return Err(Refusal::new(StatusCode::NOT_FOUND, says));
    };
    let what = asked.ask.sentence();
    if let Some(why) = too_late(&asked.state) {
        let says = format!("'{what}' cannot be cancelled: {why}");
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
    }
    tracing::info!(request = id, by, asks = what, "an operator cancels");
    let why = format!("cancelled by {by} before anybody acted on it");
    let withdraw = |reply| Call::Withdraw { id: id.clone(), unseen: None, why, reply };
    let taken_back = written(api, withdraw).await.map_err(|why| {
        why.refusal(&format!(
            "whether '{what}' was cancelled is not known; haactl requests (or GET /requests) says how it stands"
        ))
    });
    if taken_back? {
        let open = |of: &&RequestId| {
            status.requests.get(*of).is_some_and(|one| too_late(&one.state).is_none())
        };
        let first = before(&status.requests, &id).filter(open).last();
        let rest = first.map_or(String::new(), |first| {
            format!(
                "; what comes before it is still done: haactl requests cancel {first} ends that"
            )
        });
        Ok(format!("'{what}' is cancelled: nothing will come of it{rest}"))
    } else {
        let says = format!(
            "'{what}' cannot be cancelled: it is not any more as this member saw it; somebody has just begun to act on \
             it, or cancelled it: see haactl requests"
        );
        Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says))
    }
}

/// Those that are to be done before this one, the nearest first.
fn before<'a>(
    all: &'a BTreeMap<RequestId, RequestRecord>,
    id: &RequestId,
) -> impl Iterator<Item = &'a RequestId> {
    let after = |id: &RequestId| all.get(id)?.due.as_ref()?.after.as_ref();
    // Whoever wrote them in a ring is answered all the same.
    std::iter::successors(after(id), move |id| after(id)).take(all.len())
}

fn too_late(state: &RequestState) -> Option<String> {
    match state {
        RequestState::Scheduled | RequestState::Pending => None,
        RequestState::Accepted { term } => Some(format!(
            "the leader of term {term} has begun with it, and half of it would be worse than all"
        )),
        RequestState::Done { what } => Some(format!("it is done: {what}")),
        RequestState::Refused { why } => Some(format!("it was refused: {why}")),
    }
}
