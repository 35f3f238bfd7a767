//! One event a line, with everything that is known of it. Never leaves anything out.

use std::io::{self, BufRead, Write};

use anyhow::Context as _;

use crate::history::Event;

/// Writes each event as a line of JSON.
pub fn write_json(to: &mut impl Write, history: &[Event]) -> io::Result<()> {
    for event in history {
        serde_json::to_writer(&mut *to, event)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads what `write_json` wrote. A line that is not an event is an error that names it.
pub fn read_json(from: impl BufRead) -> anyhow::Result<Vec<Event>> {
    let mut history = Vec::new();
    for (number, line) in from.lines().enumerate() {
        let line = line.with_context(|| format!("line {} is read", number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let event = serde_json::from_str(&line)
            .with_context(|| format!("line {} is no event", number + 1))?;
        history.push(event);
    }
    Ok(history)
}
