//! What a judge may say, and the sentences it says it with. Never looks at a history.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::calls::Call;

/// What came out of one check, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was looked at is as promised.
    Valid,
    /// Something is not.
    Invalid {
        /// The first of what was found, of each sort.
        findings: Vec<Finding>,
        /// How much more was found and is not told.
        more: usize,
    },
    /// It could not be said.
    Unknown {
        /// Why not.
        reason: String,
    },
}

impl Verdict {
    /// Whether an operator may trust what was tried. Not knowing is not enough.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid)
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid { .. } => "invalid",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// What was found, as far as it is told.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Invalid { findings, .. } => findings,
            Self::Valid | Self::Unknown { .. } => &[],
        }
    }

    /// How much more was found.
    pub(crate) fn untold(&self) -> usize {
        match self {
            Self::Invalid { more, .. } => *more,
            Self::Valid | Self::Unknown { .. } => 0,
        }
    }
}

/// One thing that should not have been seen, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is called.
    pub anomaly: Anomaly,
    /// What happened, for one who operates Postgres.
    pub text: String,
    /// Indices in the history of the operations' last events.
    pub ops: Vec<u64>,
    /// The clients that took part.
    pub processes: Vec<u32>,
    /// The members that answered.
    pub members: Vec<String>,
    /// Nanoseconds since the run began: the first beginning of those operations.
    pub from: u64,
    /// And their last end.
    pub to: u64,
}

impl Finding {
    pub(crate) fn about(anomaly: Anomaly, text: String, calls: &[&Call<'_>]) -> Self {
        let processes: BTreeSet<u32> = calls.iter().map(|call| call.process).collect();
        let members: BTreeSet<String> =
            calls.iter().filter_map(|call| call.stamp).map(|stamp| stamp.member.clone()).collect();
        Self {
            anomaly,
            text,
            ops: calls.iter().map(|call| call.index).collect(),
            processes: processes.into_iter().collect(),
            members: members.into_iter().collect(),
            from: calls.iter().map(|call| call.began_at).min().unwrap_or(0),
            to: calls.iter().map(|call| call.ended_at).max().unwrap_or(0),
        }
    }
}

/// What a finding is called. The classes with a G are Adya's, as Elle names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Anomaly {
    /// Acknowledged, and not there in the end.
    Lost,
    /// There, though nobody wrote it, or its write had failed.
    Phantom,
    /// There twice.
    Duplicate,
    /// A read missed what was acknowledged before it began.
    Stale,
    /// Read by somebody and gone in the end.
    Exposed,
    /// Two reads of one list that no single order of appends explains.
    IncompatibleOrder,
    /// Transactions that overwrote each other in a circle.
    G0,
    /// A read of what was rolled back.
    G1a,
    /// A read of the middle of a transaction.
    G1b,
    /// A circle of writes and reads of what was written.
    G1c,
    /// A circle with one read of what was overwritten: read skew.
    GSingle,
    /// A circle with several such reads, none after another. A long fork is one.
    GNonadjacent,
    /// A circle with such reads one after another: write skew.
    G2Item,
    /// A transaction that contradicts itself.
    Internal,
    /// Two updates made from one and the same state.
    LostUpdate,
    /// A committed write on top of one that was rolled back.
    DirtyUpdate,
    /// A circle of which the class was not found.
    Cycle,
    /// No order of operations explains what a register answered.
    NotLinearizable,
    /// Money appeared or vanished.
    Total,
    /// A client did not see its own write.
    ReadYourWrites,
    /// A client saw less than it had seen before.
    MonotonicReads,
    /// Two members acknowledged in windows that overlap.
    TwoWriters,
    /// An acknowledged commit that is not on the final timeline's history.
    OffHistory,
    /// The cluster's record contradicts itself, or what clients saw.
    Record,
    /// An operator was told what the cluster does not show, or nothing came of an order that was to be followed.
    Operation,
}

/// How many findings of one check are told of each sort: many of one must not hide the only one of another.
const TOLD: usize = 10;

/// Collects what a check finds, and tells the first of each sort.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    told: Vec<Finding>,
    more: usize,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        let alike = self.told.iter().filter(|told| told.anomaly == finding.anomaly).count();
        if alike < TOLD {
            self.told.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn told(self) -> Vec<Finding> {
        self.told
    }

    pub(crate) fn verdict(self) -> Verdict {
        if self.told.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Invalid { findings: self.told, more: self.more }
        }
    }

    /// Found is found; but where nothing was, not everything could be looked at.
    pub(crate) fn verdict_unless(self, reason: Option<String>) -> Verdict {
        match (self.verdict(), reason) {
            (Verdict::Valid, Some(reason)) => Verdict::Unknown { reason },
            (verdict, _) => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_one_sort_do_not_hide_another() {
        let mut findings = Findings::default();
        for number in 0..100 {
            findings.push(Finding::about(Anomaly::Phantom, number.to_string(), &[]));
        }
        findings.push(Finding::about(Anomaly::Lost, "lost".into(), &[]));
        let Verdict::Invalid { findings, more } = findings.verdict() else { panic!("invalid") };
        assert_eq!((findings.len(), more), (11, 90));
        assert_eq!(findings[10].anomaly, Anomaly::Lost);
    }
}
