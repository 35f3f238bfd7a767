//! What operators asked for and is open or lately came to its end; and how it is cancelled before it begins.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use haa_core::records::{RequestId, RequestState};

use super::carry::written;
use super::commands::{Refusal, current, finish, who};
use super::tokens::Role;
use super::{Api, Call, json, not_yet};

/// `GET /requests`: `[id, record]` for each command that is open or has lately come to its end, oldest first.
pub(super) fn requests(api: &Api, _: &Uri) -> Response {
    let Some(status) = api.status.borrow().clone() else { return not_yet() };
    let mut requests: Vec<_> = status.requests.iter().collect();
    requests.sort_by_key(|(_, request)| request.asked_unix_ms);
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
        return Err(Refusal(StatusCode::NOT_FOUND, says));
    };
    let what = asked.ask.sentence();
    if let Some(why) = too_late(&asked.state) {
        let says = format!("'{what}' cannot be cancelled: {why}");
        return Err(Refusal(StatusCode::PRECONDITION_FAILED, says));
    }
    tracing::info!(request = id, by, asks = what, "an operator cancels");
    let why = format!("cancelled by {by} before anybody acted on it");
    if written(api, &id, |reply| Call::Withdraw { id: id.clone(), why, reply }).await? {
        Ok(format!("'{what}' is cancelled: nothing will come of it"))
    } else {
        let says = format!("'{what}' cannot be cancelled: somebody has just begun to act on it");
        Err(Refusal(StatusCode::PRECONDITION_FAILED, says))
    }
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
