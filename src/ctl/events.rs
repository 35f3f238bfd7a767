//! `haactl events`: what operators asked for, who, from where, and what came of it. Asks one agent; changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, ValueEnum};
use haa_core::records::{Ask, Due, RequestId, RequestRecord, RequestState};
use haa_core::units::MemberName;
use time::UtcOffset;

use super::error::CtlError;
use super::list::Overview;
use super::print::{Output, document, say, table};
use super::target::Target;
use crate::api::document::{rfc3339, unix_ms};
use crate::moment;

/// A command and its name.
pub(super) type Event = (RequestId, RequestRecord);

/// Show every command: when, how long it took, who from where, and what came of it
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl events
  haactl events --since 2d --member n2
  haactl events --kind restart --refused
  haactl events --output json | jq -r '.[-1][1].by'

The newest thousand are kept. Commands that an agent refused by itself are of the kind command, if the token was
known; of those the newest two hundred are kept.

Exit codes: 0 shown, 1 the agent cannot read them from etcd, 2 wrong usage, 3 no agent could be reached,
4 token missing or refused")]
pub(super) struct EventsArgs {
    /// Only what ended since then: 2h ago, 2026-11-28T03:00 by this machine's clock, or ...Z
    #[arg(long, value_name = "TIME", value_parser = back)]
    since: Option<u64>,
    /// Only what is about this member
    #[arg(long)]
    member: Option<MemberName>,
    /// Only of this kind
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only what was refused
    #[arg(long)]
    refused: bool,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Switchover,
    Failover,
    Drain,
    Undrain,
    Restart,
    Reload,
    Reinit,
    Remove,
    PromoteCluster,
    DemoteCluster,
    /// Pause and resume among them
    Settings,
    /// Promotions that a hook was against
    Promote,
    /// Slots that were lost
    Slot,
    /// What an agent refused by itself
    Command,
}

impl Kind {
    /// With the members that it is about.
    fn of(ask: &Ask) -> (Self, Option<&MemberName>) {
        match ask {
            Ask::Switchover { to } => (Self::Switchover, to.as_ref()),
            Ask::Failover { to, .. } => (Self::Failover, to.as_ref()),
            Ask::Drain { member } => (Self::Drain, Some(member)),
            Ask::Undrain { member } => (Self::Undrain, Some(member)),
            Ask::Restart { member, .. } => (Self::Restart, Some(member)),
            Ask::Reload { member } => (Self::Reload, Some(member)),
            Ask::Reinit { member, .. } => (Self::Reinit, Some(member)),
            Ask::Remove { member } => (Self::Remove, Some(member)),
            Ask::PromoteCluster { .. } => (Self::PromoteCluster, None),
            Ask::DemoteCluster { .. } => (Self::DemoteCluster, None),
            Ask::Settings { .. } => (Self::Settings, None),
            Ask::Promote { member, .. } => (Self::Promote, Some(member)),
            Ask::KeepSlot { member, .. } => (Self::Slot, Some(member)),
            Ask::Command { member, .. } => (Self::Command, Some(member)),
        }
    }
}

/// A span is one that is over.
fn back(text: &str) -> Result<u64, String> {
    let now = unix_ms();
    if let Ok(span) = humantime::parse_duration(text.trim()) {
        return Ok(now.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
    }
    moment::read_here(text, now, |at| UtcOffset::local_offset_at(at).ok())
        .map_err(|why| format!("{why}, and no span such as 2h"))
}

impl EventsArgs {
    fn wants(&self, event: &RequestRecord) -> bool {
        let (kind, about) = Kind::of(&event.ask);
        let ended = event.ended_unix_ms.unwrap_or(event.asked_unix_ms);
        let refused = matches!(event.state, RequestState::Refused { .. });
        self.since.is_none_or(|since| ended >= since)
            && self.member.as_ref().is_none_or(|member| about == Some(member))
            && self.kind.is_none_or(|wanted| kind == wanted)
            && (refused || !self.refused)
    }
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers.
pub(super) async fn run(args: &EventsArgs, target: &Target) -> Result<(), CtlError> {
    let mut events: Vec<Event> = target.stored("/events").await?;
    if let Some(member) = &args.member {
        // One that was removed is no member, and there may be events of it.
        if !events.iter().any(|(_, event)| Kind::of(&event.ask).1 == Some(member)) {
            Overview::fetch(target).await?.names(member)?;
        }
    }
    events.retain(|(_, event)| args.wants(event));
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
    let mut rows = table(&["at", "took", "by", "command", "outcome"]);
    for (_, event) in events {
        let [at, by, command, outcome] = cells(event);
        rows.add_row([at, took(event), by, command, outcome]);
    }
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

/// From its time on; as far as that is known.
fn took(event: &RequestRecord) -> String {
    let began = event.due.as_ref().map_or(event.asked_unix_ms, |due| due.at_unix_ms);
    let took = event.ended_unix_ms.map(|ended| ended.saturating_sub(began));
    let shown = |ms: u64| if ms < 10_000 { ms / 100 * 100 } else { ms / 1_000 * 1_000 };
    took.map_or("-".to_owned(), |ms| {
        humantime::format_duration(Duration::from_millis(shown(ms))).to_string()
    })
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
    use haa_core::records::{Loss, Manner};

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
    fn only_what_is_wanted_is_shown() {
        let member = |name: &str| name.parse::<MemberName>().expect("a legal name");
        let restart = Ask::Restart { member: member("n2"), manner: Manner::Alone };
        let done = RequestState::Done { what: "streams".to_owned() };
        let event = RequestRecord { asked_unix_ms: 1_000, ..told(restart, 13_400, done) };
        assert_eq!(took(&event), "12s");
        assert_eq!(took(&RequestRecord { ended_unix_ms: None, ..event.clone() }), "-");
        let all = || EventsArgs {
            since: None,
            member: None,
            kind: None,
            refused: false,
            output: Output::Table,
        };
        for (args, wanted) in [
            (all(), true),
            (EventsArgs { since: Some(13_400), ..all() }, true),
            (EventsArgs { since: Some(13_401), ..all() }, false),
            (EventsArgs { member: Some(member("n2")), ..all() }, true),
            (EventsArgs { member: Some(member("n1")), ..all() }, false),
            (EventsArgs { kind: Some(Kind::Restart), ..all() }, true),
            (EventsArgs { kind: Some(Kind::Drain), ..all() }, false),
            (EventsArgs { refused: true, ..all() }, false),
        ] {
            assert_eq!(args.wants(&event), wanted, "{args:?}");
        }
        assert!(back("2h").is_ok_and(|at| at < unix_ms()));
        assert!(back("soon").is_err_and(|why| why.contains("'soon' is no time")));
    }

    fn told(ask: Ask, at: u64, state: RequestState) -> RequestRecord {
        RequestRecord::told(ask, "alice".to_owned(), at, state)
    }

    #[test]
    fn as_many_digits_are_shown_as_tell_names_apart() {
        let named = |id: &str| {
            let (ask, by) = (Ask::Failover { to: None, loss: Loss::Allowed }, "alice".to_owned());
            let state = RequestState::Pending;
            (id.to_owned(), RequestRecord::told(ask, by, 0, state))
        };
        assert_eq!(digits(&[named("aaaabbbb"), named("baaabbbb")]), 4);
        assert_eq!(digits(&[named("aaaabbbb"), named("aaaabbcb")]), 7);
    }
}
