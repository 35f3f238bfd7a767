//! `haactl events`: what operators asked for, who, from where, and what came of it. Asks one agent; changes nothing.

use clap::Args;
use haa_core::records::{RequestId, RequestRecord, RequestState};

use super::error::CtlError;
use super::print::{Output, document, say, table};
use super::target::Target;
use crate::api::document::rfc3339;

/// A command and its name.
pub(super) type Event = (RequestId, RequestRecord);

/// Show every command: when, who from where, and what came of it
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl events
  haactl events --output json | jq -r '.[-1][1].by'

The newest thousand are kept.

Exit codes: 0 shown, 1 the agent cannot read them from etcd, 2 wrong usage, 3 no agent could be reached")]
pub(super) struct EventsArgs {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers.
pub(super) async fn run(args: &EventsArgs, target: &Target) -> Result<(), CtlError> {
    let events: Vec<Event> = target.stored("/events").await?;
    show(args.output, &events)
}

/// Prints some of them.
///
/// # Errors
/// When they cannot be written out.
pub(super) fn show(output: Output, events: &[Event]) -> Result<(), CtlError> {
    if let Some(text) = document(output, &events)? {
        return say(text);
    }
    let mut rows = table(&["at", "by", "command", "outcome"]);
    for (_, event) in events {
        let outcome = outcome(&event.state);
        let at = rfc3339(event.asked_unix_ms);
        rows.add_row([at, event.by.clone(), event.ask.sentence(), outcome]);
    }
    say(rows.trim_fmt())
}

/// What came of a command, in words.
pub(super) fn outcome(state: &RequestState) -> String {
    match state {
        RequestState::Done { what } => what.clone(),
        RequestState::Refused { why } => format!("refused: {why}"),
        RequestState::Pending | RequestState::Accepted { .. } => "under way".to_owned(),
    }
}
