//! Voters, attempts and grants: the words of `quorum`. Only arithmetic; the decisions are in `node`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::list::List;
use crate::records::SyncRecord;
use crate::settings::Durability;
use crate::units::{Incarnation, MemberName, Millis, Position, Revision, Term, Token};

/// An attempt to lead, as `term` shows it: what a grant is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Who stands.
    pub candidate: MemberName,
    /// The term that it stands for.
    pub term: Term,
    /// Revision of the `term` key that says so.
    pub revision: Revision,
    /// Of the attempt.
    pub token: Token,
}

/// A voter's answer to an attempt, after it was promised on disk: "I have stopped receiving WAL from every older
/// term, and mine ends here."
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// To what.
    pub attempt: Attempt,
    /// The voter's data.
    pub incarnation: Incarnation,
    /// Where its WAL ends.
    pub position: Position,
}

/// What a primary asks of every member when it cannot reach the store: to let it go on. Who says yes promises not to
/// stand, to vote nobody down and to grant nobody for `ttl`, from the instant at which it heard the question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Question {
    /// Who asks.
    pub leader: MemberName,
    /// Its leadership.
    pub term: Term,
    /// The run of its agent: the numbers are of that run.
    pub run: u64,
    /// Counts up, with a later instant behind each.
    pub number: u64,
    /// For how long.
    pub ttl: Millis,
}

/// What outlives an agent, written to its disk before anybody is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Promises {
    /// The last attempt that was granted. No clock ends it: only `term` in the store does.
    pub grant: Option<Attempt>,
    /// The highest term seen in the store.
    pub term: Term,
    /// The highest version of `sync` seen in the store.
    pub sync_version: u64,
    /// The last question of a primary without a store that was answered with yes, while that promise runs.
    pub failsafe: Option<Question>,
}

/// `|V| / 2` rounded down: how many beside the primary flush a commit, unless the settings say otherwise.
#[must_use]
pub fn usual_k(voters: usize) -> u32 {
    u32::try_from(voters / 2).unwrap_or(u32::MAX)
}

impl SyncRecord {
    /// Whether acknowledged commits rest on voters.
    #[must_use]
    pub fn is_quorum(&self) -> bool {
        self.durability == Durability::Quorum
    }

    /// `|V| - k`: any that many voters share one with the `k + 1` that hold an acknowledged commit (Q).
    #[must_use]
    pub fn grants_needed(&self) -> usize {
        self.voters.len().saturating_sub(self.k as usize).max(1)
    }

    /// Whether this member's data are a voter's.
    #[must_use]
    pub fn has_voter(&self, name: &MemberName, incarnation: Option<Incarnation>) -> bool {
        incarnation.is_some() && self.voters.get(name).copied() == incarnation
    }

    /// The voters beside the primary.
    #[must_use]
    pub fn other_voters(&self) -> BTreeMap<MemberName, Incarnation> {
        let others = self.voters.iter().filter(|(name, _)| **name != self.primary);
        others.map(|(name, incarnation)| (name.clone(), *incarnation)).collect()
    }

    /// The list of a primary under this record.
    #[must_use]
    pub fn list(&self) -> List {
        let names = self.other_voters();
        if names.is_empty() || self.k == 0 { List::Nothing } else { List::Any { k: self.k, names } }
    }

    /// Whether every commit that `list` acknowledges is on `k` of the other voters (I6).
    #[must_use]
    pub fn is_kept_by(&self, list: &List) -> bool {
        match list {
            List::Nobody => true,
            List::Nothing => self.k == 0,
            List::Any { k, names } | List::FirstPadded { k, names } => {
                let voter = |(name, incarnation): (&MemberName, &Incarnation)| {
                    *name != self.primary && self.voters.get(name) == Some(incarnation)
                };
                *k >= self.k && (self.k == 0 || names.iter().all(voter))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;

    fn record(count: u64, k: u32) -> SyncRecord {
        let name = |n: u64| format!("n{n}").parse::<MemberName>().expect("a legal name");
        SyncRecord {
            version: 1,
            term: Term(1),
            primary: name(0),
            line: Line::default(),
            durability: Durability::Quorum,
            voters: (0..count).map(|n| (name(n), Incarnation(n))).collect(),
            k,
            members: BTreeMap::new(),
            standby: None,
        }
    }

    #[test]
    fn every_quorum_of_grants_meets_every_acknowledgement() {
        for count in 1..=7 {
            for k in 0..u32::try_from(count).expect("small") {
                let record = record(count, k);
                let holders = k as usize + 1;
                assert!(record.grants_needed() + holders > record.voters.len());
            }
        }
    }

    #[test]
    fn alone_means_only_itself_and_a_commit_waits_for_nobody() {
        assert_eq!(record(1, 0).grants_needed(), 1);
        assert_eq!(record(1, 0).list(), List::Nothing);
    }

    #[test]
    fn a_record_is_kept_by_its_own_list_and_by_stricter_ones_only() {
        let three = record(3, 1);
        let all = record(4, 1).other_voters();
        let any =
            |k, count: usize| List::Any { k, names: all.clone().into_iter().take(count).collect() };
        assert!(three.is_kept_by(&three.list()) && three.is_kept_by(&List::Nobody));
        assert!(three.is_kept_by(&any(1, 1)) && three.is_kept_by(&any(2, 2)));
        assert!(!three.is_kept_by(&any(1, 3)) && !three.is_kept_by(&List::Nothing));
        assert!(!record(3, 2).is_kept_by(&any(1, 2)));
    }
}
