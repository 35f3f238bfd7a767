//! How long failovers took: several systems beside one another, as figures, a table and a picture. Never hides
//! a run: each is a dot.

mod picture;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::results::percentile;
use super::scale::{float, millis};
use super::{page, svg::Picture};

/// What one failover cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Between the last write that was acknowledged before and the first after.
    pub outage_ms: u64,
    /// How many acknowledged rows are gone.
    pub lost: u64,
    /// For how long two members acknowledged.
    pub dual_ack_ms: u64,
    /// Until all members followed again; `None` if they did not while the run lasted.
    pub redundancy_ms: Option<u64>,
}

/// All runs of one system under one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// "haa" or "patroni".
    pub system: String,
    /// What was broken: "postmaster", "host".
    pub fault: String,
    /// How the system was set: "default", "fast".
    pub profile: String,
    /// Each run.
    pub runs: Vec<Outage>,
}

/// A series with its figures, as `--json` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The runs.
    #[serde(flatten)]
    pub series: Series,
    /// Half of the outages were no longer.
    pub p50_ms: u64,
    /// Nine of ten.
    pub p90_ms: u64,
    /// All.
    pub max_ms: u64,
    /// Acknowledged rows that are gone, over all runs.
    pub lost_total: u64,
}

impl Series {
    /// From the shortest to the longest.
    fn outages(&self) -> Vec<u64> {
        let mut outages: Vec<u64> = self.runs.iter().map(|run| run.outage_ms).collect();
        outages.sort_unstable();
        outages
    }
}

impl From<Series> for Timing {
    fn from(series: Series) -> Self {
        let outages = series.outages();
        let share = |percent| percentile(&outages, percent).unwrap_or(0);
        Self {
            p50_ms: share(50),
            p90_ms: share(90),
            max_ms: share(100),
            lost_total: series.runs.iter().map(|run| run.lost).sum(),
            series,
        }
    }
}

impl Timing {
    /// Its name in tables and pictures.
    fn name(&self) -> String {
        format!("{} {}", self.series.system, self.series.profile)
    }

    /// Of 100 outages 99 were no longer: of few runs, this is the longest.
    fn p99_ms(&self) -> u64 {
        percentile(&self.series.outages(), 99).unwrap_or(0)
    }

    fn longest_dual_ack(&self) -> u64 {
        self.series.runs.iter().map(|run| run.dual_ack_ms).max().unwrap_or(0)
    }

    /// The middle of the times to full redundancy, if there was one in every run.
    fn redundancy(&self) -> Option<u64> {
        let mut all: Vec<u64> =
            self.series.runs.iter().map(|run| run.redundancy_ms).collect::<Option<_>>()?;
        all.sort_unstable();
        percentile(&all, 50)
    }
}

/// The distributions as a picture, a file of its own.
pub fn picture(timings: &[Timing]) -> String {
    drawn(timings).alone()
}

fn drawn(timings: &[Timing]) -> Picture {
    picture::draw(timings)
}

/// The name of the page in a directory.
pub const PAGE: &str = "rto.html";

/// Reads what `--json` wrote: one series, or several in a list.
///
/// # Errors
/// Says that it is neither.
pub fn read(text: &str) -> anyhow::Result<Vec<Timing>> {
    let one = serde_json::from_str::<Timing>(text).map(|timing| vec![timing]);
    one.or_else(|_| serde_json::from_str(text))
        .context("these are no figures of `haa-jepsen rto --json`: name files that it wrote")
}

/// Writes the page, into a directory that is made if need be.
///
/// # Errors
/// When it cannot be written.
pub fn write(file: &Path, title: &str, timings: &[Timing]) -> anyhow::Result<()> {
    let tell = || format!("cannot write {}", file.display());
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(tell)?;
    }
    fs::write(file, page(title, timings)).with_context(tell)
}

