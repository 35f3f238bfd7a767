//! `haactl restart`: the Postgres of one member, or of all, one after the other. Asks; the agents decide who may.

use std::time::{Duration, Instant};

use clap::Args;
use haa_core::records::Manner;
use haa_core::units::MemberName;
use serde_json::json;

use super::at::AtArgs;
use super::documents::MemberView;
use super::error::CtlError;
use super::list::Overview;
use super::print::say;
use super::switchover::{confirm, order, order_at};
use super::target::Target;

/// A primary that was restarted by a switchover streams again by then, once nothing is done there any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at it.
const AGAIN: Duration = Duration::from_millis(250);

/// Restart Postgres: of one member, or of all, one after the other; agents go on
#[derive(Args, Debug)]
#[command(
    override_usage = "haactl restart [OPTIONS] MEMBER\n       haactl restart [OPTIONS] --rolling [--pending]\n       \
                            haactl restart [OPTIONS] --pending"
)]
#[command(after_help = "\
Examples:
  haactl restart n2                # a replica; answers when it streams again, and votes if it did
  haactl restart --rolling --yes   # every replica, then a switchover, then the old primary
  haactl restart --rolling --pending   # of these, those whose parameters wait for a restart
  haactl restart n1 --in-place     # the primary: writes are closed until it is back
  haactl restart --rolling --at 2026-11-28T03:00 --yes

A rolling restart never has two members down, and stops at the first that does not come back. Where
max_connections or its like is to be lower, it begins with the primary, in place: a replica may not
have less than its primary had.
With --at it is one command for each member that there is now; haactl requests shows how far it is.

