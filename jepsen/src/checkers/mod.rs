//! The judges, one file each, and what they say together. They know what clients saw, and touch no cluster.

pub mod options;
pub mod verdict;

mod ancestry;

mod bank;
mod calls;
mod cases;
mod deposed;
mod elements;
mod elle;
mod exposure;
mod lists;
mod outage;
mod presence;
mod record;
mod register;
mod sessions;
mod set;
mod tenures;
mod told;
mod wgl;

use std::collections::HashSet;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::history::{Event, Phase};
use calls::Call;
pub use cases::{Case, OfWorkload, judge_all};
pub use deposed::deposed_reads;
pub use options::{Exposure, Isolation, Leadership, Options, ReplicaReads, TimelineEnd};
pub use outage::{lost, outage_ns};
pub use tenures::{Tenure, overlap_ns, tenures};
pub use verdict::{Anomaly, Finding, Verdict};

/// A judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checker {
    /// A set: lost, phantom, duplicate and stale elements.
    Set,
    /// Lists: the same of their elements.
    Lists,
    /// Transactions over lists: Elle's anomalies.
    Append,
    /// Registers: linearizable, each by itself.
    Register,
    /// A bank: the total, and what the transfers explain.
    Bank,
    /// Reads on replicas: a client's own writes, and never backwards.
    Sessions,
    /// I1: no two members acknowledge in windows that overlap.
    OneWriter,
    /// Every acknowledged commit lies on the final timeline's history.
    Ancestry,
    /// What anybody read is there in the end.
    Exposure,
    /// The cluster's own record against itself and against what clients saw.
    Record,
}

impl Checker {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::Set,
        Self::Lists,
        Self::Append,
        Self::Register,
        Self::Bank,
        Self::Sessions,
        Self::OneWriter,
        Self::Ancestry,
        Self::Exposure,
        Self::Record,
    ];

    /// What it looks for, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Set => "set: every acknowledged element is there, once",
            Self::Lists => "lists: every acknowledged append is there, once",
            Self::Append => "transactions over lists: Elle's anomalies",
            Self::Register => "registers: linearizable, key by key",
            Self::Bank => "bank: the total never changes",
            Self::Sessions => "replicas: own writes are read, and never backwards",
            Self::OneWriter => "one writer: acknowledgements of two members never interleave",
            Self::Ancestry => "ancestry: acknowledged commits lie on the final timeline's history",
            Self::Exposure => "exposure: what was read by anybody is there in the end",
            Self::Record => "record: who led, against what clients saw",
        }
    }

    /// Whether it looks at who acknowledged when, and not at what became of it: an operator who accepts a loss gives
    /// nothing of that up.
    fn is_of_writers(self) -> bool {
        matches!(self, Self::OneWriter | Self::Record)
    }

    fn check(self, calls: &[Call<'_>], options: &Options) -> Judged {
        match self {
            Self::Set => set::check(calls, options),
            Self::Lists => lists::check(calls, options),
            Self::Append => elle::check(calls, options),
            Self::Register => register::check(calls, options),
            Self::Bank => bank::check(calls, options),
            Self::Sessions => sessions::check(calls, options),
            Self::OneWriter => tenures::check(calls),
            Self::Ancestry => ancestry::check(calls, options),
            Self::Exposure => exposure::check(calls, options),
            Self::Record => record::check(calls, options),
        }
    }
}

/// What one judge has to say: `None` when there was nothing for it to look at.
pub(crate) type Judged = Option<Sentence>;

/// A verdict, with what is told apart and fails nothing.
#[derive(Debug)]
pub(crate) struct Sentence {
    pub(crate) verdict: Verdict,
    pub(crate) apart: Vec<Finding>,
    /// How many operations were looked at.
    pub(crate) looked_at: usize,
}

impl Sentence {
    pub(crate) fn plain(verdict: Verdict, looked_at: usize) -> Judged {
        Some(Self { verdict, apart: Vec::new(), looked_at })
    }
}

/// What one judge said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Which one.
    pub checker: Checker,
    /// Which of several workloads it looked at; without it at that of the run, or at all of them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Its verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What fails nothing and should be known: what Postgres itself is known for, and counted exposure.
    pub apart: Vec<Finding>,
    /// How many operations it looked at.
    pub looked_at: usize,
    /// How long it took.
    pub took_ms: u64,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Acknowledged.
    pub ok: usize,
    /// Did not take place.
    pub fail: usize,
    /// Nobody knows.
    pub unknown: usize,
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            ok: sum.ok + one.ok,
            fail: sum.fail + one.fail,
            unknown: sum.unknown + one.unknown,
        })
    }
}

