//! `haactl pause` and `haactl resume`: whether anything begins by itself. Asks; every member decides by it.

use clap::Args;
use haa_core::settings::Settings;
use hyper::Method;
use serde_json::{Value, json};

use super::at::AtArgs;
use super::error::CtlError;
use super::settings;
use super::target::Target;

/// Let nothing begin by itself: no election, no takeover, no start, rewind or clone
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl pause
  haactl pause --at 2026-11-28T03:00

Meanwhile nobody takes over from a primary that dies. A primary that loses its leadership still closes.
haactl switchover and haactl failover work as ever; haactl resume ends it.

Exit codes: 0 every member is paused, or will be, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct PauseArgs {
    #[command(flatten)]
    at: AtArgs,
}

/// Let everything begin by itself again
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl resume
  haactl resume --at +2h           # also if nobody leads by then

Exit codes: 0 no member is paused any more, or will be, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    at: AtArgs,
}

/// Runs `pause`.
///
/// # Errors
/// When it is refused, or nobody takes it.
pub(super) async fn pause(args: &PauseArgs, target: &Target) -> Result<(), CtlError> {
    set("pause", &args.at.of(json!({ "pause": true }), "scheduled_at"), target).await
}

/// Runs `resume`.
///
/// # Errors
/// When it is refused, or nobody takes it.
pub(super) async fn resume(args: &ResumeArgs, target: &Target) -> Result<(), CtlError> {
    set("resume", &args.at.of(json!({ "pause": false }), "scheduled_at"), target).await
}

async fn set(what: &'static str, patch: &Value, target: &Target) -> Result<(), CtlError> {
    let before: Settings = target.document(settings::PATH).await?;
    settings::send(target, what, (Method::PATCH, patch), (&before, None)).await
}
