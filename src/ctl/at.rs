//! `--at TIME`: when a command is to begin, and what waits for its time. Never says whether it may.

use std::fmt;

use clap::Args;
use serde_json::{Value, json};
use time::{OffsetDateTime, UtcOffset};

use crate::api::document::{rfc3339, unix_ms};
use crate::moment;
use crate::verdict::Planned;

/// When.
#[derive(Args, Clone, Debug)]
pub(super) struct AtArgs {
    /// Not now but then: 2026-11-28T03:00 by this machine's clock, ...T03:00:00+01:00, ...Z, or +2h30m from now
    #[arg(long, value_name = "TIME", value_parser = here)]
    at: Option<At>,
}

/// An instant, and how it was said.
#[derive(Clone, Debug)]
pub(super) struct At {
    unix_ms: u64,
    /// A span from now counts by the clock of the agent that is asked.
    span: Option<String>,
}

/// As long as there is one thread, which is so while the command line is read, the zone can be asked for.
fn here(text: &str) -> Result<At, String> {
    let offset_at = |at: OffsetDateTime| UtcOffset::local_offset_at(at).ok();
    let unix_ms = moment::read_here(text, unix_ms(), offset_at)?;
    let span = text.trim().starts_with('+').then(|| text.trim().to_owned());
    Ok(At { unix_ms, span })
}

impl AtArgs {
    pub(super) const fn is_later(&self) -> bool {
        self.at.is_some()
    }

    /// The same command, at that time.
    pub(super) fn of(&self, mut body: Value, key: &str) -> Value {
        if let Some(at) = &self.at {
            let said = at.span.clone().unwrap_or_else(|| rfc3339(at.unix_ms));
            body[key] = json!(said);
        }
        body
    }
}

/// Behind a question: ` at 2026-11-28T03:00:00.000Z, in 2h`.
impl fmt::Display for AtArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(At { unix_ms: at, .. }) = &self.at else { return Ok(()) };
        write!(f, " at {}, {}", rfc3339(*at), moment::distance(*at, unix_ms()))
    }
}

/// What waits for its time, in a line; nothing if nothing does.
pub(super) fn line(planned: &[Planned]) -> Option<String> {
    let (first, more) = planned.split_first()?;
    let now = unix_ms();
    let away = moment::read(&first.at, now).map(|at| moment::distance(at, now));
    let away = away.map_or_else(|_| String::new(), |away| format!(" ({away})"));
    let more = match more.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!("Scheduled: {} at {}{away}{more}: haactl requests", first.what, first.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_one_line() {
        let planned = |what: &str| Planned {
            at: "2026-01-31T12:00:00.000Z".to_owned(),
            what: what.to_owned(),
        };
        assert_eq!(line(&[]), None);
        let one = line(&[planned("drain n2")]).expect("a line");
        assert!(one.starts_with("Scheduled: drain n2 at 2026-01-31T12:00:00.000Z ("), "{one}");
        assert!(one.ends_with("): haactl requests"), "{one}");
        let two = line(&[planned("drain n2"), planned("undrain n2")]).expect("a line");
        assert!(two.ends_with("), and 1 more: haactl requests"), "{two}");
    }

    #[test]
    fn a_span_is_sent_as_it_was_said() {
        let at = AtArgs { at: Some(here("+2h").expect("a span")) };
        assert_eq!(at.of(json!({}), "at"), json!({ "at": "+2h" }));
        let at = AtArgs { at: Some(here("2026-11-28T03:00:00+01:00").expect("an instant")) };
        assert_eq!(at.of(json!({}), "at"), json!({ "at": "2026-11-28T02:00:00.000Z" }));
        assert!(at.to_string().starts_with(" at 2026-11-28T02:00:00.000Z, "), "{at}");
    }
}
