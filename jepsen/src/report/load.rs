//! What a system costs when nothing happens, as figures, tables and a page. Measures nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::page;
use super::scale::{bytes, float, short};

/// The name of the page in the directory of the report.
pub const PAGE: &str = "load.html";

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Of each system.
    pub footprints: Vec<Footprint>,
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

impl Footprint {
    /// The processes of this sort: how many, and their mean memory and CPU.
    fn mean(&self, role: &str, what: &str) -> Option<[String; 3]> {
        let parts = || self.parts.iter().filter(|part| part.role == role && part.what == what);
        let count = float(parts().count() as u64);
        let mean = |of: fn(&Part) -> f64| parts().map(of).sum::<f64>() / count;
        let memory = |kb: f64| bytes(kb * 1024.0);
        let cpu = mean(|part| part.cpu_percent + part.children_cpu_percent);
        let cells = [
            memory(mean(|part| float(part.pss_kb))),
            memory(mean(|part| float(part.rss_kb))),
            percent(cpu),
        ];
        (count > 0.0).then_some(cells)
    }
}

/// A table: its head and its rows. The first two columns are words.
type Table = (Vec<&'static str>, Vec<Vec<String>>);

fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

fn memory_and_cpu(footprints: &[Footprint]) -> Table {
    let head = vec!["system", "process", "PSS", "RSS", "of a core"];
    let mut rows = Vec::new();
    for footprint in footprints {
        for (role, what) in
            [("leader", "agent"), ("replica", "agent"), ("leader", "guard"), ("replica", "guard")]
        {
            if let Some(cells) = footprint.mean(role, what) {
                let names = [footprint.system.clone(), format!("{what} of a {role}")];
                rows.push(names.into_iter().chain(cells).collect());
            }
        }
    }
    (head, rows)
}

fn requests(footprints: &[Footprint]) -> Table {
    let head = vec!["system", "method", "requests to etcd a minute"];
    let mut rows = Vec::new();
    for Footprint { system, etcd, .. } in footprints {
        let row = |name: &str, rate: f64| {
            vec![system.clone(), name.to_owned(), short((rate * 60.0 * 10.0).round() / 10.0)]
        };
        rows.push(row("all", etcd.all()));
        rows.extend(etcd.requests_per_second.iter().map(|(method, rate)| row(method, *rate)));
        rows.push(row("entries of etcd's log", etcd.writes_per_second));
    }
    (head, rows)
}

fn answers(footprints: &[Footprint]) -> Table {
    let head = vec![
        "system",
        "/primary a second",
        "p50",
        "p99",
        "max",
        "not 200",
        "no answer",
        "connections opened",
        "agent, of a core",
    ];
    let row = |Footprint { system, asked, .. }: &Footprint| {
        let millis = |ms: f64| format!("{} ms", short(ms));
        vec![
            system.clone(),
            format!("{:.0}", asked.per_second),
            millis(asked.p50_ms),
            millis(asked.p99_ms),
            millis(asked.max_ms),
            asked.not_200.to_string(),
            asked.failed.to_string(),
            asked.opened.to_string(),
            percent(asked.agent_cpu_percent),
        ]
    };
    (head, footprints.iter().map(row).collect())
}

impl Load {
    fn tables(&self) -> Vec<Table> {
        let footprints = &self.footprints;
        let all = [memory_and_cpu(footprints), requests(footprints), answers(footprints)];
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
mod tests {
    use super::*;

    fn part(member: &str, role: &str, pss_kb: u64, cpu_percent: f64) -> Part {
        let (member, role) = (member.to_owned(), role.to_owned());
        let what = "agent".to_owned();
        Part {
            member,
            role,
            what,
            rss_kb: 2 * pss_kb,
            pss_kb,
            cpu_percent,
            children_cpu_percent: 0.5,
        }
    }

    fn load() -> Load {
        let parts = vec![
            part("n1", "leader", 10_000, 2.0),
            part("n2", "replica", 8_000, 1.0),
            part("n3", "replica", 6_000, 2.0),
        ];
        let requests = [("Range", 0.1), ("LeaseKeepAlive", 0.9)];
        let requests = requests.map(|(name, rate)| (name.to_owned(), rate));
        let etcd = Etcd { requests_per_second: requests.into(), ..Etcd::default() };
        let asked = Asked {
            connections: 16,
            per_second: 20_000.4,
            p50_ms: 0.7,
            p99_ms: 2.0,
            max_ms: 11.0,
            not_200: 0,
            failed: 0,
            opened: 16,
            agent_cpu_percent: 80.0,
        };
        let system = "haa".to_owned();
        Load { footprints: vec![Footprint { system, seconds: 60, parts, etcd, asked }] }
    }

    #[test]
    fn the_tables_have_means_and_rates_by_the_minute() {
        let text = load().markdown();
        for row in [
            "| haa | agent of a leader | 10.2 MB | 20.5 MB | 2.50 % |",
            "| haa | agent of a replica | 7.17 MB | 14.3 MB | 2.00 % |",
            "| haa | all | 60 |",
            "| haa | LeaseKeepAlive | 54 |",
            "| haa | 20000 | 0.7 ms | 2 ms | 11 ms | 0 | 0 | 16 | 80.00 % |",
        ] {
            assert!(text.lines().any(|line| line == row), "no `{row}` in\n{text}");
        }
        assert!(!text.contains("guard"), "{text}");
    }

    #[test]
    fn the_figures_are_read_as_they_are_written() {
        let text = serde_json::to_string(&load()).unwrap();
        assert_eq!(serde_json::from_str::<Load>(&text).unwrap(), load());
    }
}
