//! `GET /doctor`: what this member finds in its own setup. Hands the question on; judges nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Api, Call, Untold, complaint, json, told};

/// Longer than every look together takes where nothing hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// `GET /doctor`
pub(super) async fn doctor(State(api): State<Arc<Api>>) -> Response {
    let why = match told(&api, PATIENCE, |reply| Call::Examine { reply }).await {
        Ok(report) => return json(StatusCode::OK, &report),
        Err(Untold::Stopping | Untold::Lost) => "the agent is stopping".to_owned(),
        Err(Untold::Late) => format!(
            "the look at this member took longer than {PATIENCE:?}: its disk, its Postgres or etcd hangs"
        ),
    };
    complaint(StatusCode::SERVICE_UNAVAILABLE, why)
}
