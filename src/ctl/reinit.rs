//! `haactl reinit`: a replica's data are thrown away and cloned anew. Asks, and shows how far it is; the agents decide.

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use haa_core::records::{RequestId, RequestState};
use haa_core::units::MemberName;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;

use super::at::AtArgs;
use super::error::CtlError;
use super::events::Event;
use super::list::Overview;
use super::print::say;
use super::switchover::confirm;
use super::target::Target;

/// Between two looks at it.
const AGAIN: Duration = Duration::from_millis(500);
/// A finished request is kept for people to read, but not for ever: one that is missed for so many looks is gone.
const MISSED: u32 = 40;

/// Throw a replica's data away, and clone it anew from the leader
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl reinit n2
  haactl reinit n2 --yes
  haactl reinit n2 --at 2026-11-28T03:00

Answers when it streams again, and shows how far the clone is until then. Interrupted, it goes on:
haactl list shows it, and haactl events how it ended. The old data are moved aside, not deleted.
Refused for the primary, while nobody leads, and where acknowledged commits need this member.

Exit codes: 0 it streams, or will be cloned, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct ReinitArgs {
    /// Whose
    member: MemberName,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    at: AtArgs,
}

#[derive(Deserialize)]
struct Begun {
    request: RequestId,
}

/// Runs the verb.
///
/// # Errors
/// When it is refused, fails, or nobody takes it.
pub(super) async fn run(args: &ReinitArgs, target: &Target) -> Result<(), CtlError> {
    let member = &args.member;
    if !args.yes {
        let now = Overview::fetch(target).await?;
        let at = &args.at;
        let question =
            format!("Clone it anew{at}? Its data are moved aside, and it serves nobody meanwhile.");
        confirm(&format!("{}\n{member}: {question}", now.table()))?;
    }
    const PATH: &str = "/reinitialize";
    let body = args.at.of(json!({ "member": member }), "scheduled_at");
    let (by, answer) = target.command("reinit", PATH, &body).await?;
    if args.at.is_later() {
        return say(answer.sentence());
    }
    let begun: Begun = serde_json::from_slice(&answer.body)
        .map_err(|source| CtlError::OddAnswer { by: by.clone(), path: PATH.to_owned(), source })?;
    let mut shown = Shown::new(member);
    let mut looks = tokio::time::interval(AGAIN);
    let mut missed = 0;
    while missed < MISSED {
        looks.tick().await;
        // It goes on whether or not somebody can look: an agent that does not answer now is only a look that is missed.
        let requests = target.document::<Vec<Event>>("/requests").await.unwrap_or_default();
        let asked = requests.into_iter().find(|(id, _)| *id == begun.request);
        match asked.map(|(_, request)| request.state) {
            Some(RequestState::Done { what }) => {
                shown.end();
                return say(what);
            }
            Some(RequestState::Refused { why }) => {
                shown.end();
                return Err(CtlError::Refused { what: "reinit", by, why });
            }
            Some(
                RequestState::Scheduled | RequestState::Pending | RequestState::Accepted { .. },
            ) => missed = 0,
            None => missed += 1,
        }
        if let Ok(now) = Overview::fetch(target).await {
            shown.show(&now)?;
        }
    }
    shown.end();
    Err(CtlError::OutOfSight { member: member.clone() })
}

/// How far it is: a bar on a terminal, else a line for each change.
/// As indicatif has it.
const BAR: &str = "{msg} [{wide_bar}] {pos}%";

struct Shown<'a> {
    member: &'a MemberName,
    bar: Option<ProgressBar>,
    said: String,
}

impl<'a> Shown<'a> {
    fn new(member: &'a MemberName) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(BAR);
            ProgressBar::new(100).with_style(style.expect("it was tried"))
        });
        Self { member, bar, said: String::new() }
    }

    fn show(&mut self, now: &Overview) -> Result<(), CtlError> {
        let member = now.members.iter().find(|member| member.name == self.member.as_str());
        let (state, percent) = match member {
            Some(member) => (member.shown_state(), member.progress),
            None => ("not there".to_owned(), None),
        };
        let state = format!("{} is {state}", self.member);
        if let Some(bar) = &self.bar {
            bar.set_message(state);
            bar.set_position(percent.map_or(0, u64::from));
        } else if state != self.said {
            say(&state)?;
            self.said = state;
        }
        Ok(())
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_a_template_that_is_one() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
