//! How answers are printed: for people, or as JSON or YAML. Never what they say.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use super::error::CtlError;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Writes one line to standard output.
///
/// # Errors
/// When it cannot be written; a reader that has left early is none.
pub(super) fn say(line: impl std::fmt::Display) -> Result<(), CtlError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.map_err(CtlError::Write),
    }
}

/// Renders a document as JSON or YAML; `None` for people.
///
/// # Errors
/// When it cannot be rendered.
pub(super) fn document(output: Output, value: &impl Serialize) -> Result<Option<String>, CtlError> {
    match output {
        Output::Table => Ok(None),
        Output::Json => serde_json::to_string_pretty(value)
            .map(Some)
            .map_err(|error| CtlError::Write(io::Error::other(error))),
        Output::Yaml => serde_saphyr::to_string(value)
            .map(|text| Some(text.trim_end().to_owned()))
            .map_err(|error| CtlError::Write(io::Error::other(error.to_string()))),
    }
}

/// A table without lines, with these column names.
#[must_use]
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    table
}
