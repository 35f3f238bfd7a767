//! Where log lines go and in which form. Never decides what is worth one.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{Log, LogFormat};

/// A filter such as `info` or `info,haa::store=debug`.
///
/// # Errors
/// It is none.
pub fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(level)
}

/// Begins to log to standard error, as configured; `RUST_LOG` wins over the configured level.
///
/// # Errors
/// The filter is none, or logging had begun before.
pub fn begin(log: &Log) -> anyhow::Result<()> {
    let spoken = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let filter = filter(spoken.as_deref().unwrap_or(&log.level))?;
    // Colours are for people; a log file and the journal take them for letters.
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr);
    let begun = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| anyhow::anyhow!("logging cannot begin: {error}"))
}
