//! `POST /reload`: this member's `haad.toml` is read again. Says what came of it; decides nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::Response;

use super::commands::{Refusal, who};
use super::tokens::Role;
use super::{Api, Call, Untold, json, told};

/// Postgres may be at work for so long before it reads its files.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whatever the body says: it is about this member only.
pub(super) async fn reload(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async move {
        let who = who(&api, &request, Role::Operator)?;
        let by = who.by;
        tracing::info!(by, "an operator asks to read haad.toml again");
        let unknown = |says: &str| Refusal(StatusCode::SERVICE_UNAVAILABLE, says.to_owned());
        match told(&api, PATIENCE, |reply| Call::Reload { by, reply }).await {
            Ok(Ok(reloaded)) => Ok(json(StatusCode::ACCEPTED, &reloaded)),
            Ok(Err(why)) => Ok(Refusal(StatusCode::UNPROCESSABLE_ENTITY, why).on_record()),
            Err(Untold::Stopping) => Err(unknown("the agent is stopping")),
            Err(Untold::Late) => Err(unknown(
                "not done after 60 s: Postgres is at work; the agent's log says what came of it",
            )),
        }
    };
    done.await.unwrap_or_else(Refusal::response)
}
