//! What a system costs when nothing happens, as figures, tables and a page. Measures nothing.

mod growth;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::page;
use tables::{Table, answers, memory_and_cpu, requests, sizes};

/// The name of the page in the directory of the report.
pub const PAGE: &str = "load.html";

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Of each system.
    pub footprints: Vec<Footprint>,
    /// By the number of clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
}

/// How the cost grows with the number of clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Each size.
    pub sizes: Vec<Size>,
    /// Why no larger one was tried, if one was asked for.
    pub stopped: Option<String>,
}

/// So many simulated clusters against one etcd. Percents are of one core.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// How many clusters.
    pub clusters: usize,
    /// How many agents in all.
    pub agents: usize,
    /// For how long they were watched.
    pub seconds: u64,
    /// etcd.
    pub etcd: Etcd,
    /// All agents together.
    pub agents_cpu_percent: f64,
    /// The same by the agent.
    pub cpu_percent_per_agent: f64,
    /// What their process has grown by, by the agent.
    pub rss_kb_per_agent: f64,
    /// Leaderships that ended.
    pub leaderships_lost: u64,
    /// Renewals that were answered.
    pub renewals: u64,
    /// Renewals that were not, and those of a lease that was gone.
    pub renewals_missed: u64,
    /// Heartbeats for which a peer had no room.
    pub heartbeats_unheard: u64,
    /// From a renewal's question until the agent acts on the answer; half took no longer.
    pub renewal_p50_ms: u64,
    /// All but one of a hundred.
    pub renewal_p99_ms: u64,
    /// All.
    pub renewal_max_ms: u64,
}

/// What an idle cluster of three members costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// "haa" or "patroni".
    pub system: String,
    /// For how long it was watched.
    pub seconds: u64,
    /// Each process.
    pub parts: Vec<Part>,
    /// All etcd.
    pub etcd: Etcd,
    /// The leader, asked for `/primary`.
    pub asked: Asked,
}

/// A process of an idle member. Percents are of one core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Of which member.
    pub member: String,
    /// "leader" or "replica".
    pub role: String,
    /// "agent" or "guard".
    pub what: String,
    /// Resident.
    pub rss_kb: u64,
    /// The same, but what it shares with others counts in parts.
    pub pss_kb: u64,
    /// Its own threads.
    pub cpu_percent: f64,
    /// Programs that it started and that have ended.
    pub children_cpu_percent: f64,
}

/// What etcd had to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Etcd {
    /// By method, all etcd together: requests with one answer, and messages on streams.
    pub requests_per_second: BTreeMap<String, f64>,
    /// Entries of its log, which every etcd writes to its disk.
    pub writes_per_second: f64,
    /// All etcd together, of one core.
    pub cpu_percent: f64,
    /// All etcd together, resident.
    pub rss_kb: u64,
}

/// What became of questions that were asked one after the other on several connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// How many connections.
    pub connections: usize,
    /// Answers a second.
    pub per_second: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// All but one of a hundred.
    pub p99_ms: f64,
    /// All.
    pub max_ms: f64,
    /// Answers with another code.
    pub not_200: u64,
    /// Questions without an answer.
    pub failed: u64,
    /// Connections that were opened: a server that closes them after each answer has many.
    pub opened: u64,
    /// What the agent took meanwhile, of one core.
    pub agent_cpu_percent: f64,
}

impl Etcd {
    /// Over all methods.
    #[must_use]
    pub fn all(&self) -> f64 {
        self.requests_per_second.values().sum()
    }
}

/// What the simulated agents lack, told wherever their figures are.
const LEFT_OUT: &str = "Simulated agents are the real core and the real store client, all in one process. Left out: \
     Postgres (a stand-in does every job at once and nobody writes), the network between agents \
     (channels), the API, the guard, the journal, and every disk but etcd's.";

impl Load {
    fn tables(&self) -> Vec<Table> {
        let footprints = &self.footprints;
        let scale = sizes(self.scale.as_ref());
        let all = [memory_and_cpu(footprints), requests(footprints), answers(footprints), scale];
        all.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
    }

    /// The tables for a document in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (head, rows) in self.tables() {
            let line = |cells: &mut dyn Iterator<Item = &str>| {
                cells.fold("|".to_owned(), |line, cell| line + " " + cell + " |") + "\n"
            };
            if !text.is_empty() {
                text.push('\n');
            }
            text += &line(&mut head.iter().copied());
            let marks = (0..head.len()).map(|at| if at < 1 { "---|" } else { "---:|" });
            let _ = writeln!(text, "|{}", marks.collect::<String>());
            for row in &rows {
                text += &line(&mut row.iter().map(String::as_str));
            }
        }
        if let Some(scale) = &self.scale {
            let _ = writeln!(text, "\n{LEFT_OUT}");
            if let Some(why) = &scale.stopped {
                let _ = writeln!(text, "Stopped: {why}.");
            }
        }
        text
    }

    /// Writes the page into a directory, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path, command: &str) -> anyhow::Result<()> {
        let tell = || format!("the report is written into {}", directory.display());
        fs::create_dir_all(directory).with_context(tell)?;
        let title = "What it costs";
        let body = html! {
            h1 { (title) }
            p { code { (command) } }
            @if let Some(scale) = &self.scale {
                (growth::draw(&scale.sizes).inline())
                p { (LEFT_OUT) }
                @if let Some(why) = &scale.stopped { p { "Stopped: " (why) "." } }
            }
            @for (head, rows) in self.tables() { (table(&head, &rows)) }
        };
        fs::write(directory.join(PAGE), page::shell(title, &body)).with_context(tell)
    }
}

fn table(head: &[&str], rows: &[Vec<String>]) -> Markup {
    let class = |at: usize| if at < 1 { "" } else { "n" };
    html! {
        table {
            tr { @for (at, name) in head.iter().enumerate() { th class=(class(at)) { (name) } } }
            @for row in rows {
                tr { @for (at, cell) in row.iter().enumerate() { td class=(class(at)) { (cell) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
