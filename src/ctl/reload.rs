//! `haactl reload`: members read their `haad.toml` again. Asks each of them; the agents say what came of it.

use clap::Args;
use haa_core::units::MemberName;
use serde_json::json;

use super::at::AtArgs;
use super::documents::ClusterView;
use super::error::CtlError;
use super::list::is_member;
use super::print::say;
use super::switchover::order_at;
use super::target::Target;
use crate::agent::Reloaded;

const WHAT: &str = "reload";
const PATH: &str = "/reload";

/// Let members read their haad.toml again, as far as that is possible without a restart
#[derive(Args, Debug)]
#[command(after_help = "\
Taken at once are postgres.parameters, postgres.hba, postgres.include, postgres.restore_command and tags; Postgres
reads its files again. What waits for a restart of Postgres or of haad is said. A file that is wrong changes
nothing, and the answer names its line. systemctl reload haad does the same on one machine.

Examples:
  haactl reload n2
  haactl reload          # every member
  haactl reload n2 --at 2026-11-28T03:00

At a time the member reads the file as it is then, and haactl events says what came of it.

Exit codes: 0 done, or scheduled, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct ReloadArgs {
    /// Whose; everybody's if none is named
    members: Vec<MemberName>,
    #[command(flatten)]
    at: AtArgs,
}

/// Runs the verb. One that refuses does not keep the others from it.
///
/// # Errors
/// When a member is not known, not reached, or refuses.
pub(super) async fn run(args: &ReloadArgs, target: &Target) -> Result<(), CtlError> {
    let cluster: ClusterView = target.document("/cluster").await?;
    for name in &args.members {
        is_member(name, &cluster.members, &cluster.scope)?;
    }
    let mut refused = false;
    for member in &cluster.members {
        let named = args.members.iter().any(|name| name.as_str() == member.name);
        if !named && !args.members.is_empty() {
            continue;
        }
        let done = match member.agent() {
            _ if args.at.is_later() => {
                let body = json!({ "member": member.name });
                order_at((WHAT, PATH), (&args.at, "scheduled_at"), body, target).await
            }
            Some(agent) => one(&member.name, &target.only(agent)).await,
            None => Err(CtlError::NoAddress),
        };
        match done {
            Ok(()) => {}
            // No other member would take it.
            Err(error @ (CtlError::TokenMissing(_) | CtlError::TokenRefused { .. })) => {
                return Err(error);
            }
            Err(CtlError::NotAll) => refused = true,
            Err(error) => {
                say(format_args!("{}: {error}", member.name))?;
                refused = true;
            }
        }
    }
    if refused { Err(CtlError::NotAll) } else { Ok(()) }
}

async fn one(name: &str, target: &Target) -> Result<(), CtlError> {
    let (by, answer) = target.command(WHAT, PATH, &json!({})).await?;
    let told: Reloaded = serde_json::from_slice(&answer.body)
        .map_err(|source| CtlError::OddAnswer { by, path: PATH.to_owned(), source })?;
    told.lines().into_iter().try_for_each(|line| say(format_args!("{name}: {line}")))?;
    match told.objection {
        None => Ok(()),
        Some(why) => {
            say(format_args!("{name}: Postgres does not go by all of it: {why}"))?;
            Err(CtlError::NotAll)
        }
    }
}