/// The judgement of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Valid only if every judge says so; the findings are those of all of them.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What each judge said; one that had nothing to look at is not here.
    pub checks: Vec<Checked>,
    /// How the operations ended.
    pub counts: Counts,
    /// What it comes to for each workload, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<OfWorkload>,
}

impl Report {
    /// Adds what was found elsewhere: it fails the run as what a judge finds.
    pub fn add(&mut self, found: Vec<Finding>) {
        if found.is_empty() {
            return;
        }
        let more = self.verdict.untold();
        let findings = self.verdict.findings().iter().cloned().chain(found).collect();
        self.verdict = Verdict::Invalid { findings, more };
    }
}

/// What one model of consistency is demanded of: without what was read at replicas and at deposed primaries, which may
/// lie in the past, and where an operator accepted a loss, with what was acknowledged before as unknown.
#[must_use]
pub fn of_primaries(history: &[Event], options: &Options) -> Vec<Event> {
    let late = deposed::read_as_replicas(history, options);
    let history = late.as_deref().unwrap_or(history);
    let calls = calls::pair(history).unwrap_or_default();
    let on_replicas = calls.iter().filter(|call| call.on_replica());
    let left: HashSet<usize> = on_replicas.flat_map(|call| [call.began, call.ended]).collect();
    let kept = options.loss_accepted.map(|until| calls::given_up(history, until));
    let kept = kept.as_deref().unwrap_or(history).iter().enumerate();
    kept.filter(|(place, _)| !left.contains(place)).map(|(_, event)| event.clone()).collect()
}

/// Judges a history by all that can be judged of it.
pub fn judge(history: &[Event], options: &Options) -> Report {
    let late = deposed::read_as_replicas(history, options);
    let history = late.as_deref().unwrap_or(history);
    let calls = match calls::pair(history) {
        Ok(calls) => calls,
        Err(reason) => {
            let verdict = Verdict::Unknown { reason: format!("The history is damaged: {reason}.") };
            return Report {
                verdict,
                checks: Vec::new(),
                counts: Counts::default(),
                workloads: Vec::new(),
            };
        }
    };
    let kept = options.loss_accepted.map(|until| calls::given_up(history, until));
    let kept = kept.as_deref().and_then(|kept| calls::pair(kept).ok());
    let checks: Vec<Checked> = Checker::ALL
        .into_iter()
        .filter_map(|checker| {
            let kept = kept.as_ref().filter(|_| !checker.is_of_writers());
            timed(checker, kept.unwrap_or(&calls), options)
        })
        .collect();
    let counts = count(history, calls.len());
    Report { verdict: together(&checks, counts, options), checks, counts, workloads: Vec::new() }
}

fn timed(checker: Checker, calls: &[Call<'_>], options: &Options) -> Option<Checked> {
    let began = Instant::now();
    let Sentence { verdict, apart, looked_at } = checker.check(calls, options)?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Some(Checked { checker, workload: None, verdict, apart, looked_at, took_ms })
}

fn count(history: &[Event], calls: usize) -> Counts {
    let ended = |phase: Phase| history.iter().filter(|event| event.phase == phase).count();
    let (ok, fail) = (ended(Phase::Ok), ended(Phase::Fail));
    Counts { ok, fail, unknown: calls - ok - fail }
}

fn together(checks: &[Checked], counts: Counts, options: &Options) -> Verdict {
    let findings: Vec<Finding> =
        checks.iter().flat_map(|check| check.verdict.findings()).cloned().collect();
    if !findings.is_empty() {
        return Verdict::Invalid {
            findings,
            more: checks.iter().map(|check| check.verdict.untold()).sum(),
        };
    }
    let mut reasons: Vec<String> = Vec::new();
    if counts.ok == 0 {
        reasons.push(
            "Nothing was acknowledged: a run in which nothing happens proves nothing.".into(),
        );
    }
    for check in checks {
        if let Verdict::Unknown { reason } = &check.verdict {
            reasons.push(reason.clone());
        }
    }
    for wanted in &options.demanded {
        if !checks.iter().any(|check| check.checker == *wanted) {
            reasons.push(format!("Nothing was there to judge this by: {}.", wanted.title()));
        }
    }
    if reasons.is_empty() { Verdict::Valid } else { Verdict::Unknown { reason: reasons.join(" ") } }
}

#[cfg(test)]
mod tests;
