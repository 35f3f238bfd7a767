//! Every fault, and none, under every workload, one run after the other or all workloads in one, each run in a
//! directory of its own, and a table of verdicts. A run that has ended is not made again. Judges nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::ValueEnum as _;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::checkers::Isolation;
use crate::nemesis::Kind;
use crate::report::{RESULTS, Results};
use crate::workloads::{Sort, Work, names, works};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The faults, each by itself; `None` is a run in which nothing is broken.
    pub nemesis: Vec<Option<Kind>>,
    /// The workloads under each.
    pub workloads: Vec<Sort>,
    /// Whether one run has all of them at once.
    pub together: bool,
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
    works: Vec<Work>,
    /// What its directory is called by, after the fault.
    called: String,
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

/// Transactions over lists are there under each of these.
const LEVELS: [Isolation; 2] = [Isolation::Serializable, Isolation::ReadCommitted];

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
            let mut own = Vec::new();
            let first = self.seed_of(number + 1);
            for work in works(Sort::value_variants(), &LEVELS) {
                number += 1;
                // Nobody can search for an order of what was acknowledged before an accepted loss.
                let judged = (nemesis, work.sort) != (Some(Kind::AcceptLoss), Sort::Register);
                let asked = self.nemesis.contains(&nemesis) && self.workloads.contains(&work.sort);
                if judged && asked {
                    let (called, seed) = (words(work).join("-"), self.seed_of(number));
                    own.push(Cell { nemesis, works: vec![work], called, seed });
                }
            }
            if self.together && !own.is_empty() {
                let works = own.into_iter().flat_map(|cell| cell.works).collect();
                cells.push(Cell { nemesis, works, called: self.called(), seed: first });
            } else {
                cells.extend(own);
            }
        }
        cells
    }

    fn seed_of(&self, number: u64) -> u64 {
        self.seed.wrapping_mul(1_000).wrapping_add(number)
    }

    /// The workloads that one run has.
    fn called(&self) -> String {
        let all = Sort::value_variants();
        let some = all.iter().filter(|sort| self.workloads.contains(sort));
        let some: Vec<String> = some.map(|sort| word(*sort)).collect();
        if some.len() == all.len() { "all".to_owned() } else { some.join("-") }
    }

    /// Those that have a column of their own.
    fn columns(&self) -> Vec<String> {
        let all = names(&works(&self.workloads, &LEVELS));
        if self.together && all.len() > 1 { all } else { Vec::new() }
    }
}

/// A workload by itself.
fn words(work: Work) -> Vec<String> {
    match work.sort {
        Sort::Append => vec![word(work.sort), word(work.isolation)],
        Sort::Set | Sort::Register | Sort::Bank => vec![word(work.sort)],
    }
}

/// Each once, with commas between.
fn listed(all: impl Iterator<Item = String>) -> String {
    let mut some: Vec<String> = all.collect();
    some.dedup();
    some.join(",")
}

impl Cell {
    fn name(&self) -> String {
        format!("{}-{}", broken(self.nemesis), self.called)
    }

    /// As the table has it.
    fn shown(&self) -> String {
        if let [only] = self.works[..] { words(only).join(", ") } else { self.called.clone() }
    }

    fn arguments(&self, wish: &Wish, out: &Path) -> Vec<String> {
        let text = |text: &str| text.to_owned();
        let sorts = listed(self.works.iter().map(|work| word(work.sort)));
        let lists = self.works.iter().filter(|work| work.sort == Sort::Append);
        let levels = listed(lists.map(|work| word(work.isolation)));
        let mut words = vec![text("run"), text("--workload"), sorts];
        words.extend(self.nemesis.into_iter().flat_map(|kind| [text("--nemesis"), word(kind)]));
        words.extend([text("--seconds"), wish.seconds.to_string()]);
        words.extend([text("--seed"), self.seed.to_string()]);
        if !levels.is_empty() {
            words.extend([text("--isolation"), levels]);
        }
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
        say(&format!("        {}", row(cell, &out, &wish.columns())));
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
    let columns = wish.columns();
    let named: String = columns.iter().map(|name| format!(" {name} |")).collect();
    let mut lines = vec![
        format!(
            "| nemesis | workload | seed | verdict |{named} faults | acknowledged | failed | unknown | \
             longest gap |"
        ),
        format!("|---|---|---|---|{}---|---|---|---|---|", "---|".repeat(columns.len())),
    ];
    lines.extend(cells.iter().map(|cell| row(cell, &wish.out.join(cell.name()), &columns)));
    lines.join("\n") + "\n"
}

fn row(cell: &Cell, out: &Path, columns: &[String]) -> String {
    let what = format!("{} | {} | {}", broken(cell.nemesis), cell.shown(), cell.seed);
    let text = fs::read_to_string(out.join(RESULTS)).unwrap_or_default();
    let empty = " |".repeat(columns.len() + 5);
    match (ended(out), serde_json::from_str::<Results>(&text)) {
        (None, _) => format!("| {what} | not run |{empty}"),
        (Some(_), Err(_)) => {
            format!("| {what} | FAILED, see {} |{empty}", out.join(SAID).display())
        }
        (Some(_), Ok(results)) => {
            let (counts, faults) = (results.counts, results.faults.len());
            let (verdict, gap) = (results.verdict.word(), results.longest_write_gap_ms);
            let counts = format!("{} | {} | {}", counts.ok, counts.fail, counts.unknown);
            let of = |name: &String| {
                let found = results.workloads.iter().find(|one| one.workload == *name);
                format!(" {} |", found.map_or("", |one| one.verdict.as_str()))
            };
            let each: String = columns.iter().map(of).collect();
            format!("| {what} | {verdict} |{each} {faults} | {counts} | {gap} ms |")
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
mod tests;
