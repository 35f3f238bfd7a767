//! `haactl requests`: which commands are open or lately ended; one is waited for, or cancelled. Decides nothing.

use std::time::Duration;

use clap::{Args, Subcommand};
use haa_core::records::RequestId;
use hyper::Method;
use serde_json::json;

use super::error::CtlError;
use super::events::{self, Event};
use super::print::{Output, say};
use super::target::Target;
use super::wait::Taken;

/// Show the commands that are open or lately came to an end, wait for one, or cancel one that nobody acts on yet
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl requests
  haactl requests wait 5f3a        # as many digits as tell it from the others
  haactl requests wait 5f3a --timeout 10m
  haactl requests cancel 5f3a

What waits for its time (--at) says how long; cancelling the first of a rolling restart ends all of
it. What has begun cannot be cancelled. haactl events shows older ones. Whoever waits no longer
(Ctrl-C, --timeout) leaves the command going on.

Exit codes: 0 shown, done or cancelled, 1 refused, failed or not waited for, 2 wrong usage,
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
    /// Wait until a command has come to its end, and say what is so then
    Wait {
        /// Which: the first digits of its name
        id: String,
        /// No longer than this, such as 10m
        #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
    },
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
    match &args.verb {
        None => events::show_named(args.output, &requests),
        Some(Verb::Wait { id, timeout }) => {
            let id = match meant(&requests, id) {
                Err(CtlError::NotOneRequest { meant: 0, .. }) => {
                    meant(&target.stored::<Vec<Event>>("/events").await?, id)?
                }
                known => known?,
            };
            say(Taken { id, asked: None }.ended(target, *timeout, None).await?)
        }
        Some(Verb::Cancel { id }) => {
            let path = format!("/requests/{}", meant(&requests, id)?);
            let method = (Method::DELETE, path.as_str());
            let (_, answer) = target.alter("cancel", method, &json!({}), None).await?;
            say(answer.sentence())
        }
    }
}

/// The one whose name begins so.
fn meant(requests: &[Event], id: &str) -> Result<RequestId, CtlError> {
    let begins = |of: &&RequestId| !id.is_empty() && of.starts_with(id);
    let meant: Vec<&RequestId> = requests.iter().map(|(of, _)| of).filter(begins).collect();
    match meant[..] {
        [one] => Ok(one.clone()),
        _ => Err(CtlError::NotOneRequest { id: id.to_owned(), meant: meant.len() }),
    }
}
