//! Registers: each by itself behaves as one copy would, or the search ran out of budget. Never judges replicas,
//! whose reads lie in the past.

use std::collections::{BTreeMap, HashSet};

use super::calls::{Call, End};
use super::options::Options;
use super::verdict::{Anomaly, Finding, Findings};
use super::wgl::{self, Act, Outcome, Task};
use super::{Judged, Sentence};
use crate::history::Op;

mod obvious;

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let registers = registers(calls);
    let looked_at: usize = registers.values().map(Vec::len).sum();
    if looked_at == 0 {
        return None;
    }
    let mut findings = Findings::default();
    let mut tired: Vec<String> = Vec::new();
    for (key, calls) in &registers {
        if obvious::check(*key, calls, &mut findings) {
            continue;
        }
        let tasks = tasks(calls);
        match wgl::search(&tasks, options.budget) {
            Outcome::Ordered => {}
            Outcome::TooLong => tired.push(key.to_string()),
            Outcome::Stuck { at, state, before } => {
                findings.push(stuck(*key, &tasks, (at, state, before)));
            }
        }
    }
    let reason = (!tired.is_empty()).then(|| {
        let (registers, budget) = (tired.join(", "), options.budget);
        format!("No order was found, nor excluded, in {budget} attempts for register {registers}.")
    });
    Sentence::plain(findings.verdict_unless(reason), looked_at)
}

fn registers<'c, 'h>(calls: &'c [Call<'h>]) -> BTreeMap<u64, Vec<&'c Call<'h>>> {
    let mut registers: BTreeMap<u64, Vec<&Call<'_>>> = BTreeMap::new();
    for call in calls {
        let key = match call.op {
            Op::Get { key, .. } if call.on_primary() => *key,
            Op::Put { key, .. } | Op::Cas { key, .. } if call.end != End::Fail => *key,
            _ => continue,
        };
        registers.entry(key).or_default().push(call);
    }
    registers
}

/// An unknown write of a value that nobody ever met explains nothing, and is left out.
fn tasks<'c, 'h>(calls: &[&'c Call<'h>]) -> Vec<Task<'c, 'h>> {
    let met: HashSet<i64> = calls
        .iter()
        .filter_map(|call| match call.op {
            Op::Get { value, .. } => *value,
            Op::Cas { from, .. } => Some(*from),
            _ => None,
        })
        .collect();
    let task = |call: &&'c Call<'h>| {
        let act = match call.op {
            Op::Get { value, .. } => Act::Read((*value)?),
            Op::Put { value, .. } => Act::Write(*value),
            Op::Cas { from, to, .. } => Act::Swap(*from, *to),
            _ => return None,
        };
        let written = match act {
            Act::Write(value) | Act::Swap(_, value) => value,
            Act::Read(_) => return Some(Task { call, act }),
        };
        (call.ok() || met.contains(&written)).then_some(Task { call, act })
    };
    calls.iter().filter_map(task).collect()
}

/// The search got furthest with `before` done and `state` in the register, and could not do `at`.
fn stuck(key: u64, tasks: &[Task<'_, '_>], place: (usize, i64, Option<usize>)) -> Finding {
    let (at, state, before) = place;
    let call = tasks[at].call;
    let did = |act: Act| match act {
        Act::Read(value) => format!("read {value}"),
        Act::Write(value) => format!("wrote {value}"),
        Act::Swap(from, to) => format!("changed {from} to {to}"),
    };
    let mut about = vec![call];
    let mut held = format!("it held {state}");
    if let Some(before) = before {
        let writer = tasks[before].call;
        about.insert(0, writer);
        held = format!("{held}, put there by {}", writer.who());
    }
    let text = format!(
        "No order of operations explains register {key}: {} {}, but at best {held}.",
        call.who(),
        did(tasks[at].act)
    );
    Finding::about(Anomaly::NotLinearizable, text, &about)
}

#[cfg(test)]
mod tests;
