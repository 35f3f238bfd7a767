//! What needs no search: values that nobody wrote, and reads of what had been overwritten for certain. Finds only
//! what no order of operations explains, but not all of that.

use std::collections::HashMap;

use super::super::calls::Call;
use super::super::verdict::{Anomaly, Finding, Findings};
use crate::history::Op;

/// Whether anything was found. `calls` are those of one register, in the order in which they began.
pub(super) fn check(key: u64, calls: &[&Call<'_>], findings: &mut Findings) -> bool {
    let ends = ends(calls);
    let latest = Latest::of(calls);
    let mut found = false;
    for call in calls.iter().filter(|call| call.ok()) {
        let value = match call.op {
            Op::Get { value: Some(value), .. } => *value,
            Op::Cas { from, .. } => *from,
            _ => continue,
        };
        let Some(end) = ends.get(&value) else {
            let text =
                format!("{} found {value} in register {key}, and nobody put it there.", call.who());
            findings.push(Finding::about(Anomaly::Phantom, text, &[call]));
            found = true;
            continue;
        };
        if let Some(newer) = latest.before(call)
            && end.is_none_or(|end| end < newer.began)
        {
            let text = format!(
                "{} found {value} in register {key}, older than what had been acknowledged to {}.",
                call.who(),
                newer.who()
            );
            findings.push(Finding::about(Anomaly::NotLinearizable, text, &[newer, call]));
            found = true;
        }
    }
    found
}

fn written(call: &Call<'_>) -> Option<i64> {
    match call.op {
        Op::Put { value, .. } | Op::Cas { to: value, .. } => Some(*value),
        _ => None,
    }
}

/// Where the last write of each value ended at the latest; `None` for what was only there at first.
fn ends(calls: &[&Call<'_>]) -> HashMap<i64, Option<usize>> {
    let mut ends = HashMap::from([(0, None)]);
    for call in calls {
        if let Some(value) = written(call) {
            let end = ends.entry(value).or_insert(None);
            *end = (*end).max(Some(call.ended));
        }
    }
    ends
}

/// Acknowledged writes by their ends, each with that one up to it which began last.
struct Latest<'c, 'h>(Vec<(usize, &'c Call<'h>)>);

impl<'c, 'h> Latest<'c, 'h> {
    fn of(calls: &[&'c Call<'h>]) -> Self {
        let acked = |call: &&&'c Call<'h>| call.ok() && written(call).is_some();
        let mut writes: Vec<&'c Call<'h>> = calls.iter().filter(acked).copied().collect();
        writes.sort_by_key(|call| call.ended);
        let mut latest: Vec<(usize, &'c Call<'h>)> = Vec::with_capacity(writes.len());
        for call in writes {
            let newer = latest.last().map(|(_, last)| *last).filter(|last| last.began > call.began);
            latest.push((call.ended, newer.unwrap_or(call)));
        }
        Self(latest)
    }

    /// Of the writes that ended before this call began, the one that began last.
    fn before(&self, call: &Call<'_>) -> Option<&'c Call<'h>> {
        let known = self.0.partition_point(|(ended, _)| *ended < call.began);
        self.0[..known].last().map(|(_, newest)| *newest)
    }
}
