//! `haactl history`: who led, since when and why, and what it cost. Asks one agent; changes nothing.

use clap::Args;

use haa_core::discard::{Commits, Discarded};
use haa_core::units::{Lsn, MemberName, Term, Timeline};
use serde::Serialize;

use super::error::CtlError;
use super::print::{Output, document, say, table};
use super::target::Target;
use crate::api::document::rfc3339;
use crate::store::Chapter;

/// Show who led, since when and why, and which transactions were discarded
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl history
  haactl history --output yaml
  haactl history --output json | jq '.[][5][]'

The sixth element of a row in json and yaml is what was discarded for that leadership.

Exit codes: 0 shown, 1 the agent cannot read it from etcd, 2 wrong usage, 3 no agent could be reached,
4 token missing or refused")]
pub(super) struct HistoryArgs {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers.
pub(super) async fn run(args: &HistoryArgs, target: &Target) -> Result<(), CtlError> {
    let chapters: Vec<(Term, Chapter)> = target.stored("/why").await?;
    let rows: Vec<Row<'_>> = chapters.iter().filter_map(|(_, of)| row(of)).collect();
    if let Some(text) = document(args.output, &rows)? {
        return say(text);
    }
    let mut shown = table(&["timeline left", "at", "since", "leader", "why"]);
    for Row(timeline, lsn, why, at, leader, _) in rows {
        let (timeline, lsn) = (timeline.0.to_string(), Lsn(lsn).to_string());
        shown.add_row([timeline, lsn, at, leader.to_string(), why.to_owned()]);
    }
    say(shown.trim_fmt())?;
    for (term, chapter) in &chapters {
        for lost in &chapter.discarded {
            say(format_args!("\nterm {term}: {}", told(lost)))?;
        }
    }
    Ok(())
}

/// As `GET /history` has it, with the position as a number, and what was discarded.
#[derive(Serialize)]
struct Row<'a>(Timeline, u64, &'static str, String, &'a MemberName, &'a [Discarded]);

fn row(Chapter { record, discarded }: &Chapter) -> Option<Row<'_>> {
    let fork = record.fork?;
    let at = rfc3339(record.at_unix_ms);
    Some(Row(fork.timeline, fork.lsn.0, record.reason.sentence(), at, &record.leader, discarded))
}

/// What was discarded, and when it was written.
pub(super) fn told(lost: &Discarded) -> String {
    match lost.commits {
        Commits::Counted { last_unix_ms: Some(last), .. } => {
            format!("{lost}; the last commit is of {}", rfc3339(last))
        }
        Commits::Counted { last_unix_ms: None, .. } | Commits::NotCounted(_) => lost.to_string(),
    }
}
