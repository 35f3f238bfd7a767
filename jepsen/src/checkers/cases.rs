//! The workloads of one run, judged: each by itself, and by all of them together whether two members wrote at once.
//! Never judges what one workload saw by what another did.

use serde::{Deserialize, Serialize};

use super::calls::{Call, pair};
use super::{Checked, Checker, Counts, Finding, Options, Report, Verdict, judge, timed};
use crate::history::Event;

/// What the clients of one workload saw, and what that is judged by.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the workload is called.
    pub workload: String,
    /// What its clients did and saw.
    pub history: Vec<Event>,
    /// What was promised.
    pub options: Options,
}

/// What a run comes to for one of its workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfWorkload {
    /// What it is called.
    pub workload: String,
    /// What its judges say, in one word.
    pub verdict: String,
    /// How its operations ended.
    pub counts: Counts,
}

/// Judges all workloads of a run: valid only if each is. What several have to say names the workload.
#[must_use]
pub fn judge_all(cases: &[Case]) -> Report {
    if let [only] = cases {
        return judge(&only.history, &only.options);
    }
    let (mut checks, mut said, mut workloads) = (Vec::new(), Vec::new(), Vec::new());
    for Case { workload, history, options } in cases {
        let report = judge(history, options);
        let own = |check: Checked| Checked { workload: Some(workload.clone()), ..check };
        checks.extend(report.checks.into_iter().map(own));
        let (verdict, counts) = (report.verdict.word().to_owned(), report.counts);
        workloads.push(OfWorkload { workload: workload.clone(), verdict, counts });
        said.push(named(workload, report.verdict));
    }
    if let Some(check) = timed(Checker::OneWriter, &together(cases), &Options::default()) {
        said.push(named("all", check.verdict.clone()));
        checks.push(check);
    }
    let counts = workloads.iter().map(|one| one.counts).sum();
    Report { verdict: of_all(&said), checks, counts, workloads }
}

fn named(workload: &str, mut verdict: Verdict) -> Verdict {
    match &mut verdict {
        Verdict::Valid => {}
        Verdict::Invalid { findings, .. } => {
            findings.iter_mut().for_each(|one| one.text = format!("{workload}: {}", one.text));
        }
        Verdict::Unknown { reason } => *reason = format!("{workload}: {reason}"),
    }
    verdict
}

fn of_all(said: &[Verdict]) -> Verdict {
    let findings: Vec<Finding> = said.iter().flat_map(Verdict::findings).cloned().collect();
    if !findings.is_empty() {
        return Verdict::Invalid { findings, more: said.iter().map(Verdict::untold).sum() };
    }
    let reasons = said.iter().filter_map(|verdict| match verdict {
        Verdict::Unknown { reason } => Some(reason.as_str()),
        Verdict::Valid | Verdict::Invalid { .. } => None,
    });
    match reasons.collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => Verdict::Valid,
        reason => Verdict::Unknown { reason },
    }
}

/// The operations of all workloads, in the order of the run's one clock. A history that is damaged is left out: it
/// leaves its workload unknown.
fn together(cases: &[Case]) -> Vec<Call<'_>> {
    let mut events: Vec<(u64, usize, usize)> = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let places = case.history.iter().enumerate();
        events.extend(places.map(|(place, event)| (event.time, number, place)));
    }
    events.sort_unstable();
    let mut ranks: Vec<Vec<usize>> = cases.iter().map(|case| vec![0; case.history.len()]).collect();
    for (rank, (_, number, place)) in events.into_iter().enumerate() {
        ranks[number][place] = rank;
    }
    let mut all = Vec::new();
    for (case, ranks) in cases.iter().zip(ranks) {
        let rank = |place: usize| ranks.get(place).copied().unwrap_or(usize::MAX);
        let calls = pair(&case.history).unwrap_or_default().into_iter();
        all.extend(calls.map(|call| Call {
            began: rank(call.began),
            ended: rank(call.ended),
            ..call
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::Anomaly;
    use super::super::calls::tests::Script;
    use super::*;
    use crate::history::Op;

    fn case(workload: &str, script: &Script) -> Case {
        let history = script.events.clone();
        Case { workload: workload.to_owned(), history, options: Options::default() }
    }

    fn set(last: &[u64]) -> Script {
        let mut script = Script::default();
        script.done(1, Op::Add(1), "n1").done(2, Op::All(Some(last.to_vec())), "n1");
        script
    }

    fn bank() -> Script {
        let mut script = Script::default();
        script.done(7, Op::Transfer { from: 0, to: 1, amount: 2 }, "n1");
        script.done(8, Op::Balances(Some(vec![8, 12])), "n1");
        script
    }

    #[test]
    fn a_run_is_valid_only_if_each_of_its_workloads_is() {
        let report = judge_all(&[case("set", &set(&[1])), case("bank", &bank())]);
        assert_eq!(report.verdict, Verdict::Valid, "{report}");
        assert_eq!(report.counts, Counts { ok: 4, fail: 0, unknown: 0 });

        let report = judge_all(&[case("set", &set(&[])), case("bank", &bank())]);
        let [lost] = report.verdict.findings() else { panic!("{report}") };
        assert_eq!(lost.anomaly, Anomaly::Lost);
        assert!(lost.text.starts_with("set: 1 in the set was acknowledged"), "{}", lost.text);
        let words = report.workloads.iter().map(|one| (&one.workload[..], &one.verdict[..]));
        assert_eq!(words.collect::<Vec<_>>(), [("set", "invalid"), ("bank", "valid")]);
        let of_bank = report.checks.iter().filter(|one| one.workload.as_deref() == Some("bank"));
        assert!(of_bank.into_iter().all(|check| check.verdict.is_valid()), "{report}");

        let report = judge_all(&[case("set", &set(&[1])), case("bank", &Script::default())]);
        let Verdict::Unknown { reason } = &report.verdict else { panic!("{report}") };
        assert!(reason.starts_with("bank: Nothing was acknowledged"), "{reason}");
    }

    #[test]
    fn two_members_that_write_for_two_workloads_at_once_are_found() {
        let (mut set, mut bank) = (Script::default(), Script::default());
        let pay = || Op::Transfer { from: 0, to: 1, amount: 2 };
        set.done(1, Op::Add(1), "n1").done(1, Op::Add(2), "n1");
        set.done(1, Op::All(Some(vec![1, 2])), "n1");
        bank.done(7, pay(), "n2/2").done(7, pay(), "n2/2");
        bank.done(8, Op::Balances(Some(vec![6, 14])), "n2/2");
        let cases = [case("set", &set), case("bank", &bank)];
        assert!(cases.iter().all(|case| judge(&case.history, &case.options).verdict.is_valid()));
        let report = judge_all(&cases);
        let [found] = report.verdict.findings() else { panic!("{report}") };
        assert_eq!(found.anomaly, Anomaly::TwoWriters);
        assert!(found.text.starts_with("all: Two primaries"), "{}", found.text);
        // One after the other.
        for event in &mut set.events {
            event.time += 6_000_000_000;
        }
        let report = judge_all(&[case("set", &set), case("bank", &bank)]);
        assert_eq!(report.verdict, Verdict::Valid, "{report}");
    }

    #[test]
    fn one_workload_alone_is_not_named() {
        let report = judge_all(&[case("set", &set(&[]))]);
        assert_eq!(report.verdict, judge(&set(&[]).events, &Options::default()).verdict);
        assert!(report.checks.iter().all(|check| check.workload.is_none()));
        assert!(report.workloads.is_empty());
    }
}
