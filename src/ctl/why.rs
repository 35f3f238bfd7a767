//! `haactl why`: how a leadership came about, as a story. Asks one agent; changes nothing.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use haa_core::records::{Ask, HistoryRecord, Phases, RequestState};
use haa_core::units::Term;

use super::documents::ClusterView;
use super::error::CtlError;
use super::events::Event;
use super::history::told;
use super::print::{Output, document, say};
use super::target::Target;
use crate::api::document::rfc3339;
use crate::store::Chapter;

/// Tell how a leadership came about: why, in which steps, who else could have led, and what it cost
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl why
  haactl why 7
  haactl why --output json

Exit codes: 0 told, 1 there is no such term on record, or the agent cannot read it from etcd, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct WhyArgs {
    /// Of which term [default: the last on record]
    term: Option<u64>,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers, or there is no such term.
pub(super) async fn run(args: &WhyArgs, target: &Target) -> Result<(), CtlError> {
    let records: Vec<(Term, Chapter)> = target.stored("/why").await?;
    let known: Vec<u64> = records.iter().map(|(term, _)| term.0).collect();
    let wanted = |(term, _): &&(Term, Chapter)| args.term.is_none_or(|of| term.0 == of);
    let Some((term, record)) = records.iter().rfind(wanted) else {
        return Err(CtlError::NoSuchTerm { term: args.term.unwrap_or_default(), known });
    };
    if let Some(text) = document(args.output, &(term, record))? {
        return say(text);
    }
    let before = records.iter().rfind(|(of, _)| of < term);
    let mut text = story(*term, record, before.map(|(_, record)| record));
    let vetoes = vetoes(&target.stored::<Vec<Event>>("/events").await?);
    let since = before.map_or(Term(0), |(term, _)| *term);
    text.push_str(&gave_way("Who gave way before", &vetoes, |of| since < of && of <= *term));
    if known.last() == Some(&term.0) {
        text.push_str(&gave_way("Who gave way since", &vetoes, |of| of > *term));
    }
    say(text.trim_end())?;
    let cluster: ClusterView = target.document("/cluster").await?;
    match (cluster.leader(), &cluster.waits) {
        (None, Some(why)) => say(format_args!("\nNow nobody leads. {why}")),
        (None, None) => say("\nNow nobody leads."),
        (Some(_), _) => Ok(()),
    }
}

fn story(term: Term, Chapter { record, discarded }: &Chapter, before: Option<&Chapter>) -> String {
    let HistoryRecord { leader, timeline, reason, .. } = record;
    let at =
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(record.at_unix_ms));
    let from = match before.map(|before| &before.record) {
        Some(before) if before.leader == *leader => format!(", as before on {}", before.timeline),
        Some(before) => format!(" after {}", before.leader),
        None => String::new(),
    };
    let mut text = format!("Term {term}: {leader} leads since {at}{from}: {reason}.\n");
    let fork = record.fork.map_or_else(String::new, |fork| {
        format!(", which leaves timeline {} at {}", fork.timeline, fork.lsn)
    });
    let _ = writeln!(text, "It writes timeline {timeline}{fork}.\n");
    for (name, at, what) in steps(&record.phases) {
        let _ = writeln!(text, "  {at:>7} ms  {name:<9} {what}");
    }
    if !record.candidates.is_empty() {
        text.push_str("\nWho could have led:\n");
    }
    for (name, considered) in &record.candidates {
        let position = considered.position.map_or("position unknown".to_owned(), |position| {
            format!("{} on timeline {}", position.lsn, position.timeline)
        });
        let verdict = considered.verdict.sentence();
        let _ = writeln!(text, "  {:<9} {position:<28} {verdict}", name.as_str());
    }
    if !discarded.is_empty() {
        text.push_str("\nWhat it cost:\n");
    }
    for lost in discarded {
        let _ = writeln!(text, "  {}", told(lost));
    }
    text
}

/// Promotions that the operator's own programs were against, oldest first.
fn vetoes(events: &[Event]) -> Vec<(Term, String)> {
    let told = events.iter().filter_map(|(_, event)| match (&event.ask, &event.state) {
        (Ask::Promote { member, term }, RequestState::Refused { why }) => {
            let at = rfc3339(event.asked_unix_ms);
            Some((*term, format!("{member} in term {term}, at {at}: {why}")))
        }
        (_, _) => None,
    });
    told.collect()
}

fn gave_way(title: &str, vetoes: &[(Term, String)], of: impl Fn(Term) -> bool) -> String {
    let lines: String = vetoes
        .iter()
        .filter(|(term, _)| of(*term))
        .map(|(_, line)| format!("  {line}\n"))
        .collect();
    if lines.is_empty() { lines } else { format!("\n{title}:\n{lines}") }
}

