//! Histories in files: what is kept of a run, and what is judged again later. Never judges anything itself.
//!
//! Beside `history.json`, one event a line and all that we know, lie `history.edn`, of which Jepsen's Elle judges all
//! by one model, and `options.json`, by which the run was judged. Where a run has several workloads, each has these
//! in a directory of its own.

mod edn;
mod json;

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::checkers::{Case, Options, Report, judge_all, of_primaries};
use crate::history::Event;
use crate::report::{RESULTS, Results};

pub use edn::{read_edn, write_edn};
pub use json::{read_json, write_json};

/// Where the events are, one a line.
pub const HISTORY_JSON: &str = "history.json";
/// Where they are for Elle.
pub const HISTORY_EDN: &str = "history.edn";
/// Where it says what the run promised.
pub const OPTIONS_JSON: &str = "options.json";

/// Keeps all workloads of a run: one in the run's own directory, of several each in one that bears its name.
pub fn save_all(directory: &Path, cases: &[Case]) -> anyhow::Result<()> {
    if let [only] = cases {
        return save(directory, &only.history, &only.options);
    }
    cases.iter().try_for_each(|Case { workload, history, options }| {
        save(&directory.join(workload), history, options)
    })
}

/// Keeps a history in a directory, which is made if need be.
pub fn save(directory: &Path, history: &[Event], options: &Options) -> anyhow::Result<()> {
    let tell = || format!("a history is kept in {}", directory.display());
    fs::create_dir_all(directory).with_context(tell)?;
    let file = |name: &str| File::create(directory.join(name)).map(BufWriter::new);
    let mut json = file(HISTORY_JSON).with_context(tell)?;
    write_json(&mut json, history).and_then(|()| json.flush()).with_context(tell)?;
    let mut edn = file(HISTORY_EDN).with_context(tell)?;
    write_edn(&mut edn, &of_primaries(history, options))
        .and_then(|()| edn.flush())
        .with_context(tell)?;
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

/// Judges a history by `options.json` beside it, or where that is not there by the strictest options. Of a directory,
/// all that a run left there: the histories of several workloads as those of one run.
pub fn check(path: &Path) -> anyhow::Result<Report> {
    let histories = if path.is_dir() { of_run(path)? } else { vec![path.to_owned()] };
    let cases: anyhow::Result<Vec<Case>> = histories.iter().map(|path| case(path)).collect();
    Ok(judge_all(&cases?))
}

/// Where the histories of a run are: its results name the workloads, if there are several.
fn of_run(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let results = directory.join(RESULTS);
    let tell = || {
        let shown = results.display();
        format!(
            "{shown} is read, which says where a run's histories are; without it name a history.json"
        )
    };
    let text = fs::read_to_string(&results).with_context(tell)?;
    let told: Results = serde_json::from_str(&text).with_context(tell)?;
    let names = told.workloads.iter().map(|one| directory.join(&one.workload));
    let mut histories: Vec<PathBuf> = names.map(|own| own.join(HISTORY_JSON)).collect();
    if histories.is_empty() {
        histories.push(directory.join(HISTORY_JSON));
    }
    Ok(histories)
}

fn case(path: &Path) -> anyhow::Result<Case> {
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
    let name = path.parent().and_then(Path::file_name).unwrap_or_default();
    Ok(Case { workload: name.to_string_lossy().into_owned(), history, options })
}

#[cfg(test)]
mod tests;
