//! The tables of what systems cost. Measures nothing.

use super::super::scale::{bytes, float, short};
use super::{Footprint, Part, Scale, Size};

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
pub(super) type Table = (Vec<&'static str>, Vec<Vec<String>>);

fn percent(share: f64) -> String {
    format!("{share:.2} %")
}

pub(super) fn memory_and_cpu(footprints: &[Footprint]) -> Table {
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

pub(super) fn requests(footprints: &[Footprint]) -> Table {
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

pub(super) fn answers(footprints: &[Footprint]) -> Table {
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

pub(super) fn sizes(scale: Option<&Scale>) -> Table {
    let head = vec![
        "clusters",
        "etcd, of a core",
        "etcd, RSS",
        "requests to etcd a second",
        "entries of its log a second",
        "all agents, of a core",
        "by the agent",
        "memory by the agent",
        "renewal p50 / p99 / max",
        "missed",
        "leaderships lost",
    ];
    let row = |size: &Size| {
        let (p50, p99, max) = (size.renewal_p50_ms, size.renewal_p99_ms, size.renewal_max_ms);
        vec![
            size.clusters.to_string(),
            percent(size.etcd.cpu_percent),
            bytes(float(size.etcd.rss_kb) * 1024.0),
            short(size.etcd.all()),
            short(size.etcd.writes_per_second),
            percent(size.agents_cpu_percent),
            format!("{:.3} %", size.cpu_percent_per_agent),
            bytes(size.rss_kb_per_agent * 1024.0),
            format!("{p50} / {p99} / {max} ms"),
            format!("{} of {}", size.renewals_missed, size.renewals + size.renewals_missed),
            size.leaderships_lost.to_string(),
        ]
    };
    (head, scale.iter().flat_map(|scale| &scale.sizes).map(row).collect())
}
