//! What etcd was asked, by its own counters, and what that cost it. Asks nothing of etcd but its metrics, which it
//! does not count.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use haa::ctl::http::Ask;
use haa_core::units::Address;

use super::proc::Look;
use crate::hosts::Lab;
use crate::report::load::Etcd;

const PATIENCE: Duration = Duration::from_secs(20);

/// Counters, by the method that was called.
type Counts = BTreeMap<String, f64>;

/// All etcd at one instant.
#[derive(Debug)]
pub(super) struct Seen {
    at: Instant,
    requests: Counts,
    proposals: f64,
    processes: Vec<Look>,
}

impl Seen {
    /// Looks.
    ///
    /// # Errors
    /// When one does not answer.
    pub(super) async fn now(lab: &Lab) -> anyhow::Result<Self> {
        let (mut requests, mut proposals, mut processes) = (Counts::new(), 0.0_f64, Vec::new());
        for host in lab.etcds() {
            let address = Address { host: host.address.to_string(), port: 2379 };
            let answer = Ask::get("/metrics").within(PATIENCE).send(&address).await;
            let answer = answer.with_context(|| format!("etcd on {} tells nothing", host.name))?;
            ensure!(answer.status == 200, "etcd on {} answers {}", host.name, answer.status);
            let text = answer.text();
            for (method, count) in asked(&text) {
                *requests.entry(method).or_default() += count;
            }
            proposals = proposals.max(value(&text, "etcd_server_proposals_committed_total"));
            let pid = host.group.members().first().copied();
            processes.push(Look::at(pid.context("an etcd does not run")?)?);
        }
        Ok(Self { at: Instant::now(), requests, proposals, processes })
    }

    /// What came in between.
    pub(super) fn since(&self, earlier: &Self) -> Etcd {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64().max(0.001);
        let cpu = self.processes.iter().zip(&earlier.processes);
        let cpu = cpu.map(|(now, then)| now.since(then).0).sum();
        let rss = self.processes.iter().map(|look| look.memory.rss_kb).sum();
        Etcd {
            requests_per_second: rates(&self.requests, &earlier.requests, seconds),
            writes_per_second: (self.proposals - earlier.proposals) / seconds,
            cpu_percent: cpu,
            rss_kb: rss,
        }
    }
}

/// What grew, by the second.
fn rates(now: &Counts, then: &Counts, seconds: f64) -> Counts {
    let grown = now.iter().map(|(method, count)| {
        let before = then.get(method).copied().unwrap_or_default();
        (method.clone(), (count - before) / seconds)
    });
    grown.filter(|(_, rate)| *rate > 0.0).collect()
}

/// Requests by method: those with one answer when they were answered, with whatever code; each message on a stream when
/// it came.
fn asked(text: &str) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else { continue };
        let Some((labels, count)) = rest.rsplit_once('}') else { continue };
        let stream = label(labels, "grpc_type") != Some("unary");
        let counted = match name {
            "grpc_server_handled_total" => !stream,
            "grpc_server_msg_received_total" => stream,
            _ => false,
        };
        if let (true, Some(method), Ok(count)) =
            (counted, label(labels, "grpc_method"), count.trim().parse::<f64>())
        {
            *counts.entry(method.to_owned()).or_default() += count;
        }
    }
    counts
}

fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key, value.trim_matches('"')))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A counter without labels; nothing, where there is none.
fn value(text: &str, name: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP grpc_server_handled_total Total number of RPCs completed on the server.
grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="KV",grpc_type="unary"} 30
grpc_server_handled_total{grpc_code="Canceled",grpc_method="Range",grpc_service="KV",grpc_type="unary"} 2
grpc_server_handled_total{grpc_code="OK",grpc_method="LeaseKeepAlive",grpc_service="Lease",grpc_type="bidi_stream"} 4
grpc_server_msg_received_total{grpc_method="LeaseKeepAlive",grpc_service="Lease",grpc_type="bidi_stream"} 17
grpc_server_msg_received_total{grpc_method="Range",grpc_service="KV",grpc_type="unary"} 32
etcd_server_proposals_committed_total 1.5e+03
"#;

    #[test]
    fn a_request_counts_once_and_a_stream_by_its_messages() {
        let counts = asked(TEXT);
        let expected = [("LeaseKeepAlive", 17.0), ("Range", 32.0)];
        assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)).into());
        assert!((value(TEXT, "etcd_server_proposals_committed_total") - 1500.0).abs() < 1e-9);
        assert!(value(TEXT, "etcd_server_proposals").abs() < 1e-9);
    }

    #[test]
    fn rates_are_of_what_grew() {
        let (then, mut now) = (asked(TEXT), asked(TEXT));
        now.insert("Range".to_owned(), 52.0);
        now.insert("Txn".to_owned(), 5.0);
        let rates = rates(&now, &then, 10.0);
        let expected = [("Range", 2.0), ("Txn", 0.5)];
        assert_eq!(rates, expected.map(|(name, rate)| (name.to_owned(), rate)).into());
    }
}
