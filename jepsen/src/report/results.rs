//! The figures of a run, as `results.json` has them. Never rounds what is lost to nothing.

use serde::{Deserialize, Serialize};

use super::Run;
use crate::checkers::{Checked, Counts, OfWorkload, Verdict};
use crate::history::{Event, Op, Phase, Step};

/// `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What the run was.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    /// What the judges say; a fault without proof leaves it unknown.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What each judge said.
    pub checks: Vec<Checked>,
    /// How the operations ended.
    pub counts: Counts,
    /// What the judges say of each workload, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<OfWorkload>,
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
    /// Operations that were acknowledged, a second, over all of that time.
    #[serde(default)]
    pub acknowledged_per_second: f64,
    /// How long acknowledged operations took.
    pub latency: Latencies,
    /// The longest time between two acknowledged writes, in milliseconds.
    pub longest_write_gap_ms: u64,
    /// What was broken.
    pub faults: Vec<Broken>,
    /// What found nothing to break.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// Kinds of faults that were asked for and of which none struck.
    #[serde(default)]
    pub never_struck: Vec<String>,
}

/// Milliseconds, at what share of the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// All but one of a hundred.
    pub p99_ms: f64,
    /// All.
    pub max_ms: f64,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// What, and whom it met.
    pub name: String,
    /// Milliseconds since the run began.
    pub from_ms: u64,
    /// When it was healed.
    pub to_ms: Option<u64>,
    /// What shows that it acted.
    pub proof: Option<String>,
}

/// A fault that found nothing to break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which, as the schedule has it.
    pub name: String,
    /// When it was given up, milliseconds since the run began.
    pub at_ms: u64,
}

/// An operation that ended, for the pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) phase: Phase,
    pub(super) writes: bool,
}

impl Answer {
    pub(super) fn took(&self) -> u64 {
        self.answered.saturating_sub(self.asked)
    }
}

/// Questions and answers together. What never ended is no answer.
pub(super) fn answers(events: &[Event]) -> Vec<Answer> {
    let mut asked = std::collections::HashMap::new();
    let mut answers = Vec::with_capacity(events.len() / 2);
    for event in events {
        if event.phase == Phase::Invoke {
            asked.insert(event.process, event.time);
        } else if let Some(asked) = asked.remove(&event.process) {
            let (answered, phase, writes) = (event.time, event.phase, writes(&event.op));
            answers.push(Answer { asked, answered, phase, writes });
        }
    }
    answers
}

fn writes(op: &Op) -> bool {
    match op {
        Op::Txn(steps) => steps.iter().any(|step| matches!(step, Step::Append { .. })),
        Op::Put { .. } | Op::Cas { .. } | Op::Transfer { .. } | Op::Add(_) => true,
        Op::Get { .. } | Op::Balances(_) | Op::All(_) => false,
    }
}

pub(super) fn of(run: &Run) -> Results {
    let answers = answers(&run.events);
    let millis = |nanos: u64| nanos / 1_000_000;
    let broken = |fault: &super::Fault| Broken {
        name: fault.name.clone(),
        from_ms: millis(fault.from),
        to_ms: fault.to.map(millis),
        proof: fault.proof.clone(),
    };
    let skipped = |(name, at): &(String, u64)| Skipped { name: name.clone(), at_ms: millis(*at) };
    Results {
        title: run.title.clone(),
        command: run.command.clone(),
        verdict: run.verdict(),
        checks: run.judgement.checks.clone(),
        counts: run.judgement.counts,
        workloads: run.judgement.workloads.clone(),
        duration_ms: millis(run.end()),
        acknowledged_per_second: rate(run.judgement.counts.ok, millis(run.end())),
        latency: latencies(&answers),
        longest_write_gap_ms: millis(longest_gap(&answers)),
        faults: run.faults.iter().map(broken).collect(),
        skipped: run.skipped.iter().map(skipped).collect(),
        never_struck: run.never.clone(),
    }
}

/// A second, with one digit.
fn rate(amount: usize, duration_ms: u64) -> f64 {
    let seconds = super::scale::float(duration_ms.max(1)) / 1000.0;
    (super::scale::float(amount as u64) / seconds * 10.0).round() / 10.0
}

fn latencies(answers: &[Answer]) -> Latencies {
    let mut took: Vec<f64> = answers
        .iter()
        .filter(|answer| answer.phase == Phase::Ok)
        .map(|answer| super::scale::float(answer.took() / 1000) / 1000.0)
        .collect();
    took.sort_by(f64::total_cmp);
    let share = |percent| percentile(&took, percent).unwrap_or(0.0);
    Latencies { p50_ms: share(50), p90_ms: share(90), p99_ms: share(99), max_ms: share(100) }
}

fn longest_gap(answers: &[Answer]) -> u64 {
    let mut acked: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.writes && answer.phase == Phase::Ok)
        .map(|answer| answer.answered)
        .collect();
    acked.sort_unstable();
    acked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

/// The smallest of sorted amounts that no less than this share of them does not exceed: one of them, always.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_amounts() {
        let ten: Vec<u64> = (1..=10).collect();
        let share = |percent| percentile(&ten, percent);
        assert_eq!(
            [share(50), share(90), share(99), share(100)].map(Option::unwrap),
            [5, 9, 10, 10]
        );
        assert_eq!((percentile(&[7], 50), percentile::<u64>(&[], 50)), (Some(7), None));
    }

    #[test]
    fn a_rate_is_of_all_the_time() {
        assert_eq!((rate(1234, 10_000), rate(0, 0)), (123.4, 0.0));
    }

    #[test]
    fn the_longest_gap_is_between_acknowledged_writes() {
        let answer = |answered, phase, writes| Answer { asked: 0, answered, phase, writes };
        let answers = [
            answer(1, Phase::Ok, true),
            answer(50, Phase::Fail, true),
            answer(60, Phase::Ok, false),
            answer(101, Phase::Ok, true),
            answer(110, Phase::Ok, true),
        ];
        assert_eq!(longest_gap(&answers), 100);
    }
}
