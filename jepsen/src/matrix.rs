//! Every fault, and none, under every workload, one run after the other, each in a directory of its own, and a table of
//! verdicts. A run that has ended is not made again. Judges nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::ValueEnum as _;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::nemesis::Kind;
use crate::report::{RESULTS, Results};
use crate::workloads::Sort;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The faults, each by itself; `None` is a run in which nothing is broken.
    pub nemesis: Vec<Option<Kind>>,
    /// The workloads under each.
    pub workloads: Vec<Sort>,
    /// For how long each, in seconds.
    pub seconds: u64,
    /// The seeds of all runs follow from it.
    pub seed: u64,
    /// What else each run is told.
    pub more: Vec<String>,
    /// Each run has a directory in it.
    pub out: PathBuf,
}

/// One run of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    nemesis: Option<Kind>,
    workload: Sort,
    /// Only transactions over lists ask for one.
    isolation: Option<&'static str>,
    seed: u64,
}

/// How a run ended; written when it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    command: String,
    code: Option<i32>,
}

/// The numbers of the runs in which nothing is broken follow this one.
const CLEAN: u64 = 900;

/// In a run's directory.
const ENDED: &str = "ended.json";
const SAID: &str = "said.txt";
/// Beside them.
const TABLE: &str = "matrix.md";

impl Wish {
    /// In an order that other lists do not change, and with the same seeds.
    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        let mut number = 0;
        let kinds = Kind::value_variants().iter().copied().map(Some);
        for nemesis in kinds.chain([None]) {
            if nemesis.is_none() {
                // More faults are to change no seed of these.
                number = CLEAN;
            }
            for workload in Sort::value_variants().iter().copied() {
                for isolation in isolations(workload) {
                    number += 1;
                    // Nobody can search for an order of what was acknowledged before an accepted loss.
                    let judged = (nemesis, workload) != (Some(Kind::AcceptLoss), Sort::Register);
                    let asked =
                        self.nemesis.contains(&nemesis) && self.workloads.contains(&workload);
                    if judged && asked {
                        let seed = self.seed.wrapping_mul(1_000).wrapping_add(number);
                        cells.push(Cell { nemesis, workload, isolation: *isolation, seed });
                    }
                }
            }
        }
        cells
    }
}

fn isolations(workload: Sort) -> &'static [Option<&'static str>] {
    match workload {
        Sort::Append => &[Some("serializable"), Some("read-committed")],
        Sort::Set | Sort::Register | Sort::Bank => &[None],
    }
}

impl Cell {
    fn name(&self) -> String {
        let isolation = self.isolation.map_or_else(String::new, |word| format!("-{word}"));
        format!("{}-{}{isolation}", broken(self.nemesis), word(self.workload))
    }

    fn arguments(&self, wish: &Wish, out: &Path) -> Vec<String> {
        let text = |text: &str| text.to_owned();
        let mut words = vec![text("run"), text("--workload"), word(self.workload)];
        words.extend(self.nemesis.into_iter().flat_map(|kind| [text("--nemesis"), word(kind)]));
        words.extend([text("--seconds"), wish.seconds.to_string()]);
        words.extend([text("--seed"), self.seed.to_string()]);
        words.extend(self.isolation.into_iter().flat_map(|word| [text("--isolation"), text(word)]));
        words.extend(wish.more.iter().cloned());
        words.extend([text("--out"), out.display().to_string()]);
        words
    }
}

/// Makes the runs that have not ended yet, and answers the table of all; whether all are valid.
///
/// # Errors
/// When a run cannot be started, or a file not be written. A run that fails is told in the table.
pub fn run(wish: &Wish, say: impl Fn(&str)) -> anyhow::Result<(String, bool)> {
    let (program, cells) = (std::env::current_exe()?, wish.cells());
    for (number, cell) in (1..).zip(&cells) {
        let (name, all) = (cell.name(), cells.len());
        let out = wish.out.join(&name);
        if ended(&out).is_some() {
            say(&format!("{number} of {all}: {name} has ended before"));
            continue;
        }
        say(&format!("{number} of {all}: {name}"));
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        let words = cell.arguments(wish, &out);
        let said = alone(&out)?;
        let status = Command::new(&program)
            .args(&words)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let ended = Ended { command: words.join(" "), code: status.code() };
        fs::write(out.join(ENDED), serde_json::to_string(&ended)?)?;
        say(&format!("        {}", row(cell, &out)));
        fs::write(wish.out.join(TABLE), table(wish, &cells))?;
    }
    let valid = cells
        .iter()
        .all(|cell| ended(&wish.out.join(cell.name())).is_some_and(|ended| ended.code == Some(0)));
    Ok((table(wish, &cells), valid))
}

