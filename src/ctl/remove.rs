//! `haactl remove`: a member that is gone for good is forgotten. Asks; the agents decide.

use clap::Args;
use haa_core::units::MemberName;
use serde_json::json;

use super::error::CtlError;
use super::list::Overview;
use super::switchover::{confirm, order};
use super::target::Target;

/// Forget a member that is gone for good: no WAL is kept for it any more
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl remove n3
  haactl remove n3 --yes

Stop its agent first: one that lives is not removed, nor is a voter that the others cannot do without.
Started again it joins like a new member: it follows if it can, else it is cloned.

Exit codes: 0 it is forgotten, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct RemoveArgs {
    /// Whom
    member: MemberName,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn run(args: &RemoveArgs, target: &Target) -> Result<(), CtlError> {
    let member = &args.member;
    if !args.yes {
        let now = Overview::fetch(target).await?;
        confirm(&format!("{}\nForget {member}, and drop its slot?", now.table()))?;
    }
    order("remove", "/remove", &json!({ "member": member }), target).await
}