/// In their order; a record of an older agent has none.
fn steps(phases: &Phases) -> Vec<(&'static str, u64, &'static str)> {
    if *phases == Phases::default() {
        return Vec::new();
    }
    let mut steps = vec![
        ("noticed", phases.noticed_ms, "that another leader was needed"),
        ("stood", phases.stood_ms, "for the leadership"),
        ("granted", phases.granted_ms, "by enough members that receive nothing older any more"),
        ("elected", phases.elected_ms, "by etcd"),
        ("promoted", phases.promoted_ms, "Postgres accepts writes of the agents"),
        ("open", phases.open_ms, "the first write of a client was possible"),
    ];
    steps.extend(phases.attached_ms.map(|at| ("followed", at, "by everybody who is to")));
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use haa_core::discard::{Commits, Discarded};
    use haa_core::line::Fork;
    use haa_core::reason::Reason;
    use haa_core::records::{Considered, RequestRecord, Verdict};
    use haa_core::units::{Lsn, Position, Timeline};

    use super::*;

    #[test]
    fn whoever_gave_way_is_told_with_the_leadership_that_followed() {
        let event = |member: &str, term: u64| {
            let member = member.parse().expect("a legal name");
            let ask = Ask::Promote { member, term: Term(term) };
            let state = RequestState::Refused { why: "it said no".to_owned() };
            let by = "its hook".to_owned();
            (String::new(), RequestRecord::told(ask, by, 0, state))
        };
        let vetoes = vetoes(&[event("n2", 4), event("n3", 7)]);
        let told = gave_way("Who gave way before", &vetoes, |term| term <= Term(5));
        let line = "  n2 in term 4, at 1970-01-01T00:00:00.000Z: it said no\n";
        assert_eq!(told, format!("\nWho gave way before:\n{line}"));
        assert_eq!(gave_way("Who", &vetoes, |term| term > Term(7)), "");
    }

    #[test]
    fn a_leadership_is_told_as_a_story() {
        let position = Position { timeline: Timeline(3), lsn: Lsn(0x400_0120) };
        let considered = |position, verdict| Considered { position, verdict };
        let name = |name: &str| name.parse().expect("a legal name");
        let record = HistoryRecord {
            leader: name("n2"),
            timeline: Timeline(5),
            fork: Some(Fork { timeline: Timeline(3), lsn: Lsn(0x400_0120) }),
            reason: Reason::TakenOver,
            at_unix_ms: 1_700_000_000_123,
            took_ms: 100,
            phases: Phases { noticed_ms: 1000, stood_ms: 1012, open_ms: 1130, ..Phases::default() },
            candidates: BTreeMap::from([
                (name("n1"), considered(None, Verdict::Silent)),
                (name("n2"), considered(Some(position), Verdict::Chosen)),
            ]),
        };
        let lost = Discarded {
            member: name("n1"),
            term: Term(4),
            fork: Fork { timeline: Timeline(3), lsn: Lsn(0x400_0120) },
            end: Some(Position { timeline: Timeline(3), lsn: Lsn(0x400_0250) }),
            commits: Commits::Counted {
                transactions: 2,
                first_unix_ms: None,
                last_unix_ms: Some(1_700_000_000_000),
            },
            kept: None,
            at_unix_ms: 0,
        };
        let chapter = Chapter { record, discarded: vec![lost] };
        let told = story(Term(4), &chapter, None);
        let expected = "Term 4: n2 leads since 2023-11-14T22:13:20.123Z: enough voters lost the primary.\n\
             It writes timeline 5, which leaves timeline 3 at 0/4000120.\n";
        assert!(told.starts_with(expected), "{told}");
        assert!(told.contains("     1012 ms  stood     for the leadership\n"), "{told}");
        assert!(
            told.contains("  n1        position unknown             was not heard\n"),
            "{told}"
        );
        let cost = "\nWhat it cost:\n  n1 discarded 2 transactions (WAL 0/4000120 to 0/4000250 of timeline 3), not \
             kept; the last commit is of 2023-11-14T22:13:20.000Z\n";
        assert!(told.ends_with(cost), "{told}");
        let record = HistoryRecord {
            phases: Phases::default(),
            candidates: BTreeMap::new(),
            ..chapter.record
        };
        let old = Chapter { record, discarded: Vec::new() };
        assert_eq!(story(Term(4), &old, None), expected.to_owned() + "\n");
    }
}
