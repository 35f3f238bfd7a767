//! `haactl reinit`: a replica's data are thrown away and cloned anew. Asks, and shows how far it is; the agents decide.

use clap::Args;
use haa_core::units::MemberName;
use serde_json::json;

use super::at::AtArgs;
use super::error::CtlError;
use super::list::Overview;
use super::print::say;
use super::switchover::confirm;
use super::target::Target;
use super::wait::{Shown, Taken};

/// Throw a replica's data away, and clone it anew
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl reinit n2
  haactl reinit n2 --yes
  haactl reinit n2 --from n3       # not of the primary: n3 has the work
  haactl reinit n2 --at 2026-11-28T03:00

Answers when it streams again, and shows how far the clone is until then. Interrupted, it goes on:
haactl list shows it, and haactl events how it ended. The old data are moved aside, not deleted.
Refused for the primary, while nobody leads, and where acknowledged commits need this member.

Exit codes: 0 it streams, or will be cloned, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct ReinitArgs {
    /// Whose
    member: MemberName,
    /// From this member [default: one with the tag clonefrom, else the primary]
    #[arg(long, value_name = "OTHER")]
    from: Option<MemberName>,
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
pub(super) async fn run(args: &ReinitArgs, target: &Target) -> Result<(), CtlError> {
    let member = &args.member;
    if !args.yes {
        let now = Overview::fetch(target).await?;
        now.names(member)?;
        let at = &args.at;
        let question =
            format!("Clone it anew{at}? Its data are moved aside, and it serves nobody meanwhile.");
        confirm(&format!("{}\n{member}: {question}", now.table()))?;
    }
    const PATH: &str = "/reinitialize";
    // An agent of an earlier version takes it as long as nobody is named.
    let body = match &args.from {
        None => json!({ "member": member }),
        Some(from) => json!({ "member": member, "from": from }),
    };
    let body = args.at.of(body, "scheduled_at");
    let (by, answer) = target.command("reinit", PATH, &body).await?;
    if args.at.is_later() {
        return say(answer.sentence());
    }
    let taken = Taken::of("reinit", PATH, (by, answer))?;
    say(taken.ended(target, None, Some(Shown::new(member))).await?)
}
