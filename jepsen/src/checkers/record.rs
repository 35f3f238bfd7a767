//! The cluster's own record of who led: against itself, and against what clients saw. Never trusts either more.
//!
//! The record's times come from another clock's look, and may be late or early by `record_slack`.

use super::calls::{Call, seconds};
use super::options::{Leadership, Options};
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    if options.leaderships.is_empty() {
        return None;
    }
    let mut findings = Findings::default();
    for pair in options.leaderships.windows(2) {
        let slack = options.record_slack.saturating_add(options.deposed_says);
        for text in contradictions(&pair[0], &pair[1], slack) {
            findings.push(of_record(text, &pair[0], &pair[1]));
        }
    }
    let mut looked_at = 0;
    for call in calls.iter().filter(|call| call.on_primary() && call.writes()) {
        let Some(stamp) = call.stamp else { continue };
        looked_at += 1;
        let led = |record: &&Leadership| record.leader == stamp.member;
        let wrote = |record: &&Leadership| {
            record.timeline.is_none_or(|timeline| timeline == stamp.timeline)
        };
        let then = |record: &&Leadership| during(record, call, options.record_slack);
        let by_leader = || options.leaderships.iter().filter(led).filter(then);
        if by_leader().next().is_none() {
            findings.push(Finding::about(Anomaly::Record, not_leading(call, options), &[call]));
        } else if by_leader().find(wrote).is_none() {
            let text = format!(
                "{} was acknowledged on timeline {}, which {} did not write by the record.",
                call.who(),
                stamp.timeline,
                stamp.member
            );
            findings.push(Finding::about(Anomaly::Record, text, &[call]));
        }
    }
    Sentence::plain(findings.verdict(), looked_at + options.leaderships.len())
}

/// Whether the commit may have taken place while this leadership lasted.
fn during(record: &Leadership, call: &Call<'_>, slack: u64) -> bool {
    let to = record.to.unwrap_or(u64::MAX).saturating_add(slack);
    record.from <= call.ended_at.saturating_add(slack) && call.began_at <= to
}

fn not_leading(call: &Call<'_>, options: &Options) -> String {
    let at = |record: &&Leadership| during(record, call, 0);
    let leader = options.leaderships.iter().find(at).map_or_else(
        || "nobody led then by the record".to_owned(),
        |record| format!("{} led then by the record, in term {}", record.leader, record.term),
    );
    format!("{} was acknowledged, but {leader}.", call.who())
}

/// What speaks against one leadership having followed the other.
fn contradictions(one: &Leadership, next: &Leadership, slack: u64) -> Vec<String> {
    let mut texts = Vec::new();
    let (leader, successor) = (&one.leader, &next.leader);
    let (term, later) = (one.term, next.term);
    if later <= term {
        texts.push(format!("Term {later} of {successor} follows term {term} of {leader}."));
    }
    match one.to {
        None => texts.push(format!(
            "{leader}'s term {term} never ended, and {successor}'s term {later} began at {}.",
            seconds(next.from)
        )),
        Some(to) if to > next.from.saturating_add(slack) => texts.push(format!(
            "{leader}'s term {term} ended at {}, after {successor}'s term {later} began at {}.",
            seconds(to),
            seconds(next.from)
        )),
        Some(_) => {}
    }
    if let (Some(timeline), Some(newer)) = (one.timeline, next.timeline)
        && newer < timeline
    {
        texts
            .push(format!("Term {later} wrote timeline {newer}, older than {timeline} of {term}."));
    }
    texts
}

fn of_record(text: String, one: &Leadership, next: &Leadership) -> Finding {
    let mut finding = Finding::about(Anomaly::Record, text, &[]);
    finding.members = vec![one.leader.clone(), next.leader.clone()];
    (finding.from, finding.to) = (one.from, next.to.unwrap_or(next.from));
    finding
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::*;
    use crate::history::Op;

    fn led(term: u64, leader: &str, timeline: u32, from: u64, to: Option<u64>) -> Leadership {
        let second = 1_000_000_000;
        let (from, to) = (from * second, to.map(|to| to * second));
        Leadership { term, leader: leader.to_owned(), timeline: Some(timeline), from, to }
    }

    fn found(script: &Script, leaderships: Vec<Leadership>) -> Vec<String> {
        let options = Options { leaderships, ..Options::default() };
        let verdict = check(&script.calls(), &options).unwrap().verdict;
        verdict.findings().iter().map(|finding| finding.text.clone()).collect()
    }

    #[test]
    fn acknowledgements_of_those_who_led_are_valid() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1").done(1, Op::Add(2), "n2/2");
        let record = vec![led(1, "n1", 1, 0, Some(2)), led(2, "n2", 2, 2, None)];
        assert_eq!(found(&script, record), Vec::<String>::new());
        assert!(check(&script.calls(), &Options::default()).is_none());
    }

    #[test]
    fn one_who_acknowledges_without_leading_is_found() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1").done(1, Op::Add(2), "n1/1").done(2, Op::Add(3), "n2/3");
        let record = vec![led(1, "n1", 1, 0, Some(1)), led(2, "n2", 2, 2, None)];
        assert_eq!(
            found(&script, record),
            [
                "client 1 on n1 at 3.000 s (operation 3) was acknowledged, but n2 led then by the record, in \
                 term 2.",
                "client 2 on n2 at 5.000 s (operation 5) was acknowledged on timeline 3, which n2 did not \
                 write by the record.",
            ]
        );
    }

    #[test]
    fn a_record_that_contradicts_itself_is_found() {
        let script = Script::default();
        let two = |one, next| found(&script, vec![one, next]).len();
        assert_eq!(two(led(2, "n1", 1, 0, Some(3)), led(2, "n2", 2, 3, None)), 1);
        assert_eq!(two(led(1, "n1", 1, 0, Some(4)), led(2, "n2", 2, 3, None)), 1);
        assert_eq!(two(led(1, "n1", 1, 0, None), led(2, "n2", 2, 3, None)), 1);
        assert_eq!(two(led(1, "n1", 3, 0, Some(3)), led(2, "n2", 2, 3, None)), 1);
    }
}
