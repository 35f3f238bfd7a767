//! Voters and grants: the words of `quorum`. Only the arithmetic; no election uses it in `async`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Incarnation, MemberName, Position, Revision, Term, Timeline, Token};

/// The voters V, the primary among them, and how many beside it have flushed an acknowledged commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voters {
    /// Names with the incarnation of their data.
    pub members: BTreeMap<MemberName, Incarnation>,
    /// How many beside the primary.
    pub k: u32,
}

impl Voters {
    /// `|V| - k`: any that many voters share one with the `k + 1` that hold an acknowledged commit (Q).
    #[must_use]
    pub fn grants_needed(&self) -> usize {
        self.members.len().saturating_sub(self.k as usize)
    }

    /// Half of the voters, rounded down: `k` unless the settings say otherwise.
    #[must_use]
    pub fn usual_k(voters: usize) -> u32 {
        u32::try_from(voters / 2).unwrap_or(u32::MAX)
    }
}

/// A voter's promise, written to its disk before it is given: "I have stopped receiving WAL from every
/// older term, my WAL ends here."
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The term that the candidate stands for.
    pub term: Term,
    /// Revision of the `term` key that the candidate wrote.
    pub revision: Revision,
    /// Of the attempt.
    pub token: Token,
    /// To whom.
    pub candidate: MemberName,
    /// The voter's data.
    pub incarnation: Incarnation,
    /// Where its WAL ends.
    pub position: Position,
    /// The highest timeline number that it saw anywhere.
    pub timeline_seen: Timeline,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(count: u64, k: u32) -> Voters {
        let members = (0..count)
            .map(|n| (format!("n{n}").parse().expect("a legal name"), Incarnation(n)))
            .collect();
        Voters { members, k }
    }

    #[test]
    fn every_quorum_of_grants_meets_every_acknowledgement() {
        for count in 1..=7 {
            for k in 0..u32::try_from(count).expect("small") {
                let voters = voters(count, k);
                let holders = k as usize + 1;
                assert!(voters.grants_needed() + holders > voters.members.len());
            }
        }
    }

    #[test]
    fn alone_means_only_itself() {
        assert_eq!(voters(1, 0).grants_needed(), 1);
    }
}
