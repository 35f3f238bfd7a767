//! `haactl events`: what operators asked for, who, from where, and what came of it. Asks one agent; changes nothing.

use std::collections::BTreeSet;

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

Exit codes: 0 shown, 1 the agent cannot read them from etcd, 2 wrong usage, 3 no agent could be reached,
4 token missing or refused")]
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
    events.iter().for_each(|(_, event)| {
        rows.add_row(cells(event));
    });
    say(rows.trim_fmt())
}

/// The same with as much of each name as tells it from the others.
///
/// # Errors
/// As there.
pub(super) fn show_named(output: Output, events: &[Event]) -> Result<(), CtlError> {
    if let Some(text) = document(output, &events)? {
        return say(text);
    }
    let long = digits(events);
    let mut rows = table(&["id", "at", "by", "command", "outcome"]);
    for (id, event) in events {
        let [at, by, command, outcome] = cells(event);
        rows.add_row([id.chars().take(long).collect(), at, by, command, outcome]);
    }
    say(rows.trim_fmt())
}

/// How many digits of their names tell them apart.
fn digits(events: &[Event]) -> usize {
    const FEWEST: usize = 4;
    const MOST: usize = 32;
    let apart = |long: &usize| {
        let begins: BTreeSet<String> =
            events.iter().map(|(id, _)| id.chars().take(*long).collect()).collect();
        begins.len() == events.len()
    };
    (FEWEST..MOST).find(apart).unwrap_or(MOST)
}

fn cells(event: &RequestRecord) -> [String; 4] {
    let outcome = outcome(&event.state);
    [rfc3339(event.asked_unix_ms), event.by.clone(), event.ask.sentence(), outcome]
}

/// What came of a command, in words.
pub(super) fn outcome(state: &RequestState) -> String {
    match state {
        RequestState::Done { what } => what.clone(),
        RequestState::Refused { why } => format!("refused: {why}"),
        RequestState::Pending => "nobody acts on it yet".to_owned(),
        RequestState::Accepted { .. } => "under way".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use haa_core::records::{Ask, Loss};

    use super::*;

    #[test]
    fn as_many_digits_are_shown_as_tell_names_apart() {
        let named = |id: &str| {
            let (ask, by) = (Ask::Failover { to: None, loss: Loss::Allowed }, "alice".to_owned());
            let state = RequestState::Pending;
            (id.to_owned(), RequestRecord { ask, by, asked_unix_ms: 0, state })
        };
        assert_eq!(digits(&[named("aaaabbbb"), named("baaabbbb")]), 4);
        assert_eq!(digits(&[named("aaaabbbb"), named("aaaabbcb")]), 7);
    }
}
