//! Transactions over lists: Elle's anomalies, as the crate adya finds them. Never looks at what is only lost.
//!
//! What Postgres itself is known for is told apart: G2-item within one primary's time, and a long fork that
//! a replica's snapshot takes part in.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::calls::{Call, End};
use super::elements::{Place, places};
use super::options::{Isolation, Options};
use super::verdict::{Finding, Findings};
use super::{Judged, Sentence, presence};
use crate::history::Op;

mod convert;
mod tell;

use convert::Told;

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let txns: Vec<&Call<'_>> = calls.iter().filter(|call| matches!(call.op, Op::Txn(_))).collect();
    if txns.is_empty() {
        return None;
    }
    let excused = presence::excused(&places(calls), options);
    let mut judge = Judge::new(&txns);
    match options.isolation {
        Isolation::ReadCommitted => judge.pass("strong-read-committed", &txns, &excused, |_| true),
        Isolation::Serializable => {
            let (replicas, primary): (Vec<&Call<'_>>, Vec<&Call<'_>>) =
                txns.iter().partition(|call| call.on_replica());
            judge.pass("strict-serializable", &primary, &excused, |_| true);
            // Snapshots of replicas lie in the past; only what they take part in is new.
            let new: HashSet<u64> = replicas.iter().map(|call| call.index).collect();
            if !new.is_empty() {
                let in_it = |ops: &[u64]| ops.iter().any(|op| new.contains(op));
                judge.pass("snapshot-isolation", &txns, &excused, in_it);
            }
        }
    }
    let Judge { findings, apart, reason, .. } = judge;
    let verdict = findings.verdict_unless(reason);
    Some(Sentence { verdict, apart: apart.told(), looked_at: txns.len() })
}

struct Judge<'c, 'h> {
    by_index: HashMap<u64, &'c Call<'h>>,
    findings: Findings,
    apart: Findings,
    reason: Option<String>,
}

impl<'c, 'h> Judge<'c, 'h> {
    fn new(txns: &[&'c Call<'h>]) -> Self {
        Self {
            by_index: txns.iter().map(|call| (call.index, *call)).collect(),
            findings: Findings::default(),
            apart: Findings::default(),
            reason: None,
        }
    }

    fn pass(
        &mut self,
        model: &str,
        txns: &[&Call<'_>],
        excused: &HashSet<(Place, u64)>,
        counts: impl Fn(&[u64]) -> bool,
    ) {
        let history = convert::history(txns, excused);
        let options = adya::Opts {
            models: vec![model.to_owned()],
            timeout: Duration::from_secs(2),
            ..adya::Opts::default()
        };
        let report = adya::check(&history, adya::Workload::ListAppend, &options);
        for (name, anomalies) in &report.anomalies {
            let told = convert::told(name);
            for anomaly in anomalies {
                self.take(told, anomaly, txns, &counts);
            }
        }
    }

    fn take(
        &mut self,
        told: Told,
        anomaly: &adya::Anomaly,
        txns: &[&Call<'_>],
        counts: &impl Fn(&[u64]) -> bool,
    ) {
        let name = match told {
            Told::As(name) => name,
            Told::Unknown => {
                self.reason = Some(tell::unknown(anomaly));
                return;
            }
        };
        let ops = if anomaly.ops.is_empty() {
            convert::readers(anomaly, txns)
        } else {
            anomaly.ops.clone()
        };
        if !counts(&ops) {
            return;
        }
        let calls: Vec<&Call<'_>> =
            ops.iter().filter_map(|index| self.by_index.get(index)).copied().collect();
        let finding = Finding::about(name, tell::sentence(name, anomaly, &calls), &calls);
        if of_postgres_itself(anomaly, &calls) {
            self.apart.push(finding);
        } else {
            self.findings.push(finding);
        }
    }
}

/// A G2-item whose writers all wrote under one and the same primary is no failover's doing; and a long fork
/// needs a replica, whose order of commits is that of the WAL, where the primary's is that of visibility.
fn of_postgres_itself(anomaly: &adya::Anomaly, calls: &[&Call<'_>]) -> bool {
    let writers: HashSet<Option<(&str, u32)>> = calls
        .iter()
        .filter(|call| !call.on_replica() && call.end != End::Fail)
        .map(|call| call.stamp.map(|stamp| (stamp.member.as_str(), stamp.timeline)))
        .collect();
    let of_one = writers.len() == 1 && !writers.contains(&None);
    let with_replica = calls.iter().any(|call| call.on_replica());
    of_one
        && match anomaly.kind.as_str() {
            "G2-item" => true,
            "G-nonadjacent-item" => with_replica,
            _ => false,
        }
}

#[cfg(test)]
mod tests;
