//! Settings that are to be others at a time: checked when they are asked for, and once more, against the settings of
//! then, when the time has come. Never says when that is.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use axum::response::Response;
use haa_core::records::{Altered, Ask};
use haa_core::routes::Status;
use haa_core::settings::Settings;
use serde_json::Value;

use super::Api;
use super::commands::Refusal;
use super::schedule::plan;
use super::settings::{senseless, vetted};
use crate::config::planned::{named, patch, planned};
use crate::config::settings::{changes, merged};

/// Of these settings, whatever the document names.
pub(super) async fn patch_at(
    api: &Api,
    (at, by): (&Value, &str),
    status: &Status,
    document: &Value,
) -> Result<Response, Refusal> {
    let next = merged(&status.settings, document).map_err(senseless)?;
    let named = named(document).map_err(senseless)?;
    change_at(api, (at, by), status, (next, named)).await
}

/// All of them: whatever is other than now. The rest is left as it is by then.
pub(super) async fn put_at(
    api: &Api,
    (at, by): (&Value, &str),
    status: &Status,
    next: Settings,
) -> Result<Response, Refusal> {
    let other = changes(&status.settings, &next).into_iter().map(|change| change.key);
    let named = other.collect();
    change_at(api, (at, by), status, (next, named)).await
}

async fn change_at(
    api: &Api,
    (at, by): (&Value, &str),
    status: &Status,
    (next, named): (Settings, BTreeSet<String>),
) -> Result<Response, Refusal> {
    let changes = planned(&status.settings, &next, &named);
    let Some(at) = at.as_str().filter(|_| !changes.is_empty()) else {
        let says = "scheduled_at: a time in a text, such as \"+2h\", and settings that are to be others by then";
        return Err(senseless(vec![says.to_owned()]));
    };
    vetted(api, status, &next).await?;
    plan(api, at, by, vec![Ask::Settings { changes }.into()]).await
}

/// Why a change is not made whose time has come.
#[derive(Debug, PartialEq)]
pub(crate) enum Undone {
    /// Nobody can say at the moment: it is tried again while it may be late.
    NotNow(String),
    /// The settings of now, or Postgres, speak against it.
    Never(String),
}

/// What settings are to be by such a change, now that its time has come.
///
/// # Errors
/// Why it cannot be.
pub(crate) async fn due(
    api: &Api,
    status: &Status,
    changes: &[Altered],
) -> Result<Settings, Undone> {
    let next = merged(&status.settings, &patch(changes));
    let next = next.map_err(|why| Undone::Never(why.join("; ")))?;
    match vetted(api, status, &next).await {
        Ok(()) => Ok(next),
        Err(Refusal { code: StatusCode::SERVICE_UNAVAILABLE, says, .. }) => {
            Err(Undone::NotNow(says))
        }
        Err(Refusal { says, .. }) => Err(Undone::Never(says)),
    }
}