/// The file for what a run says, locked for as long as that run lives, though we may have died: two at once in one
/// directory would be neither.
fn alone(out: &Path) -> anyhow::Result<File> {
    let path = out.join(SAID);
    let tell = || format!("cannot write {}", path.display());
    let file = File::options().create(true).append(true).open(&path).with_context(tell)?;
    flock(&file, FlockOperation::LockExclusive).with_context(tell)?;
    file.set_len(0).with_context(tell)?;
    Ok(file)
}

fn ended(out: &Path) -> Option<Ended> {
    serde_json::from_str(&fs::read_to_string(out.join(ENDED)).ok()?).ok()
}

fn table(wish: &Wish, cells: &[Cell]) -> String {
    let mut lines = vec![
        "| nemesis | workload | seed | verdict | faults | acknowledged | failed | unknown | longest gap |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(cells.iter().map(|cell| row(cell, &wish.out.join(cell.name()))));
    lines.join("\n") + "\n"
}

fn row(cell: &Cell, out: &Path) -> String {
    let isolation = cell.isolation.map_or_else(String::new, |word| format!(", {word}"));
    let what =
        format!("{} | {}{isolation} | {}", broken(cell.nemesis), word(cell.workload), cell.seed);
    let text = fs::read_to_string(out.join(RESULTS)).unwrap_or_default();
    match (ended(out), serde_json::from_str::<Results>(&text)) {
        (None, _) => format!("| {what} | not run | | | | | |"),
        (Some(_), Err(_)) => {
            format!("| {what} | FAILED, see {} | | | | | |", out.join(SAID).display())
        }
        (Some(_), Ok(results)) => {
            let (counts, faults) = (results.counts, results.faults.len());
            let (verdict, gap) = (results.verdict.word(), results.longest_write_gap_ms);
            let counts = format!("{} | {} | {}", counts.ok, counts.fail, counts.unknown);
            format!("| {what} | {verdict} | {faults} | {counts} | {gap} ms |")
        }
    }
}

fn broken(kind: Option<Kind>) -> String {
    kind.map_or_else(|| "nothing".to_owned(), word)
}

/// What an operator calls it.
#[must_use]
pub fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(nemesis: &[Kind], out: &Path) -> Wish {
        let workloads = Sort::value_variants().to_vec();
        let out = out.to_owned();
        let nemesis = nemesis.iter().copied().map(Some).chain([None]).collect();
        Wish { nemesis, workloads, seconds: 90, seed: 7, more: Vec::new(), out }
    }

    #[test]
    fn every_fault_meets_every_workload_and_a_shorter_list_keeps_the_seeds() {
        let all = wish(Kind::value_variants(), Path::new("out")).cells();
        assert_eq!(all.len(), (Kind::value_variants().len() + 1) * 5 - 1);
        let few = wish(&[Kind::Wal, Kind::AcceptLoss], Path::new("out")).cells();
        assert_eq!(few.len(), 14);
        let clean = few.iter().find(|cell| cell.nemesis.is_none()).unwrap();
        let words = clean.arguments(&wish(&[], Path::new("out")), Path::new("one"));
        assert!(!words.contains(&"--nemesis".to_owned()), "{words:?}");
        assert_eq!((clean.seed, clean.name().as_str()), (7_901, "nothing-set"));
        assert!(few.iter().all(|cell| all.contains(cell)));
        let names: std::collections::BTreeSet<String> = all.iter().map(Cell::name).collect();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn a_run_that_was_not_made_and_one_that_failed_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let wish = wish(&[Kind::Kill], folder.path());
        let cell = &wish.cells()[0];
        let out = wish.out.join(cell.name());
        assert!(row(cell, &out).contains("not run"));
        fs::create_dir(&out).unwrap();
        let ended = Ended { command: String::new(), code: Some(2) };
        fs::write(out.join(ENDED), serde_json::to_string(&ended).unwrap()).unwrap();
        assert!(row(cell, &out).contains("FAILED"));
        assert_eq!(table(&wish, &wish.cells()).lines().count(), 12);
    }
}
