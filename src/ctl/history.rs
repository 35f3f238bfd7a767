//! `haactl history`: who led, since when and why, and what it cost. Asks one agent; changes nothing.

use clap::Args;

use haa_core::discard::{Commits, Discarded};
use haa_core::units::{Lsn, Term};

use super::documents::HistoryRow;
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

Exit codes: 0 shown, 1 the agent cannot read it from etcd, 2 wrong usage, 3 no agent could be reached")]
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
    let rows: Vec<HistoryRow> = chapters.iter().filter_map(|(_, of)| row(of)).collect();
    if let Some(text) = document(args.output, &rows)? {
        return say(text);
    }
    let mut shown = table(&["timeline left", "at", "since", "leader", "why"]);
    for HistoryRow(timeline, lsn, reason, at, leader, _) in rows {
        // On the wire it is a number, as those who ask expect; people write positions otherwise.
        let position = lsn.as_u64().map(|bytes| Lsn(bytes).to_string());
        let lsn = position.or_else(|| lsn.as_str().map(str::to_owned)).unwrap_or_default();
        let word = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        shown.add_row([timeline.to_string(), lsn, word(at), word(leader), word(reason)]);
    }
    say(shown.trim_fmt())?;
    for (term, chapter) in &chapters {
        for lost in &chapter.discarded {
            say(format_args!("\nterm {term}: {}", told(lost)))?;
        }
    }
    Ok(())
}

/// As `GET /history` has it, and one more.
fn row(Chapter { record, discarded }: &Chapter) -> Option<HistoryRow> {
    let fork = record.fork?;
    let timeline = u64::from(fork.timeline.0);
    let (why, at) = (record.reason.sentence().to_owned(), rfc3339(record.at_unix_ms));
    let leader = record.leader.to_string();
    Some(HistoryRow(
        timeline,
        fork.lsn.0.into(),
        Some(why),
        Some(at),
        Some(leader),
        discarded.clone(),
    ))
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
