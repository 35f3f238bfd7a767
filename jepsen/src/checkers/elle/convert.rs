//! Our history as adya reads it, and adya's names as ours. Decides nothing.

use std::collections::HashSet;

use adya::history::{History, Interner, Mop, Op as Txn, OpType, ReadValue, Scalar};
use serde_json::Value;

use super::super::calls::{Call, End};
use super::super::elements::Place;
use super::super::verdict::Anomaly;
use crate::history::{Op, Step};

/// Every transaction twice, at its beginning and at its end, in the history's order. One that never ended
/// ends unknown, after everything. Reads of excused elements are left out.
pub(super) fn history(txns: &[&Call<'_>], excused: &HashSet<(Place, u64)>) -> History {
    let mut words = Words { interner: Interner::default(), excused };
    let mut ops: Vec<(usize, Txn)> = Vec::with_capacity(txns.len() * 2);
    for call in txns {
        let process = Some(process(call));
        let value = words.mops(call, End::Unknown);
        let time = i64::try_from(call.began_at).ok();
        let index = call.began as u64;
        ops.push((call.began, Txn { index, kind: OpType::Invoke, process, value, time }));
        let kind = match call.end {
            End::Ok => OpType::Ok,
            End::Fail => OpType::Fail,
            End::Unknown => OpType::Info,
        };
        let value = words.mops(call, call.end);
        let time = i64::try_from(call.ended_at).ok();
        ops.push((call.ended, Txn { index: call.index, kind, process, value, time }));
    }
    ops.sort_by_key(|(place, _)| *place);
    History::from_ops(ops.into_iter().map(|(_, op)| op).collect(), words.interner)
}

/// What is unknown ends after everything, when its client has long begun something else: it gets a number
/// of its own, above those of all clients.
fn process(call: &Call<'_>) -> i64 {
    match call.end {
        End::Unknown => i64::try_from(call.began).map_or(i64::MAX, |began| (1 << 33) + began),
        End::Ok | End::Fail => i64::from(call.process),
    }
}

struct Words<'e> {
    interner: Interner,
    excused: &'e HashSet<(Place, u64)>,
}

impl Words<'_> {
    fn word(&mut self, number: u64) -> u32 {
        self.interner.intern(Scalar::Int(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn mops(&mut self, call: &Call<'_>, end: End) -> Vec<Mop> {
        let Op::Txn(steps) = call.op else { return Vec::new() };
        steps.iter().filter_map(|step| self.mop(step, end)).collect()
    }

    fn mop(&mut self, step: &Step, end: End) -> Option<Mop> {
        match step {
            Step::Append { key, value } => {
                Some(Mop::Append { key: self.word(*key), value: self.word(*value) })
            }
            Step::Read { key, list: Some(list) } if end == End::Ok => {
                let place = Place::List(*key);
                if list.iter().any(|element| self.excused.contains(&(place, *element))) {
                    return None;
                }
                let list = list.iter().map(|element| self.word(*element)).collect();
                Some(Mop::Read { key: self.word(*key), value: ReadValue::List(list) })
            }
            Step::Read { key, .. } => {
                Some(Mop::Read { key: self.word(*key), value: ReadValue::Nil })
            }
        }
    }
}

/// What adya's word for something means to us.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    As(Anomaly),
    /// Nothing could be said.
    Unknown,
}

pub(super) fn told(name: &str) -> Told {
    let bare = name.trim_end_matches("-realtime").trim_end_matches("-process");
    Told::As(match bare {
        "G0" => Anomaly::G0,
        "G1a" => Anomaly::G1a,
        "G1b" => Anomaly::G1b,
        "G1c" | "future-read" => Anomaly::G1c,
        "G-single-item" => Anomaly::GSingle,
        "G-nonadjacent-item" => Anomaly::GNonadjacent,
        "G2-item" => Anomaly::G2Item,
        "internal" => Anomaly::Internal,
        "lost-update" => Anomaly::LostUpdate,
        "dirty-update" => Anomaly::DirtyUpdate,
        "incompatible-order" => Anomaly::IncompatibleOrder,
        "duplicate-elements" => Anomaly::Duplicate,
        "empty-transaction-graph"
        | "cycle-search-timeout"
        | "duplicate-appends"
        | "unexpected-txn-micro-op-types" => return Told::Unknown,
        _ => Anomaly::Cycle,
    })
}

/// The transactions that read those two lists of which no order explains both: adya does not name them.
pub(super) fn readers(anomaly: &adya::Anomaly, txns: &[&Call<'_>]) -> Vec<u64> {
    let numbers = |value: &Value| -> Vec<u64> {
        value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let Some(key) = anomaly.detail["key"].as_u64() else { return Vec::new() };
    let lists: Vec<Vec<u64>> =
        anomaly.detail["values"].as_array().into_iter().flatten().map(numbers).collect();
    let reads = |call: &Call<'_>, wanted: &[u64]| match call.op {
        Op::Txn(steps) => steps.iter().any(|step| match step {
            Step::Read { key: of, list: Some(list) } => *of == key && list == wanted,
            Step::Read { .. } | Step::Append { .. } => false,
        }),
        _ => false,
    };
    let first = |wanted: &Vec<u64>| {
        txns.iter().find(|call| call.ok() && reads(call, wanted)).map(|call| call.index)
    };
    lists.iter().filter_map(first).collect()
}
