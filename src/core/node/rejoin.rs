//! How our WAL lies beside the leader's: follow, rewind, or wait for more. Compared before anything connects (I10).

use crate::records::{Fork, MemberRole};
use crate::units::Position;

use super::belief::{Belief, Leader};

/// What comparing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Everything that we have is part of the leader's history.
    Part,
    /// We have WAL that the leader's history does not.
    Beyond,
    /// It cannot be said before the leader tells where it forked.
    NotYet,
}

impl Belief {
    /// Compare an exact position with the leader's history.
    pub(super) fn compare(&self, own: Position, leader: &Leader) -> Compared {
        if own.timeline == leader.timeline {
            return Compared::Part;
        }
        if own.timeline > leader.timeline {
            // Our WAL is younger than the leader that we know: it is our view that is old, not our data.
            return Compared::NotYet;
        }
        if own.timeline == leader.position.timeline && own.lsn <= leader.position.lsn {
            return Compared::Part;
        }
        match self.lineage(leader) {
            Some(lineage) => along(own, lineage),
            None => Compared::NotYet,
        }
    }

    /// The ancestry of the leader's timeline, once it has been promoted.
    fn lineage(&self, leader: &Leader) -> Option<&[Fork]> {
        let record = self.member(&leader.member)?;
        let open = record.role == MemberRole::Primary { term: leader.term };
        (open && record.timeline == Some(leader.timeline)).then_some(&record.lineage)
    }

    /// Whether the leader can be cloned from, rewound to and followed: it has told that it is open.
    pub(super) fn is_open(&self, leader: &Leader) -> bool {
        self.lineage(leader).is_some()
    }
}

fn along(own: Position, lineage: &[Fork]) -> Compared {
    match lineage.iter().find(|fork| fork.timeline == own.timeline) {
        Some(fork) if own.lsn <= fork.lsn => Compared::Part,
        Some(_) | None => Compared::Beyond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Lsn, Timeline};

    fn at(timeline: u32, lsn: u64) -> Position {
        Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    fn fork(timeline: u32, lsn: u64) -> Fork {
        Fork { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    #[test]
    fn at_the_fork_is_part_and_one_byte_beyond_is_not() {
        let lineage = [fork(1, 100), fork(2, 200)];
        assert_eq!(along(at(1, 100), &lineage), Compared::Part);
        assert_eq!(along(at(1, 101), &lineage), Compared::Beyond);
        assert_eq!(along(at(2, 150), &lineage), Compared::Part);
    }

    #[test]
    fn a_timeline_that_the_leader_never_had_is_beyond() {
        assert_eq!(along(at(3, 50), &[fork(1, 100), fork(2, 200)]), Compared::Beyond);
    }
}
