//! `haactl switchover` and `haactl failover`: another member shall lead. Asks; the agents decide.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::{Value, json};

use haa_core::units::MemberName;

use super::at::AtArgs;
use super::error::CtlError;
use super::list::Overview;
use super::print::say;
use super::target::Target;
use super::wait::Taken;

/// Hand the leadership over in order: the primary is stopped first, so that nothing is lost
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl switchover                # to the best replica
  haactl switchover --to n2 --yes
  haactl switchover --to n2 --at 2026-11-28T03:00 --yes

A switchover to the best replica that is scheduled is refused if another leads by then.

Exit codes: 0 the new primary accepts writes, or will, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct SwitchoverArgs {
    /// To which member [default: the best replica]
    #[arg(long, value_name = "MEMBER")]
    to: Option<MemberName>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    at: AtArgs,
}

/// Make a member lead although no leader is there, however far it is behind: what it lacks is lost
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl failover --to n2
  haactl failover --to n2 --accept-loss

A cluster that lost its primary chooses a new one by itself; this is for when it cannot, because
all that is left is too far behind. Look at the lag first: haactl list. In quorum it cannot when too
many voters are gone, or the primary was alone: with --accept-loss the others are asked no more,
and what only those had is lost, acknowledged or not. It is refused while the voters could elect.

Exit codes: 0 the new primary accepts writes, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct FailoverArgs {
    /// To which member [default: the best replica]
    #[arg(long, value_name = "MEMBER")]
    to: Option<MemberName>,
    /// Also lose commits that were acknowledged in quorum, where the voters that hold them are gone
    #[arg(long)]
    accept_loss: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Runs `switchover`.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn switchover(args: &SwitchoverArgs, target: &Target) -> Result<(), CtlError> {
    let now = Overview::fetch(target).await?;
    let from = now.leader.as_deref();
    if !args.yes {
        args.to.iter().try_for_each(|to| now.names(to))?;
        let to = args.to.as_ref().map_or("the best replica", MemberName::as_str);
        let from = from.unwrap_or("nobody");
        let question = format!("Hand the leadership over from {from} to {to}{}?", args.at);
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    // By then another may lead: who is named shall lead, and where nobody is, whoever leads now no more.
    let from = from.filter(|_| args.to.is_none() || !args.at.is_later());
    let body = json!({ "leader": from, "candidate": args.to });
    order_at(("switchover", "/switchover"), (&args.at, "scheduled_at"), body, target).await
}

/// Runs `failover`.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn failover(args: &FailoverArgs, target: &Target) -> Result<(), CtlError> {
    if !args.yes {
        let now = Overview::fetch(target).await?;
        args.to.iter().try_for_each(|to| now.names(to))?;
        let to = args.to.as_ref().map_or("the best replica", MemberName::as_str);
        let what = if args.accept_loss { ", acknowledged commits too" } else { "" };
        let question = format!("Make {to} lead, and lose what it does not have{what}?");
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    let body = json!({ "candidate": args.to, "accept_loss": args.accept_loss });
    order("failover", "/failover", &body, target).await
}

/// Has it done, and says what is so then.
pub(super) async fn order(
    what: &'static str,
    path: &str,
    body: &Value,
    target: &Target,
) -> Result<(), CtlError> {
    let (by, answer) = target.begin(what, path, body).await?;
    if answer.status != 202 {
        return say(answer.sentence());
    }
    say(Taken::of(what, path, (by, answer))?.ended(target, None, None).await?)
}

/// The same, or has it written down for its time.
pub(super) async fn order_at(
    (what, path): (&'static str, &str),
    (at, key): (&AtArgs, &str),
    body: Value,
    target: &Target,
) -> Result<(), CtlError> {
    if !at.is_later() {
        return order(what, path, &body, target).await;
    }
    let (_, answer) = target.command(what, path, &at.of(body, key)).await?;
    say(answer.sentence())
}

pub(super) fn confirm(question: &str) -> Result<(), CtlError> {
    if !std::io::stdin().is_terminal() {
        return Err(CtlError::NotConfirmed("nobody is there to be asked; say --yes"));
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush()).map_err(CtlError::Write)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(CtlError::Write)?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CtlError::NotConfirmed("you did not say yes")),
    }
}
