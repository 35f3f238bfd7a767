//! Lost, phantom, duplicate and stale elements of a set or a list. Needs no graph, and judges no order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::calls::{Call, End};
use super::elements::{Bits, Elements, Place, Read};
use super::options::Options;
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};

/// Judges all places of one sort.
pub(crate) fn check(places: &BTreeMap<Place, Elements<'_, '_>>, options: &Options) -> Judged {
    let looked_at = places.values().map(|all| all.adds.len() + all.reads.len()).sum();
    if looked_at == 0 {
        return None;
    }
    let mut findings = Findings::default();
    let mut unread = 0;
    for (place, all) in places {
        phantoms(*place, all, &mut findings);
        duplicates(*place, all, &mut findings);
        unread += missing(*place, all, options, &mut findings);
    }
    let reason = (unread > 0).then(|| {
        format!("{unread} acknowledged elements were never read again, so nobody knows of them.")
    });
    Some(Sentence { verdict: findings.verdict_unless(reason), apart: Vec::new(), looked_at })
}

fn phantoms(place: Place, all: &Elements<'_, '_>, findings: &mut Findings) {
    let writers = all.writers();
    let mut told: HashSet<u64> = HashSet::new();
    for read in &all.reads {
        for element in read.elements {
            let writer = writers.get(element).copied();
            let fine = writer.is_some_and(|writer| writer.end != End::Fail);
            if !fine && told.insert(*element) {
                findings.push(phantom(place, *element, read.call, writer));
            }
        }
    }
}

fn phantom(place: Place, element: u64, reader: &Call<'_>, writer: Option<&Call<'_>>) -> Finding {
    let who = reader.who();
    match writer {
        None => {
            let text =
                format!("{element} was read from {place} by {who}, and nobody put it there.");
            Finding::about(Anomaly::Phantom, text, &[reader])
        }
        Some(writer) => {
            let text = format!(
                "{element} was read from {place} by {who}, though {} had been told that it was not written.",
                writer.who()
            );
            Finding::about(Anomaly::Phantom, text, &[writer, reader])
        }
    }
}

fn duplicates(place: Place, all: &Elements<'_, '_>, findings: &mut Findings) {
    let mut told: HashSet<u64> = HashSet::new();
    let mut once: HashSet<u64> = HashSet::new();
    for read in &all.reads {
        once.clear();
        for element in read.elements {
            if !once.insert(*element) && told.insert(*element) {
                let who = read.call.who();
                let text = format!(
                    "{element} is in {place} more than once, as {who} read: one write took place twice."
                );
                findings.push(Finding::about(Anomaly::Duplicate, text, &[read.call]));
            }
        }
    }
}

