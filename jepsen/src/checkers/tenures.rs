//! I1: no two members acknowledge writes in windows that overlap. Judges by acknowledgements alone, never by
//! what a member says of itself.
//!
//! A commit took place between its beginning and its end. Two tenures overlap for certain when each has a
//! commit that ended before some commit of the other began.

use std::collections::BTreeMap;

use super::calls::{Call, pair, seconds};
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};
use crate::history::Event;

/// A member's time on one timeline, as its acknowledgements show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The member.
    pub member: String,
    /// The timeline that it wrote.
    pub timeline: u32,
    /// Nanoseconds since the run began: when the first acknowledgement came.
    pub from: u64,
    /// When the last commit that was acknowledged had been begun: at the earliest then it ended. Less than
    /// `from` if there was only one.
    pub to: u64,
}

/// All tenures of a history, by their beginnings; none if the history is damaged.
pub fn tenures(history: &[Event]) -> Vec<Tenure> {
    let calls = pair(history).unwrap_or_default();
    let tell = |held: &Held<'_, '_>| Tenure {
        member: held.member.to_owned(),
        timeline: held.timeline,
        from: held.first.ended_at,
        to: held.last.began_at,
    };
    let mut tenures: Vec<Tenure> = all(&calls).iter().map(tell).collect();
    tenures.sort_by_key(|tenure| tenure.from);
    tenures
}

/// For how long two members acknowledged at once, for certain: the longest overlap, in nanoseconds. Zero only
/// if none did.
pub fn overlap_ns(history: &[Event]) -> u64 {
    let calls = pair(history).unwrap_or_default();
    let all = all(&calls);
    let mut longest = 0;
    for (at, one) in all.iter().enumerate() {
        for other in all[at + 1..].iter().filter(|other| overlap(one, other)) {
            longest = longest.max(length(one, other).max(1));
        }
    }
    longest
}

#[derive(Clone, Copy)]
struct Held<'c, 'h> {
    member: &'h str,
    timeline: u32,
    /// The acknowledgement that came first.
    first: &'c Call<'h>,
    /// The commit that began last.
    last: &'c Call<'h>,
}

fn all<'c, 'h>(calls: &'c [Call<'h>]) -> Vec<Held<'c, 'h>> {
    let mut all: BTreeMap<(&str, u32), Held<'c, 'h>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.on_primary() && call.writes()) {
        let Some(stamp) = call.stamp else { continue };
        let (member, timeline) = (stamp.member.as_str(), stamp.timeline);
        let held = all.entry((member, timeline)).or_insert(Held {
            member,
            timeline,
            first: call,
            last: call,
        });
        if call.ended < held.first.ended {
            held.first = call;
        }
        if call.began > held.last.began {
            held.last = call;
        }
    }
    all.into_values().collect()
}

pub(crate) fn check(calls: &[Call<'_>]) -> Judged {
    let looked_at = calls
        .iter()
        .filter(|call| call.on_primary() && call.writes() && call.stamp.is_some())
        .count();
    if looked_at == 0 {
        return None;
    }
    let all = all(calls);
    let mut findings = Findings::default();
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            if overlap(one, other) {
                findings.push(overlapping(one, other));
            } else if one.timeline == other.timeline && one.member != other.member {
                findings.push(one_timeline(one, other));
            }
        }
    }
    Sentence::plain(findings.verdict(), looked_at)
}

fn overlap(one: &Held<'_, '_>, other: &Held<'_, '_>) -> bool {
    one.first.before(other.last) && other.first.before(one.last)
}

/// Of an overlap, nanoseconds: what is certain of it. One commit of the other is but an instant.
fn length(one: &Held<'_, '_>, other: &Held<'_, '_>) -> u64 {
    let from = one.first.ended_at.max(other.first.ended_at);
    one.last.began_at.min(other.last.began_at).saturating_sub(from)
}

fn overlapping(one: &Held<'_, '_>, other: &Held<'_, '_>) -> Finding {
    let window = |held: &Held<'_, '_>| {
        let (first, last) = (held.first, held.last);
        format!(
            "{} on timeline {} (operation {} ended at {}, operation {} began at {})",
            held.member,
            held.timeline,
            first.index,
            seconds(first.ended_at),
            last.index,
            seconds(last.began_at)
        )
    };
    let text = format!(
        "Two primaries acknowledged writes at once, for {} ms at least: {} and {}.",
        length(one, other) / 1_000_000,
        window(one),
        window(other)
    );
    Finding::about(Anomaly::TwoWriters, text, &[one.first, one.last, other.first, other.last])
}

fn one_timeline(one: &Held<'_, '_>, other: &Held<'_, '_>) -> Finding {
    let text = format!(
        "{} and {} both acknowledged writes on timeline {}: two histories bear one number.",
        one.member, other.member, one.timeline
    );
    Finding::about(Anomaly::TwoWriters, text, &[one.first, other.first])
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::*;
    use crate::history::Op;

    fn found(script: &Script) -> usize {
        check(&script.calls()).unwrap().verdict.findings().len()
    }

    #[test]
    fn one_after_the_other_and_back_is_valid() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1").invoke(2, Op::Add(2)).done(3, Op::Add(3), "n2/2");
        // It may have been committed before the failover, and answered late.
        script.ok(2, Op::Add(2), "n1/1").done(4, Op::Add(4), "n1/3");
        script.done(5, Op::All(Some(vec![])), "n2/2").done(5, Op::All(Some(vec![])), "~n2/3");
        assert_eq!(found(&script), 0);
        assert_eq!(overlap_ns(&script.events), 0);
    }

    #[test]
    fn acknowledgements_that_interleave_are_found() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1").done(2, Op::Add(2), "n2/2").done(1, Op::Add(3), "n1/1");
        assert_eq!((found(&script), overlap_ns(&script.events)), (1, 1));
        script.done(2, Op::Add(4), "n2/2");
        let verdict = check(&script.calls()).unwrap().verdict;
        let finding = &verdict.findings()[0];
        assert!(finding.text.contains("for 1000 ms at least"), "{}", finding.text);
        assert_eq!(finding.members, ["n1", "n2"]);
        assert_eq!(overlap_ns(&script.events), 1_000_000_000);
    }

    #[test]
    fn one_timeline_of_two_members_is_found() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/2").done(2, Op::Add(2), "n2/2");
        assert_eq!(found(&script), 1);
    }
}
