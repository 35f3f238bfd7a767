//! A run as people look at it: one page with pictures that needs nothing else, and `results.json`. Never judges,
//! but for this: a fault that did not prove that it acted, or none of a kind that was asked for, leaves a valid run
//! unknown.

mod lag;
mod lanes;
mod latency;
pub mod load;
mod page;
mod rate;
mod results;
pub mod rto;
mod scale;
mod svg;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::checkers::{self, Verdict};
use crate::history::Event;

pub(crate) use results::percentile;
pub use results::{Latencies, Results};

/// The name of the page in a run's directory.
pub const PAGE: &str = "report.html";
/// The name of the figures beside it.
pub const RESULTS: &str = "results.json";

/// Everything that is told of a run. All times are nanoseconds since it began.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was: "append, kill and partition, seed 7".
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    /// What else is worth knowing: machine, versions, settings; a name and a value each.
    pub facts: Vec<(String, String)>,
    /// What clients did and saw.
    pub events: Vec<Event>,
    /// What was broken, in order.
    pub faults: Vec<Fault>,
    /// What found nothing to break, and when it was given up.
    pub skipped: Vec<(String, u64)>,
    /// Kinds of faults that were asked for and of which none struck.
    pub never: Vec<String>,
    /// What each member was, one lane a member.
    pub lanes: Vec<Lane>,
    /// How far each replica was behind.
    pub lag: Vec<Lag>,
    /// What the judges say.
    pub judgement: checkers::Report,
}

/// Something that was broken on purpose.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What, and whom it met: "partition n1 | n2 n3".
    pub name: String,
    /// When it began to act.
    pub from: u64,
    /// When it was healed; `None` if it never was.
    pub to: Option<u64>,
    /// What shows that it acted: a process in state T, a counter that moved. `None` if nothing does.
    pub proof: Option<String>,
}

/// One member over time.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its name.
    pub member: String,
    /// What it was, one after the other. Between them it is not known.
    pub spans: Vec<Span>,
}

/// What a member was for a while.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its part.
    pub role: Role,
    /// In which term, if it led.
    pub term: Option<u64>,
    /// Since when.
    pub from: u64,
    /// Until when; `None` if it still was when the run ended.
    pub to: Option<u64>,
}

/// The part that a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepts writes.
    Primary,
    /// It follows.
    Replica,
    /// It is on the way: it is promoted, closes its writes, rewinds or is made anew.
    Changing,
    /// Its processes stand still.
    Frozen,
    /// It does not run.
    Down,
}

/// How far one replica was behind.
#[derive(Clone, Debug)]
pub struct Lag {
    /// The replica.
    pub member: String,
    /// When it was looked at, and how many bytes of WAL it had not replayed.
    pub points: Vec<(u64, u64)>,
}

impl Run {
    /// What the judges say; but what was not broken was not tried.
    pub fn verdict(&self) -> Verdict {
        let idle: Vec<&str> = self
            .faults
            .iter()
            .filter(|fault| fault.proof.is_none())
            .map(|fault| fault.name.as_str())
            .collect();
        let mut reasons = Vec::new();
        if !idle.is_empty() {
            reasons.push(format!("Nothing shows that these faults acted: {}.", idle.join(", ")));
        }
        if !self.never.is_empty() {
            let kinds = self.never.join(", ");
            reasons.push(format!(
                "Of these kinds no fault struck: {kinds}. Take a longer --seconds, or another --seed."
            ));
        }
        match &self.judgement.verdict {
            Verdict::Valid if !reasons.is_empty() => Verdict::Unknown { reason: reasons.join(" ") },
            verdict => verdict.clone(),
        }
    }

    /// When the last thing happened, and no less than a second.
    fn end(&self) -> u64 {
        let events = self.events.iter().map(|event| event.time);
        let faults = self.faults.iter().map(|fault| fault.to.unwrap_or(fault.from));
        let spans = self.lanes.iter().flat_map(|lane| &lane.spans);
        let spans = spans.map(|span| span.to.unwrap_or(span.from));
        let points = self.lag.iter().flat_map(|lag| &lag.points).map(|(at, _)| *at);
        let last = events.chain(faults).chain(spans).chain(points).max();
        last.unwrap_or(0).max(1_000_000_000)
    }
}

/// Writes the page and the figures into a directory, which is made if need be.
pub fn write(directory: &Path, run: &Run) -> anyhow::Result<()> {
    let tell = || format!("the report is written into {}", directory.display());
    fs::create_dir_all(directory).with_context(tell)?;
    let results = results::of(run);
    let text = serde_json::to_string_pretty(&results).with_context(tell)?;
    fs::write(directory.join(RESULTS), text + "\n").with_context(tell)?;
    let page = page::of(run, &results);
    fs::write(directory.join(PAGE), page).with_context(tell)
}

#[cfg(test)]
mod tests;
