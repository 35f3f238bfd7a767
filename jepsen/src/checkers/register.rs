//! Registers: each by itself behaves as one copy would, or the search ran out of budget. Never judges replicas,
//! whose reads lie in the past.

use std::collections::{BTreeMap, HashSet};

use super::calls::{Call, End};
use super::options::Options;
use super::verdict::{Anomaly, Finding, Findings};
use super::wgl::{self, Act, Outcome, Task};
use super::{Judged, Sentence};
use crate::history::Op;

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let registers = registers(calls);
    let looked_at: usize = registers.values().map(Vec::len).sum();
    if looked_at == 0 {
        return None;
    }
    let mut findings = Findings::default();
    let mut tired: Vec<String> = Vec::new();
    for (key, calls) in &registers {
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
        held = format!("{held}, which {} {}", writer.who(), did(tasks[before].act));
    }
    let text = format!(
        "No order of operations explains register {key}: {} {}, but at best {held}.",
        call.who(),
        did(tasks[at].act)
    );
    Finding::about(Anomaly::NotLinearizable, text, &about)
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::super::verdict::Verdict;
    use super::*;

    fn get(value: i64) -> Op {
        Op::Get { key: 1, value: Some(value) }
    }

    fn put(value: i64) -> Op {
        Op::Put { key: 1, value }
    }

    fn verdict(script: &Script, budget: u64) -> Verdict {
        let options = Options { budget, ..Options::default() };
        check(&script.calls(), &options).unwrap().verdict
    }

    fn valid(script: &Script) -> bool {
        verdict(script, 100_000).is_valid()
    }

    #[test]
    fn one_copy_is_valid() {
        let mut script = Script::default();
        script.done(1, get(0), "n1").invoke(1, put(1)).done(2, get(0), "n1").done(2, get(1), "n1");
        script.ok(1, put(1), "n1").done(3, Op::Cas { key: 1, from: 1, to: 2 }, "n1");
        script.done(2, get(2), "n1").done(4, get(0), "~n2");
        assert!(valid(&script));
    }

    #[test]
    fn a_stale_read_is_found_and_named() {
        let mut script = Script::default();
        script.done(1, put(1), "n1").done(1, put(2), "n1").done(2, get(1), "n2");
        let Verdict::Invalid { findings, more: 0 } = verdict(&script, 100_000) else {
            panic!("it is invalid");
        };
        assert_eq!(
            findings[0].text,
            "No order of operations explains register 1: client 2 on n2 at 5.000 s (operation 5) read 1, \
             but at best it held 2, which client 1 on n1 at 3.000 s (operation 3) wrote 2."
        );
        assert_eq!(findings[0].ops, [3, 5]);
    }

    #[test]
    fn a_lost_write_is_found() {
        let mut script = Script::default();
        script.done(1, put(1), "n1").done(2, get(0), "n2");
        assert!(!valid(&script));
    }

    #[test]
    fn a_read_that_goes_back_during_one_write_is_found() {
        let mut script = Script::default();
        script.invoke(1, put(1)).done(2, get(1), "n1").done(3, get(0), "n1").ok(1, put(1), "n1");
        assert!(!valid(&script));
    }

    #[test]
    fn two_swaps_from_one_value_are_found() {
        let mut script = Script::default();
        let swap = |to| Op::Cas { key: 1, from: 0, to };
        script.invoke(1, swap(1)).done(2, swap(2), "n2").ok(1, swap(1), "n1");
        assert!(!valid(&script));
    }

    #[test]
    fn what_is_unknown_may_take_place_late_or_never_but_a_failure_never_does() {
        let mut script = Script::default();
        script.invoke(1, put(7)).unknown(1, put(7)).done(2, get(0), "n1");
        assert!(valid(&script));
        script.done(2, get(7), "n1");
        assert!(valid(&script));
        script.done(2, get(0), "n1");
        assert!(!valid(&script));
        let mut script = Script::default();
        script.invoke(1, put(7)).fail(1, put(7)).done(2, get(7), "n1");
        assert!(!valid(&script));
    }

    #[test]
    fn a_search_without_budget_says_so() {
        let mut script = Script::default();
        for process in 0..12 {
            script.invoke(process, put(i64::from(process) + 1));
        }
        for process in 0..12 {
            script.ok(process, put(i64::from(process) + 1), "n1");
        }
        script.done(20, get(99), "n1");
        let verdict = verdict(&script, 500);
        assert!(matches!(&verdict, Verdict::Unknown { reason } if reason.contains("register 1")));
    }
}
