//! Histories in files: what is kept of a run, and what is judged again later. Never judges anything itself.
//!
//! Beside `history.json`, one event a line and all that we know, lies `history.edn` for Jepsen's Elle, and
//! `options.json`, by which the run was judged.

mod edn;
mod json;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::checkers::{Options, Report, judge};
use crate::history::Event;

pub use edn::{read_edn, write_edn};
pub use json::{read_json, write_json};

/// Where the events are, one a line.
pub const HISTORY_JSON: &str = "history.json";
/// Where they are for Elle.
pub const HISTORY_EDN: &str = "history.edn";
/// Where it says what the run promised.
pub const OPTIONS_JSON: &str = "options.json";

/// Keeps a run in a directory, which is made if need be.
pub fn save(directory: &Path, history: &[Event], options: &Options) -> anyhow::Result<()> {
    let tell = || format!("a history is kept in {}", directory.display());
    fs::create_dir_all(directory).with_context(tell)?;
    let file = |name: &str| File::create(directory.join(name)).map(BufWriter::new);
    let mut json = file(HISTORY_JSON).with_context(tell)?;
    write_json(&mut json, history).and_then(|()| json.flush()).with_context(tell)?;
    let mut edn = file(HISTORY_EDN).with_context(tell)?;
    write_edn(&mut edn, history).and_then(|()| edn.flush()).with_context(tell)?;
    let options = serde_json::to_string_pretty(options).with_context(tell)?;
    fs::write(directory.join(OPTIONS_JSON), options + "\n").with_context(tell)
}

/// Reads a history, of Elle's form if its name ends in `.edn`.
pub fn load(path: &Path) -> anyhow::Result<Vec<Event>> {
    let tell = || format!("the history {} is read", path.display());
    if path.extension().is_some_and(|ending| ending == "edn") {
        let text = fs::read_to_string(path).with_context(tell)?;
        return read_edn(&text).with_context(tell);
    }
    let file = File::open(path).with_context(tell)?;
    read_json(BufReader::new(file)).with_context(tell)
}

/// Judges a history by `options.json` beside it, or where that is not there by the strictest options.
pub fn check(path: &Path) -> anyhow::Result<Report> {
    let history = load(path)?;
    let beside = path.with_file_name(OPTIONS_JSON);
    let options = match fs::read_to_string(&beside) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("the options {} are read", beside.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Options::default(),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("the options {} are read", beside.display()));
        }
    };
    Ok(judge(&history, &options))
}

#[cfg(test)]
mod tests;
