//! `haactl pause` and `haactl resume`: whether anything begins by itself. Asks; every member decides by it.

use clap::Args;
use haa_core::settings::Settings;
use hyper::Method;
use serde_json::{Value, json};

use super::error::CtlError;
use super::settings;
use super::target::Target;

/// Let nothing begin by itself: no election, no takeover, no start, rewind or clone
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haactl pause

Meanwhile nobody takes over from a primary that dies. A primary that loses its leadership still closes.
haactl switchover and haactl failover work as ever; haactl resume ends it.

Exit codes: 0 every member is paused, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct PauseArgs {}

/// Let everything begin by itself again
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haactl resume

Exit codes: 0 no member is paused any more, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct ResumeArgs {}

/// Runs `pause`.
///
/// # Errors
/// When it is refused, or nobody takes it.
pub(super) async fn pause(target: &Target) -> Result<(), CtlError> {
    set(&json!({ "pause": true }), target).await
}

/// Runs `resume`.
///
/// # Errors
/// When it is refused, or nobody takes it.
pub(super) async fn resume(target: &Target) -> Result<(), CtlError> {
    set(&json!({ "pause": false }), target).await
}

async fn set(patch: &Value, target: &Target) -> Result<(), CtlError> {
    let before: Settings = target.document(settings::PATH).await?;
    settings::send(target, (Method::PATCH, patch), (&before, None)).await
}
