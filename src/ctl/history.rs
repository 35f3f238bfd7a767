//! `haactl history`: who led, since when and why. Asks one agent; changes nothing.

use clap::Args;

use haa_core::units::Lsn;

use super::documents::HistoryRow;
use super::error::CtlError;
use super::print::{Output, document, say, table};
use super::target::Target;

/// Show who led, since when and why
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl history
  haactl history --output yaml

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
    let rows: Vec<HistoryRow> = target.stored("/history").await?;
    if let Some(text) = document(args.output, &rows)? {
        return say(text);
    }
    let mut shown = table(&["timeline left", "at", "since", "leader", "why"]);
    for HistoryRow(timeline, lsn, reason, at, leader) in rows {
        // On the wire it is a number, as those who ask expect; people write positions otherwise.
        let position = lsn.as_u64().map(|bytes| Lsn(bytes).to_string());
        let lsn = position.or_else(|| lsn.as_str().map(str::to_owned)).unwrap_or_default();
        let word = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        shown.add_row([timeline.to_string(), lsn, word(at), word(leader), word(reason)]);
    }
    say(shown.trim_fmt())
}
