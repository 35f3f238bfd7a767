//! The tree of WAL histories: who made which timeline, and what is a prefix of what. Knows no server.

use haa_core::line::{Fork, Line};
use haa_core::units::{Lsn, Position, SystemId, Term, Timeline};
use serde::Serialize;

/// One stretch of WAL that one server wrote on one timeline. Not a timeline number: in a broken world two
/// branches bear the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BranchId(pub u32);

/// A branch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Branch {
    /// The number that Postgres gave it.
    pub timeline: Timeline,
    /// What it was forked from, and where; `None` after initdb.
    pub parent: Option<(BranchId, Lsn)>,
    /// Which member made it.
    pub creator: usize,
    /// In which leadership; `None` after initdb, or by hand.
    pub term: Option<Term>,
    /// The database system.
    pub system: SystemId,
}

/// The WAL that a data directory holds: everything up to `end` of this branch and its ancestry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wal {
    /// The newest branch.
    pub branch: BranchId,
    /// Where it ends.
    pub end: Lsn,
}

/// Every branch that was ever made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Histories {
    branches: Vec<Branch>,
}

impl Histories {
    /// A new branch.
    pub fn grow(&mut self, branch: Branch) -> BranchId {
        self.branches.push(branch);
        BranchId(self.branches.len() as u32 - 1)
    }

    /// The branch.
    #[must_use]
    pub fn branch(&self, id: BranchId) -> &Branch {
        &self.branches[id.0 as usize]
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn all(&self) -> &[Branch] {
        &self.branches
    }

    /// As Postgres says it.
    #[must_use]
    pub fn position(&self, wal: Wal) -> Position {
        Position { timeline: self.branch(wal.branch).timeline, lsn: wal.end }
    }

    /// Whether `whole` holds every record of `part`.
    #[must_use]
    pub fn holds(&self, whole: Wal, part: Wal) -> bool {
        let mut at = whole;
        loop {
            if at.branch == part.branch {
                return part.end <= at.end;
            }
            match self.branch(at.branch).parent {
                // A timeline that holds nothing of its own yet is its parent.
                Some((parent, fork)) => at = Wal { branch: parent, end: fork.min(at.end) },
                None => return false,
            }
        }
    }

    /// Whether a timeline is this one, or comes of it.
    #[must_use]
    pub fn descends(&self, branch: BranchId, from: BranchId) -> bool {
        let parent = |at: &BranchId| Some(self.branch(*at).parent?.0);
        std::iter::successors(Some(branch), parent).any(|at| at == from)
    }

    /// As its history file has it.
    #[must_use]
    pub fn line(&self, branch: BranchId) -> Line {
        Line { timeline: self.branch(branch).timeline, forks: self.lineage(branch) }
    }

    /// Where `own` leaves what `theirs` holds, if it does: behind it, nothing of `own` is in `theirs`.
    #[must_use]
    pub fn left_at(&self, own: Wal, theirs: Wal) -> Option<Fork> {
        let mut at = own;
        loop {
            let begin = Wal { branch: at.branch, end: Lsn(0) };
            if self.holds(theirs, begin) {
                let timeline = self.branch(at.branch).timeline;
                let mut part = theirs;
                while part.branch != at.branch {
                    let (parent, fork) = self.branch(part.branch).parent?;
                    part = Wal { branch: parent, end: fork.min(part.end) };
                }
                return (part.end < own.end)
                    .then_some(Fork { timeline, lsn: at.end.min(part.end) });
            }
            let (parent, fork) = self.branch(at.branch).parent?;
            at = Wal { branch: parent, end: fork.min(at.end) };
        }
    }

    /// What of this WAL comes before that fork.
    #[must_use]
    pub fn before(&self, whole: Wal, fork: Fork) -> Option<Wal> {
        let parent = |at: &BranchId| Some(self.branch(*at).parent?.0);
        let mut all = std::iter::successors(Some(whole.branch), parent);
        let branch = all.find(|at| self.branch(*at).timeline == fork.timeline)?;
        Some(Wal { branch, end: fork.lsn })
    }

    /// The ancestry, oldest first, as a history file has it.
    #[must_use]
    pub fn lineage(&self, branch: BranchId) -> Vec<Fork> {
        let mut steps = Vec::new();
        let mut at = branch;
        while let Some((parent, lsn)) = self.branch(at).parent {
            steps.push(Fork { timeline: self.branch(parent).timeline, lsn });
            at = parent;
        }
        steps.reverse();
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(timeline: u32, parent: Option<(BranchId, Lsn)>) -> Branch {
        Branch { timeline: Timeline(timeline), parent, creator: 0, term: None, system: SystemId(1) }
    }

    #[test]
    fn a_fork_holds_what_came_before_it_and_no_more() {
        let mut all = Histories::default();
        let root = all.grow(branch(1, None));
        let left = all.grow(branch(2, Some((root, Lsn(100)))));
        let right = all.grow(branch(2, Some((root, Lsn(120)))));
        let wal = |branch, end| Wal { branch, end: Lsn(end) };
        assert!(all.holds(wal(left, 150), wal(root, 100)));
        assert!(!all.holds(wal(left, 150), wal(root, 101)));
        assert!(all.holds(wal(right, 150), wal(root, 120)));
        assert!(!all.holds(wal(right, 150), wal(left, 110)));
        assert!(!all.holds(wal(root, 500), wal(left, 110)));
        let left_at = |own, theirs| all.left_at(own, theirs).map(|at| (at.timeline.0, at.lsn.0));
        assert_eq!(left_at(wal(root, 130), wal(left, 150)), Some((1, 100)));
        assert_eq!(left_at(wal(right, 150), wal(left, 150)), Some((1, 100)));
        assert_eq!(left_at(wal(right, 150), wal(root, 130)), Some((1, 120)));
        assert_eq!(left_at(wal(root, 100), wal(left, 150)), None);
        assert_eq!(all.lineage(left), [Fork { timeline: Timeline(1), lsn: Lsn(100) }]);
    }
}
