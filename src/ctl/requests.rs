//! `haactl requests`: which commands are open or lately came to an end, and how one is cancelled. Decides nothing.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::error::CtlError;
use super::events::{self, Event};
use super::print::{Output, say};
use super::target::Target;

/// Show the commands that are open or lately came to an end, or cancel one that nobody acts on yet
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl requests
  haactl requests cancel 5f3a      # as many digits as tell it from the others

What waits for its time (--at) says how long; cancelling the first of a rolling restart ends all of
it. What has begun cannot be cancelled. haactl events shows older ones.

Exit codes: 0 shown or cancelled, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct RequestsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Cancel a command that nobody acts on yet
    Cancel {
        /// Which: the first digits of its name
        id: String,
    },
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers, no command is meant or several are, or it has begun.
pub(super) async fn run(args: &RequestsArgs, target: &Target) -> Result<(), CtlError> {
    let requests: Vec<Event> = target.document("/requests").await?;
    let Some(Verb::Cancel { id }) = &args.verb else {
        return events::show_named(args.output, &requests);
    };
    let meant: Vec<&str> = requests
        .iter()
        .map(|(of, _)| of.as_str())
        .filter(|of| !id.is_empty() && of.starts_with(id.as_str()))
        .collect();
    let [meant] = meant[..] else {
        return Err(CtlError::NotOneRequest { id: id.clone(), meant: meant.len() });
    };
    let path = format!("/requests/{meant}");
    let method = (Method::DELETE, path.as_str());
    let (_, answer) = target.alter("cancel", method, &json!({}), None).await?;
    say(answer.sentence())
}
