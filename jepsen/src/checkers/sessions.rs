//! What a client is promised that reads on replicas: its own writes, and never less than it read before.
//! Judges no reads of primaries, which are judged by everybody's writes.
//!
//! Postgres promises none of this by itself, and a replica that was restarted may even go back behind what it
//! has shown: without a promise a step back is told apart.

use std::collections::{HashMap, HashSet};

use super::calls::Call;
use super::elements::{Elements, Place, Read, places};
use super::options::{Options, ReplicaReads};
use super::presence::excused;
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};

mod values;

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    let looked_at = calls.iter().filter(|call| call.ok() && call.on_replica()).count();
    if looked_at == 0 {
        return None;
    }
    let places = places(calls);
    let excused = excused(&places, options);
    let promise = Promise {
        all: options.replica_reads == ReplicaReads::Session,
        from: options.sessions_from.unwrap_or(u32::MAX),
    };
    let mut found = Found { promise, findings: Findings::default(), apart: Findings::default() };
    for (place, all) in &places {
        own_writes(*place, all, &excused, &mut found);
        backwards(*place, all, &excused, &mut found);
    }
    values::check(calls, &mut found);
    let Found { findings, apart, .. } = found;
    Some(Sentence { verdict: findings.verdict(), apart: apart.told(), looked_at })
}

/// To whom it was promised. Those that only some are, are promised their own writes: a primary, where they may be sent,
/// can show less than a replica did, because it waits for others before it shows a commit.
#[derive(Clone, Copy)]
struct Promise {
    all: bool,
    from: u32,
}

impl Promise {
    fn binds(self, call: &Call<'_>) -> bool {
        self.all || call.process >= self.from
    }
}

struct Found {
    promise: Promise,
    findings: Findings,
    apart: Findings,
}

impl Found {
    fn went_back(&mut self, finding: Finding) {
        let to = if self.promise.all { &mut self.findings } else { &mut self.apart };
        to.push(finding);
    }
}

fn own_writes(
    place: Place,
    all: &Elements<'_, '_>,
    excused: &HashSet<(Place, u64)>,
    found: &mut Found,
) {
    let mut own: HashMap<u32, Vec<(u64, &Call<'_>)>> = HashMap::new();
    for (element, call) in all.adds.iter().filter(|(_, call)| call.ok()) {
        own.entry(call.process).or_default().push((*element, call));
    }
    for read in all.reads.iter().filter(|read| read.call.on_replica()) {
        if !found.promise.binds(read.call) {
            continue;
        }
        let Some(own) = own.get(&read.call.process) else { continue };
        let seen: HashSet<u64> = read.elements.iter().copied().collect();
        let missed = own.iter().find(|(element, call)| {
            call.before(read.call)
                && !seen.contains(element)
                && !excused.contains(&(place, *element))
        });
        if let Some((element, call)) = missed {
            let text = format!(
                "{} did not find its own {element} in {place}, acknowledged to {}.",
                read.call.who(),
                call.who()
            );
            found.findings.push(Finding::about(Anomaly::ReadYourWrites, text, &[call, read.call]));
        }
    }
}

/// Each read of a replica is compared with what the same client read before: there, or if it was promised so,
/// anywhere. A primary may show less than a replica: it waits for others before it shows a commit.
fn backwards(
    place: Place,
    all: &Elements<'_, '_>,
    excused: &HashSet<(Place, u64)>,
    found: &mut Found,
) {
    let mut before: HashMap<(u32, Option<&str>), Read<'_, '_>> = HashMap::new();
    for read in &all.reads {
        let member = read.call.stamp.map(|stamp| stamp.member.as_str());
        let at = (read.call.process, member.filter(|_| !found.promise.all));
        let earlier = before.insert(at, *read);
        let Some(earlier) = earlier.filter(|_| read.call.on_replica()) else { continue };
        // Two reads of one transaction are one look.
        if !earlier.call.before(read.call) || read.elements.starts_with(earlier.elements) {
            continue;
        }
        let seen: HashSet<u64> = read.elements.iter().copied().collect();
        let missed = earlier
            .elements
            .iter()
            .find(|element| !seen.contains(element) && !excused.contains(&(place, **element)));
        if let Some(element) = missed {
            let text = format!(
                "{} no longer found {element} in {place}, which {} had read.",
                read.call.who(),
                earlier.call.who()
            );
            let calls = [earlier.call, read.call];
            let finding = Finding::about(Anomaly::MonotonicReads, text, &calls);
            found.went_back(finding);
        }
    }
}

#[cfg(test)]
mod tests;