Exit codes: 0 restarted, or scheduled, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct RestartArgs {
    /// Whose
    #[arg(required_unless_present_any = ["rolling", "pending"], conflicts_with = "rolling")]
    member: Option<MemberName>,
    /// Everybody's, one after the other
    #[arg(long)]
    rolling: bool,
    /// Only those that wait for a restart (haactl list); without --rolling no primary
    #[arg(long, conflicts_with_all = ["member", "at"])]
    pending: bool,
    /// Also if it leads: it closes, and leads again
    #[arg(long, conflicts_with_all = ["rolling", "pending"])]
    in_place: bool,
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
pub(super) async fn run(args: &RestartArgs, target: &Target) -> Result<(), CtlError> {
    let Some(member) = &args.member else { return several(args, target).await };
    let manner = if args.in_place { Manner::InPlace } else { Manner::Alone };
    if args.in_place && !args.yes {
        let now = Overview::fetch(target).await?;
        now.names(member)?;
        let question = format!("Close writes{} until {member} is back?", args.at);
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    let body = json!({ "member": member, "manner": manner });
    order_at(("restart", "/restart"), (&args.at, "schedule"), body, target).await
}

async fn one(member: &str, manner: Manner, target: &Target) -> Result<(), CtlError> {
    let body = json!({ "member": member, "manner": manner });
    order("restart", "/restart", &body, target).await
}

/// Which of them, and the question before.
fn meant<'a>(args: &RestartArgs, now: &'a Overview) -> (Vec<&'a MemberView>, String) {
    if !args.pending {
        let question = format!("Restart them all{}, the primary by a switchover?", args.at);
        return (now.members.iter().collect(), question);
    }
    let wait = |member: &&MemberView| member.pending_restart && (args.rolling || !member.leads());
    let all: Vec<&MemberView> = now.members.iter().filter(wait).collect();
    let by = |member: &&MemberView| match member.leads() {
        true => format!("{} by a switchover", member.name),
        false => member.name.clone(),
    };
    let names: Vec<String> = all.iter().map(by).collect();
    (all, format!("Restart {}?", names.join(", ")))
}

/// Replicas cannot have less than the primary had until it has had less: the question, or why not.
fn in_place_first(leader: &MemberView) -> Result<String, CtlError> {
    let (name, lower) = (&leader.name, leader.lowers().unwrap_or_default());
    if let Some(higher) = leader.raises() {
        return Err(CtlError::BothWays { lower: lower.to_owned(), higher: higher.to_owned() });
    }
    Ok(format!(
        "{lower} is to be lower, which begins with the primary: restart {name} in place, which closes writes until it \
         is back, then the others?"
    ))
}

/// Writes are closed for nothing where the others could not follow, and the others restarted for nothing where the
/// primary did not take it.
async fn lower_first(first: &MemberView, now: &Overview, target: &Target) -> Result<(), CtlError> {
    if let Some(away) = away(now) {
        return Err(CtlError::Away { member: away.name.clone() });
    }
    one(&first.name, Manner::InPlace, target).await?;
    let then = Overview::fetch(target).await?;
    match then.members.iter().find(|member| member.name == first.name).and_then(MemberView::lowers)
    {
        Some(high) => Err(CtlError::StillHigh { name: first.name.clone(), high: high.to_owned() }),
        None => all_supplied(target).await,
    }
}

/// A replica to which no WAL comes.
fn away(now: &Overview) -> Option<&MemberView> {
    now.members.iter().find(|member| !member.leads() && !member.is_supplied())
}

/// Whoever stops before it has replayed that there is less starts with what there was.
async fn all_supplied(target: &Target) -> Result<(), CtlError> {
    let began = Instant::now();
    let mut looks = tokio::time::interval(AGAIN);
    loop {
        looks.tick().await;
        let then = Overview::fetch(target).await?;
        match away(&then) {
            None => return Ok(()),
            Some(away) if began.elapsed() >= PATIENCE => {
                return Err(CtlError::NotBack { member: away.name.clone(), patience: PATIENCE });
            }
            Some(_) => {}
        }
    }
}

/// The first that goes on with more.
async fn none_high(target: &Target) -> Result<(), CtlError> {
    let then = Overview::fetch(target).await?;
    let high =
        then.members.iter().find_map(|one| Some((one.name.clone(), one.lowers()?.to_owned())));
    high.map_or(Ok(()), |(name, high)| Err(CtlError::StillHigh { name, high }))
}

async fn several(args: &RestartArgs, target: &Target) -> Result<(), CtlError> {
    let now = Overview::fetch(target).await?;
    let (meant, question) = meant(args, &now);
    let left =
        now.leader().filter(|member| args.pending && !args.rolling && member.pending_restart);
    if meant.is_empty() && left.is_none() {
        return say("no member is known to wait for a restart");
    }
    let lowers = |member: &&MemberView| member.lowers().is_some() && !member.leads_standby();
    let first = now.leader().filter(lowers).filter(|_| args.rolling && !args.at.is_later());
    let question = match first {
        Some(first) => in_place_first(first)?,
        None => question,
    };
    if !args.yes && !meant.is_empty() {
        confirm(&format!("{}\n{question}", now.table()))?;
    }
    if args.at.is_later() {
        let body = json!({ "everybody": true });
        return order_at(("restart", "/restart"), (&args.at, "schedule"), body, target).await;
    }
    let manner = if args.rolling { Manner::Rolling } else { Manner::Alone };
    if let Some(first) = first {
        lower_first(first, &now, target).await?;
    }
    for member in meant.iter().filter(|member| !member.leads()) {
        one(&member.name, manner, target).await?;
    }
    if let Some(left) = left {
        let name = &left.name;
        let ways = match left.lowers() {
            Some(lower) => {
                format!("--rolling begins with it, in place, for {lower} is to be lower")
            }
            None => format!("--rolling restarts it by a switchover, {name} --in-place where it is"),
        };
        return say(format_args!("{name} leads, and waits for a restart too: {ways}"));
    }
    if first.is_some() {
        return none_high(target).await;
    }
    if args.pending && !meant.iter().any(|member| member.leads()) {
        return Ok(());
    }
    let Some(old) = &now.leader else {
        return say("nobody leads: the replicas were restarted");
    };
    let body = json!({ "leader": old, "candidate": null });
    order("switchover", "/switchover", &body, target).await?;
    if now.members.iter().any(MemberView::leads_standby) {
        // Nothing was open there, and nothing was stopped.
        return one(old, Manner::Rolling, target).await;
    }
    // That has stopped and started it.
    tokio::select! {
        back = back(old, now.votes(old), target) => back,
        _ = tokio::signal::ctrl_c() => Err(CtlError::NotSeenBack { member: old.clone() }),
    }
}

/// The old primary streams again, and votes if it did. Its work may take long; without any it is given up.
async fn back(old: &str, voted: bool, target: &Target) -> Result<(), CtlError> {
    let mut last_at_work = Instant::now();
    let mut looks = tokio::time::interval(AGAIN);
    // One that took long is not made up for.
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let then = match Overview::fetch(target).await {
            Ok(then) => then,
            Err(_) if last_at_work.elapsed() < PATIENCE => continue,
            Err(error) => return Err(error),
        };
        let member = then.members.iter().find(|member| member.name == *old);
        if member.is_some_and(MemberView::is_supplied) && (then.votes(old) || !voted) {
            return say(format_args!("the Postgres of {old} was restarted, and follows"));
        }
        if member.is_some_and(MemberView::is_at_work) {
            last_at_work = Instant::now();
        }
        if last_at_work.elapsed() >= PATIENCE {
            return Err(CtlError::NotBack { member: old.to_owned(), patience: PATIENCE });
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        restart: RestartArgs,
    }

    fn asked(line: &str) -> Result<RestartArgs, clap::Error> {
        let words = std::iter::once("restart").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.restart)
    }

    #[test]
    fn only_those_that_wait_are_meant() {
        let member = |name: &str, role: &str, pending_restart| MemberView {
            name: name.to_owned(),
            role: role.to_owned(),
            pending_restart,
            ..MemberView::default()
        };
        let now = Overview {
            members: vec![
                member("n1", "leader", true),
                member("n2", "replica", false),
                member("n3", "replica", true),
            ],
            ..Overview::default()
        };
        for (line, names, question) in [
            ("--rolling", vec!["n1", "n2", "n3"], "the primary by a switchover?"),
            ("--rolling --pending", vec!["n1", "n3"], "Restart n1 by a switchover, n3?"),
            ("--pending", vec!["n3"], "Restart n3?"),
        ] {
            let args = asked(line).expect(line);
            let (all, says) = meant(&args, &now);
            let found: Vec<&str> = all.iter().map(|member| member.name.as_str()).collect();
            assert_eq!(found, names, "{line}");
            assert!(says.ends_with(question), "{says}");
        }
        for line in ["", "n2 --pending", "--pending --in-place", "--rolling --pending --at +2h"] {
            assert!(asked(line).is_err(), "{line}");
        }
    }
}
