//! `haactl drain` and `haactl undrain`: whether a member is in use. Asks; the agents decide.

use clap::Args;
use haa_core::units::MemberName;
use serde_json::json;

use super::at::AtArgs;
use super::error::CtlError;
use super::list::Overview;
use super::switchover::{confirm, order_at};
use super::target::Target;

/// Take a member out of use: no readers, no voter, never elected; if it leads, it hands over first
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl drain n2
  haactl drain n1 --yes            # it leads: another one takes over
  haactl drain n2 --at 2026-11-28T03:00

It goes on streaming. Connections that readers hold to it stay until they end.
Refused if acknowledged commits would be on one member alone, or nobody could take over.

Exit codes: 0 it is out of use, or will be, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct DrainArgs {
    /// Whom
    member: MemberName,
    /// Do not ask, though it leads
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// Take a member back into use
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl undrain n2
  haactl undrain n2 --at +4h

Works also while nobody leads.

Exit codes: 0 it is in use, or will be, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct UndrainArgs {
    /// Whom
    member: MemberName,
    #[command(flatten)]
    at: AtArgs,
}

/// Runs `drain`.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn drain(args: &DrainArgs, target: &Target) -> Result<(), CtlError> {
    let member = &args.member;
    let now = Overview::fetch(target).await?;
    if !args.yes && now.leader.as_deref() == Some(member.as_str()) {
        let question = format!("{member} leads. Hand over and drain it{}?", args.at);
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    let body = json!({ "member": member });
    order_at(("drain", "/drain"), (&args.at, "scheduled_at"), body, target).await
}

/// Runs `undrain`.
///
/// # Errors
/// When it is refused, or nobody takes it.
pub(super) async fn undrain(args: &UndrainArgs, target: &Target) -> Result<(), CtlError> {
    let body = json!({ "member": args.member });
    order_at(("undrain", "/undrain"), (&args.at, "scheduled_at"), body, target).await
}
