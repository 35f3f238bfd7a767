//! What happened, counted, so that "no violation" is not "nothing happened". Judges nothing.

use std::collections::BTreeMap;
use std::fmt;

use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::reason::{Reason, Transition};

/// Counts.
#[derive(Clone, Debug, Default)]
pub struct Sometimes {
    counts: BTreeMap<&'static str, u64>,
    transitions: BTreeMap<(String, Reasoned), u64>,
}

/// A reason that can be a key of a map, in the order of its sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasoned(Reason);

impl PartialOrd for Reasoned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reasoned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.sentence().cmp(other.0.sentence())
    }
}

impl Sometimes {
    /// Once more.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How often.
    #[must_use]
    pub fn of(&self, what: &'static str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// A node changed its role.
    pub fn transition(&mut self, transition: &Transition) {
        let step = format!("{} -> {}", transition.from, transition.to);
        *self.transitions.entry((step, Reasoned(transition.reason))).or_default() += 1;
    }

    /// A job ended.
    pub fn job(&mut self, job: &Job, result: &JobResult) {
        let done = match result {
            JobResult::Done => 0,
            JobResult::Failed(_) => 1,
            JobResult::Aborted => 2,
        };
        let names = match job {
            Job::InitDb => ["initdb", "initdb failed", "initdb aborted"],
            Job::Clone(_) => ["clone", "clone failed", "clone aborted"],
            Job::Rewind(_) => ["rewind", "rewind failed", "rewind aborted"],
            Job::Start(..) => ["start", "start failed", "start aborted"],
            Job::Checkpoint => ["checkpoint", "checkpoint failed", "checkpoint aborted"],
            Job::Hold => ["hold", "hold failed", "hold aborted"],
            Job::Lower => ["lower", "lower failed", "lower aborted"],
            Job::Stop(_) => ["stop", "stop failed", "stop aborted"],
            Job::Follow(..) => ["follow", "follow failed", "follow aborted"],
            Job::Fetch { .. } => ["fetch", "fetch failed", "fetch aborted"],
            Job::Detach(_) => ["detach", "detach failed", "detach aborted"],
            Job::Promote { .. } => ["promote", "promote failed", "promote aborted"],
        };
        self.count(names[done]);
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (step, count) in &other.transitions {
            *self.transitions.entry(step.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Sometimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>10}  {what}")?;
        }
        for ((step, reason), count) in &self.transitions {
            writeln!(f, "{count:>10}  {step}: {}", reason.0)?;
        }
        Ok(())
    }
}
