//! WAL ancestry: every acknowledged commit lies on the history of the timeline that the last primary is on.
//! Needs no read of what was written, and never looks at one.
//!
//! A stamp lies before its commit record: at or beyond the place where its timeline was left, the commit is not
//! on the final history, for certain.

use std::collections::HashMap;
use std::fmt;

use super::calls::Call;
use super::options::{Options, TimelineEnd};
use super::verdict::{Anomaly, Finding, Findings};
use super::{Judged, Sentence};

pub(crate) fn check(calls: &[Call<'_>], options: &Options) -> Judged {
    if options.final_timeline.is_empty() {
        return None;
    }
    let ends: HashMap<u32, Option<u64>> = options
        .final_timeline
        .iter()
        .map(|TimelineEnd { timeline, end }| (*timeline, *end))
        .collect();
    let mut findings = Findings::default();
    let (mut looked_at, mut unstamped) = (0, 0);
    for call in calls.iter().filter(|call| call.on_primary() && call.writes()) {
        let Some(stamp) = call.stamp else {
            unstamped += 1;
            continue;
        };
        looked_at += 1;
        let left = match ends.get(&stamp.timeline) {
            Some(None) => continue,
            Some(Some(end)) if stamp.lsn < *end => continue,
            Some(Some(end)) => format!("which was left at {}", Lsn(*end)),
            None => "which is no part of it".to_owned(),
        };
        let text = format!(
            "The commit acknowledged to {} was written at {} or later on timeline {}, {left}: it is not on \
             the final timeline's history.",
            call.who(),
            Lsn(stamp.lsn),
            stamp.timeline
        );
        findings.push(Finding::about(Anomaly::OffHistory, text, &[call]));
    }
    let reason = (unstamped > 0).then(|| {
        format!("{unstamped} acknowledged commits bear no stamp, so nobody knows where they are.")
    });
    Sentence::plain(findings.verdict_unless(reason), looked_at)
}

/// As Postgres writes it: 0/3000148.
struct Lsn(u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::tests::Script;
    use super::super::verdict::Verdict;
    use super::*;
    use crate::history::{Event, Op, Phase};

    fn judged(script: &Script) -> Verdict {
        let end = |timeline, end| TimelineEnd { timeline, end };
        let final_timeline = vec![end(1, Some(200)), end(3, None)];
        let options = Options { final_timeline, ..Options::default() };
        check(&script.calls(), &options).unwrap().verdict
    }

    #[test]
    fn commits_on_the_final_history_are_valid() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1/199").done(1, Op::Add(2), "n2/3/150");
        script.done(2, Op::All(Some(vec![])), "n1/2/900");
        assert!(judged(&script).is_valid());
        assert!(check(&script.calls(), &Options::default()).is_none());
    }

    #[test]
    fn commits_beyond_the_branch_or_on_another_one_are_found() {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1/1/200").done(1, Op::Add(2), "n2/2/100");
        let verdict = judged(&script);
        let texts: Vec<&str> = verdict.findings().iter().map(|finding| &finding.text[..]).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("at 0/C8 or later on timeline 1, which was left at 0/C8: "));
        assert!(texts[1].contains("on timeline 2, which is no part of it: "));
    }

    #[test]
    fn a_commit_without_a_stamp_is_not_known_to_be_there() {
        let event = |index, phase| {
            let op = Op::Add(1);
            Event { index, time: 0, process: 1, phase, op, stamp: None, error: None }
        };
        let script = Script { events: vec![event(0, Phase::Invoke), event(1, Phase::Ok)] };
        assert!(matches!(judged(&script), Verdict::Unknown { .. }));
    }
}