/// Looks for what was acknowledged and is not read; returns how much nobody looked for at the end.
fn missing(
    place: Place,
    all: &Elements<'_, '_>,
    options: &Options,
    findings: &mut Findings,
) -> usize {
    let mut acked: Vec<(u64, &Call<'_>)> =
        all.adds.iter().copied().filter(|(_, call)| call.ok()).collect();
    acked.sort_by_key(|(_, call)| call.ended);
    let numbers: HashMap<u64, usize> =
        acked.iter().enumerate().map(|(number, (element, _))| (*element, number)).collect();
    let Some(last) = all.last(options) else { return acked.len() };
    let finally = Bits::of(last.elements, &numbers);
    let known = acked.partition_point(|(_, call)| call.ended < last.call.began);
    for (element, call) in lost_of(all, options) {
        findings.push(lost(place, element, call, &last));
    }
    // A later acknowledgement is not lost yet; what comes after the last read is only counted.
    let unread = (known..acked.len()).filter(|number| !finally.has(*number)).count();
    let from = options.final_reads_from.unwrap_or(u64::MAX);
    for read in &all.reads {
        if !read.call.on_replica() || read.call.began_at >= from {
            stale(place, read, (&acked, &numbers, &finally), findings);
        }
    }
    unread
}

/// What was acknowledged before the last read began and is not in it, by the time of its acknowledgement.
pub(crate) fn lost_of<'c, 'h>(
    all: &Elements<'c, 'h>,
    options: &Options,
) -> Vec<(u64, &'c Call<'h>)> {
    let Some(last) = all.last(options) else { return Vec::new() };
    let finally: HashSet<u64> = last.elements.iter().copied().collect();
    let is_lost = |(element, call): &(u64, &Call<'_>)| {
        call.ok() && call.before(last.call) && !finally.contains(element)
    };
    let mut lost: Vec<(u64, &Call<'_>)> = all.adds.iter().copied().filter(is_lost).collect();
    lost.sort_by_key(|(_, call)| call.ended);
    lost
}

fn lost(place: Place, element: u64, call: &Call<'_>, last: &Read<'_, '_>) -> Finding {
    let text = format!(
        "{element} in {place} was acknowledged to {} and is lost: {} no longer finds it.",
        call.who(),
        last.call.who()
    );
    Finding::about(Anomaly::Lost, text, &[call, last.call])
}

type Acked<'a, 'c, 'h> = (&'a [(u64, &'c Call<'h>)], &'a HashMap<u64, usize>, &'a Bits);

/// What is there finally and was acknowledged before this read began must be in it.
fn stale(place: Place, read: &Read<'_, '_>, acked: Acked<'_, '_, '_>, findings: &mut Findings) {
    let (acked, numbers, finally) = acked;
    let seen = Bits::of(read.elements, numbers);
    let known = acked.partition_point(|(_, call)| call.ended < read.call.began);
    let missed = (0..known).filter(|number| finally.has(*number) && !seen.has(*number));
    let mut missed = missed.peekable();
    let Some(first) = missed.peek().copied() else { return };
    let count = missed.count();
    let (element, call) = acked[first];
    let more = if count > 1 { format!(", nor {} more", count - 1) } else { String::new() };
    let text = format!(
        "{} read {place} without {element}{more}, though it had been acknowledged before to {}.",
        read.call.who(),
        call.who()
    );
    findings.push(Finding::about(Anomaly::Stale, text, &[call, read.call]));
}

/// What somebody read and the last read no longer finds: the element, who read it first, and the last read.
pub(crate) fn gone<'c, 'h>(
    all: &Elements<'c, 'h>,
    options: &Options,
) -> Vec<(u64, &'c Call<'h>, &'c Call<'h>)> {
    let Some(last) = all.last(options) else { return Vec::new() };
    let finally: HashSet<u64> = last.elements.iter().copied().collect();
    let mut told: HashSet<u64> = HashSet::new();
    let mut gone = Vec::new();
    for read in all.reads.iter().filter(|read| read.call.before(last.call)) {
        for element in read.elements {
            if !finally.contains(element) && told.insert(*element) {
                gone.push((*element, read.call, last.call));
            }
        }
    }
    gone
}

/// Elements that may come and go: read, never acknowledged, and gone, where that is only counted.
pub(crate) fn excused(
    places: &BTreeMap<Place, Elements<'_, '_>>,
    options: &Options,
) -> HashSet<(Place, u64)> {
    if options.exposure == super::Exposure::Fails {
        return HashSet::new();
    }
    let mut excused = HashSet::new();
    for (place, all) in places {
        let writers = all.writers();
        for (element, _, _) in gone(all, options) {
            if writers.get(&element).is_some_and(|writer| writer.end == End::Unknown) {
                excused.insert((*place, element));
            }
        }
    }
    excused
}

/// Whether anything speaks against these places, for tests.
#[cfg(test)]
pub(crate) fn anomalies(judged: Judged) -> Vec<Anomaly> {
    let sentence = judged.unwrap();
    assert!(!matches!(sentence.verdict, super::Verdict::Unknown { .. }), "{:?}", sentence.verdict);
    sentence.verdict.findings().iter().map(|finding| finding.anomaly).collect()
}
