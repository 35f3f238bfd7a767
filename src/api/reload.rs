//! `POST /reload`: this member's `haad.toml` is read again; at a time any member's. Says what came of it; decides
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use haa_core::records::Ask;
use serde::Deserialize;

use super::commands::{Refusal, body, current, known_member, who};
use super::schedule::plan;
use super::tokens::Role;
use super::{Api, Call, Untold, json, told};

/// Postgres may be at work for so long before it reads its files.
const PATIENCE: Duration = Duration::from_secs(60);

/// `POST /reload`: at once it is about this member only.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reload {
    member: Option<String>,
    scheduled_at: Option<String>,
}

/// Have the file read again, now or then.
pub(super) async fn reload(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async move {
        let who = who(&api, &request, Role::Operator)?;
        let by = who.by;
        let Reload { member, scheduled_at } = body(request).await?;
        if member.is_some() || scheduled_at.is_some() {
            let status = current(&api)?;
            let member = known_member(&status, "member", member)?;
            let member = member.unwrap_or_else(|| status.me.clone());
            if let Some(at) = scheduled_at {
                return plan(&api, &at, &by, vec![Ask::Reload { member }.into()]).await;
            }
            if member != status.me {
                let says =
                    format!("member: at once each is asked itself, and this is {}", status.me);
                return Err(Refusal::new(StatusCode::BAD_REQUEST, says));
            }
        }
        tracing::info!(by, "an operator asks to read haad.toml again");
        let unknown = |says: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, says.to_owned());
        match told(&api, PATIENCE, |reply| Call::Reload { by, reply }).await {
            Ok(Ok(reloaded)) => Ok(json(StatusCode::ACCEPTED, &reloaded)),
            Ok(Err(why)) => Ok(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why).on_record()),
            Err(Untold::Stopping | Untold::Lost) => Err(unknown("the agent is stopping")),
            Err(Untold::Late) => Err(unknown(
                "not done after 60 s: Postgres is at work; the agent's log says what came of it",
            )),
        }
    };
    done.await.unwrap_or_else(Refusal::response)
}
