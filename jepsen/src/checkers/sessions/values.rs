//! The same for registers. A value is older than another when all that wrote it ended before any that wrote
//! the other began; what is not older for certain is never found.

use std::collections::HashMap;

use super::super::calls::{Call, End};
use super::super::verdict::{Anomaly, Finding};
use super::Found;
use crate::history::Op;

/// When a value may have come into a register: places in the history.
#[derive(Clone, Copy)]
struct Written {
    began: usize,
    ended: usize,
}

type Values = HashMap<(u64, i64), Written>;

pub(super) fn check(calls: &[Call<'_>], found: &mut Found) {
    let written = written(calls);
    let mut own: HashMap<(u32, u64), (i64, &Call<'_>)> = HashMap::new();
    let mut seen: HashMap<(u32, u64, Option<&str>), (i64, &Call<'_>)> = HashMap::new();
    for call in calls.iter().filter(|call| call.ok()) {
        match call.op {
            Op::Put { key, value } | Op::Cas { key, to: value, .. } => {
                own.insert((call.process, *key), (*value, call));
            }
            Op::Get { key, value: Some(value) } => {
                let own = own.get(&(call.process, *key)).filter(|_| found.promise.binds(call));
                if let Some((mine, writer)) = own.filter(|_| call.on_replica())
                    && older(&written, *key, (*value, *mine))
                {
                    found.findings.push(own_write((*key, *value, *mine), writer, call));
                }
                let member = call.stamp.map(|stamp| stamp.member.as_str());
                let at = (call.process, *key, member.filter(|_| !found.promise.all));
                let earlier = seen.insert(at, (*value, call));
                if let Some((had, reader)) = earlier.filter(|_| call.on_replica())
                    && older(&written, *key, (*value, had))
                {
                    found.went_back(back((*key, *value, had), reader, call));
                }
            }
            _ => {}
        }
    }
}

/// The first beginning and the last end of all that may have written a value; what a register holds at first
/// was there before everything.
fn written(calls: &[Call<'_>]) -> Values {
    let mut values = Values::new();
    for call in calls.iter().filter(|call| call.end != End::Fail) {
        let (Op::Put { key, value } | Op::Cas { key, to: value, .. }) = call.op else { continue };
        let written = values
            .entry((*key, *value))
            .or_insert(Written { began: call.began, ended: call.ended });
        written.began = written.began.min(call.began);
        written.ended = written.ended.max(call.ended);
    }
    values
}

/// Whether the first value is older than the second, for certain.
fn older(written: &Values, key: u64, (one, other): (i64, i64)) -> bool {
    let at = |value: i64| written.get(&(key, value));
    match (at(one), at(other)) {
        (Some(one), Some(other)) => one.ended < other.began,
        (None, Some(_)) => one == 0 && other != 0,
        (_, None) => false,
    }
}

fn own_write(what: (u64, i64, i64), writer: &Call<'_>, reader: &Call<'_>) -> Finding {
    let (key, value, mine) = what;
    let text = format!(
        "{} read {value} from register {key}, older than its own {mine}, acknowledged to {}.",
        reader.who(),
        writer.who()
    );
    Finding::about(Anomaly::ReadYourWrites, text, &[writer, reader])
}

fn back(what: (u64, i64, i64), earlier: &Call<'_>, reader: &Call<'_>) -> Finding {
    let (key, value, had) = what;
    let text = format!(
        "{} read {value} from register {key}, older than {had}, which {} had read.",
        reader.who(),
        earlier.who()
    );
    Finding::about(Anomaly::MonotonicReads, text, &[earlier, reader])
}
