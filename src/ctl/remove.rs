//! `haactl remove`: a member that is gone for good is forgotten. Asks; the agents decide.

use clap::Args;
use haa_core::units::MemberName;
use serde_json::json;

use super::at::AtArgs;
use super::error::CtlError;
use super::list::Overview;
use super::switchover::{confirm, order_at};
use super::target::Target;

/// Forget a member that is gone for good: no WAL is kept for it any more
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl remove n3
  haactl remove n3 --yes
  haactl remove n3 --at 2026-11-28T03:00 --yes

Stop its agent first: one that lives is not removed, nor is a voter that the others cannot do without.
Started again it joins like a new member: it follows if it can, else it is cloned.

Exit codes: 0 it is forgotten, or will be, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct RemoveArgs {
    /// Whom
    member: MemberName,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// Runs the verb.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn run(args: &RemoveArgs, target: &Target) -> Result<(), CtlError> {
    let member = &args.member;
    if !args.yes {
        let now = Overview::fetch(target).await?;
        let question = format!("Forget {member}, and drop its slot{}?", args.at);
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    let body = json!({ "member": member });
    order_at(("remove", "/remove"), (&args.at, "scheduled_at"), body, target).await
}