/// The same as a page, with the table below the picture.
pub fn page(title: &str, timings: &[Timing]) -> String {
    let body = html! {
        h1 { (title) }
        (drawn(timings).inline())
        (rows(timings))
    };
    page::shell(title, &body)
}

const COLUMNS: [&str; 9] =
    ["fault", "system", "runs", "p50", "p90", "p99", "max", "lost rows", "two writers, at most"];

fn cells(timing: &Timing) -> [String; 10] {
    let told = |amount: u64| millis(float(amount));
    [
        timing.series.fault.clone(),
        timing.name(),
        timing.series.runs.len().to_string(),
        told(timing.p50_ms),
        told(timing.p90_ms),
        told(timing.p99_ms()),
        told(timing.max_ms),
        timing.lost_total.to_string(),
        told(timing.longest_dual_ack()),
        timing.redundancy().map_or_else(|| "not reached".to_owned(), told),
    ]
}

const REDUNDANCY: &str = "full redundancy, p50";

fn rows(timings: &[Timing]) -> Markup {
    let class = |at: usize| if at < 2 { "" } else { "n" };
    html! {
        table {
            tr {
                @for (at, column) in COLUMNS.iter().chain([&REDUNDANCY]).enumerate() {
                    th class=(class(at)) { (column) }
                }
            }
            @for timing in timings {
                tr {
                    @for (at, cell) in cells(timing).iter().enumerate() {
                        td class=(class(at)) { (cell) }
                    }
                }
            }
        }
    }
}

/// The table for a document in Markdown.
pub fn table(timings: &[Timing]) -> String {
    let mut text = String::from("|");
    for column in COLUMNS.iter().chain([&REDUNDANCY]) {
        let _ = write!(text, " {column} |");
    }
    text.push_str("\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
    for timing in timings {
        text.push('|');
        for cell in cells(timing) {
            let _ = write!(text, " {} |", cell.replace('|', "\\|"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(outages: &[u64]) -> Timing {
        let run = |outage: &u64| Outage {
            outage_ms: *outage,
            lost: 1,
            dual_ack_ms: *outage / 100,
            redundancy_ms: Some(*outage * 2),
        };
        let runs = outages.iter().map(run).collect();
        let (system, fault, profile) = ("haa".into(), "host".into(), "fast".into());
        Timing::from(Series { system, fault, profile, runs })
    }

    #[test]
    fn the_figures_are_in_the_form_that_was_agreed() {
        let timing = timing(&[3000, 1000, 2000]);
        let value = serde_json::to_value(&timing).unwrap();
        let runs = serde_json::json!([
            {"outage_ms": 3000, "lost": 1, "dual_ack_ms": 30, "redundancy_ms": 6000},
            {"outage_ms": 1000, "lost": 1, "dual_ack_ms": 10, "redundancy_ms": 2000},
            {"outage_ms": 2000, "lost": 1, "dual_ack_ms": 20, "redundancy_ms": 4000},
        ]);
        let whole = serde_json::json!({
            "system": "haa", "fault": "host", "profile": "fast", "runs": runs,
            "p50_ms": 2000, "p90_ms": 3000, "max_ms": 3000, "lost_total": 3,
        });
        assert_eq!(value, whole);
        let one = serde_json::to_string(&whole).unwrap();
        assert_eq!(read(&one).unwrap(), std::slice::from_ref(&timing));
        assert_eq!(read(&format!("[{one},{one}]")).unwrap(), [timing.clone(), timing]);
        assert!(read("{}").unwrap_err().to_string().contains("rto --json"));
    }

    #[test]
    fn the_table_has_a_row_for_each_series() {
        let text = table(&[timing(&[1000, 1500]), timing(&[])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[2],
            "| host | haa fast | 2 | 1 s | 1.5 s | 1.5 s | 1.5 s | 2 | 15 ms | 2 s |"
        );
        assert!(lines.iter().all(|line| line.matches('|').count() == 11), "{text}");
    }
}
