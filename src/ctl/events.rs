//! `haactl events`: what operators asked for, who, from where, and what came of it. Asks one agent; changes nothing.

use std::collections::BTreeSet;

use clap::Args;
use haa_core::records::{Due, RequestId, RequestRecord, RequestState};

use super::error::CtlError;
use super::print::{Output, document, say, table};
use super::target::Target;
use crate::api::document::{rfc3339, unix_ms};
use crate::moment;

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
    [rfc3339(event.asked_unix_ms), event.by.clone(), asked(event), outcome(event)]
}

/// What was asked, in words, and for when.
pub(super) fn asked(event: &RequestRecord) -> String {
    let what = event.ask.sentence();
    match &event.due {
        Some(due) => format!("{what}, at {}", rfc3339(due.at_unix_ms)),
        None => what,
    }
}

/// What came of a command, in words.
pub(super) fn outcome(event: &RequestRecord) -> String {
    match &event.state {
        RequestState::Done { what } => what.clone(),
        RequestState::Refused { why } => format!("refused: {why}"),
        RequestState::Scheduled => waiting(event.due.as_ref(), unix_ms()),
        RequestState::Pending => "nobody acts on it yet".to_owned(),
        RequestState::Accepted { .. } => "under way".to_owned(),
    }
}

fn waiting(due: Option<&Due>, now: u64) -> String {
    let Some(due) = due else { return "waits".to_owned() };
    let begins = moment::distance(due.at_unix_ms, now);
    match (&due.after, due.at_unix_ms > now) {
        (Some(_), true) => format!("begins {begins}, once the one before it is done"),
        (Some(_), false) => "begins once the one before it is done".to_owned(),
        (None, true) => format!("begins {begins}"),
        (None, false) => format!(
            "was due {begins}; lapses {} if nobody begins with it",
            moment::distance(due.until_unix_ms, now)
        ),
    }
}

#[cfg(test)]
mod tests {
    use haa_core::records::{Ask, Loss};

    use super::*;

    #[test]
    fn what_waits_says_for_how_long() {
        let (at_unix_ms, until_unix_ms) = (7_200_000, 8_100_000);
        let due = |after| Due { at_unix_ms, until_unix_ms, after, from: None };
        let alone = due(None);
        assert_eq!(waiting(Some(&alone), 0), "begins in 2h");
        let late = "was due 1m ago; lapses in 14m if nobody begins with it";
        assert_eq!(waiting(Some(&alone), 7_260_000), late);
        let chained = due(Some("7f".to_owned()));
        let says = "begins in 2h, once the one before it is done";
        assert_eq!(waiting(Some(&chained), 0), says);
    }

    #[test]
    fn as_many_digits_are_shown_as_tell_names_apart() {
        let named = |id: &str| {
            let (ask, by) = (Ask::Failover { to: None, loss: Loss::Allowed }, "alice".to_owned());
            let state = RequestState::Pending;
            (id.to_owned(), RequestRecord { ask, by, asked_unix_ms: 0, due: None, state })
        };
        assert_eq!(digits(&[named("aaaabbbb"), named("baaabbbb")]), 4);
        assert_eq!(digits(&[named("aaaabbbb"), named("aaaabbcb")]), 7);
    }
}
