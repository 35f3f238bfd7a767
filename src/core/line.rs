//! A timeline with its ancestry: whose WAL is part of whose. Compares; never decides what follows.

use serde::{Deserialize, Serialize};

use crate::units::{Lsn, Position, Timeline};

/// So many steps of an ancestry are kept and told, the newest.
pub const STEPS: usize = 64;

/// One step of a timeline's ancestry, as in Postgres' history files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fork {
    /// The timeline that was left.
    pub timeline: Timeline,
    /// Where it was left.
    pub lsn: Lsn,
}

/// A timeline and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The newest timeline.
    pub timeline: Timeline,
    /// Its ancestry, oldest first; empty when it has none, or none is known.
    pub forks: Vec<Fork>,
}

/// Where some WAL lies beside a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// All of it is part of the line.
    Part,
    /// It left the line: on a timeline of it, past the fork.
    Past,
    /// Its timeline is not one of the line's, though it may bear the same number.
    Elsewhere,
}

impl Line {
    /// The line of a leadership that leaves this one at `lsn`, onto `timeline`.
    #[must_use]
    pub fn fork(mut self, lsn: Lsn, timeline: Timeline) -> Self {
        self.forks.push(Fork { timeline: self.timeline, lsn });
        let old = self.forks.len().saturating_sub(STEPS);
        self.forks.drain(..old);
        Self { timeline, forks: self.forks }
    }

    /// Where this timeline begins, if WAL that ends at `end` ends exactly there: what comes next is this timeline's.
    #[must_use]
    pub fn begins_at(&self, end: Position) -> Option<Lsn> {
        let fork = self.forks.last()?;
        (fork.timeline == end.timeline && fork.lsn == end.lsn).then_some(fork.lsn)
    }

    /// The last place that this line shares with `theirs`, if there can be something behind it on this one.
    #[must_use]
    pub fn left_at(&self, theirs: &Self) -> Option<Fork> {
        let mut end = Lsn(u64::MAX);
        let mut part = self.clone();
        loop {
            match theirs.beside(&part, end) {
                // All of ours, however far it goes.
                Beside::Part if end == Lsn(u64::MAX) => return None,
                Beside::Part => return Some(Fork { timeline: part.timeline, lsn: end }),
                Beside::Past => {
                    let left = theirs.forks.iter().find(|fork| fork.timeline == part.timeline);
                    return left.copied();
                }
                Beside::Elsewhere => {
                    // Nothing is known to be in common.
                    let Some(before) = part.forks.pop() else {
                        return Some(Fork { timeline: part.timeline, lsn: Lsn(0) });
                    };
                    (part.timeline, end) = (before.timeline, before.lsn);
                }
            }
        }
    }

    /// Where the WAL that ends at `lsn` of `other`'s timeline lies beside this line.
    ///
    /// Two timelines are one when number *and* origin agree: two members can take the same number, each on its
    /// own, when one is promoted by hand. An origin that is not known speaks against nothing.
    #[must_use]
    pub fn beside(&self, other: &Self, lsn: Lsn) -> Beside {
        let (left_at, made_by) = if other.timeline == self.timeline {
            (None, self.forks.last())
        } else {
            let step = self.forks.iter().position(|fork| fork.timeline == other.timeline);
            let Some(step) = step else { return Beside::Elsewhere };
            let before = step.checked_sub(1).and_then(|before| self.forks.get(before));
            (self.forks.get(step).map(|fork| fork.lsn), before)
        };
        match (made_by, other.forks.last()) {
            (Some(ours), Some(theirs)) if ours != theirs => Beside::Elsewhere,
            (Some(_) | None, Some(_) | None) => match left_at {
                Some(fork) if lsn > fork => Beside::Past,
                Some(_) | None => Beside::Part,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timeline: u32, forks: &[(u32, u64)]) -> Line {
        let forks = forks
            .iter()
            .map(|&(timeline, lsn)| Fork { timeline: Timeline(timeline), lsn: Lsn(lsn) });
        Line { timeline: Timeline(timeline), forks: forks.collect() }
    }

    #[test]
    fn at_the_fork_is_part_and_one_byte_past_it_is_not() {
        let leader = line(3, &[(1, 100), (2, 200)]);
        assert_eq!(leader.beside(&line(1, &[]), Lsn(100)), Beside::Part);
        assert_eq!(leader.beside(&line(1, &[]), Lsn(101)), Beside::Past);
        assert_eq!(leader.beside(&line(2, &[(1, 100)]), Lsn(150)), Beside::Part);
        assert_eq!(leader.beside(&line(3, &[(1, 100), (2, 200)]), Lsn(999)), Beside::Part);
    }

    #[test]
    fn what_two_lines_share_ends_where_one_left_the_other() {
        let leader = line(7, &[(1, 100), (3, 200), (5, 300)]);
        let left = |own: Line| own.left_at(&leader).map(|at| (at.timeline.0, at.lsn.0));
        assert_eq!(left(line(5, &[(1, 100), (3, 200)])), Some((5, 300)), "the leader left us");
        assert_eq!(left(line(3, &[(1, 100)])), Some((3, 200)), "long ago");
        assert_eq!(left(leader.clone()), None, "we follow it");
        // It was promoted by hand, or by a leadership that nobody followed.
        assert_eq!(left(line(6, &[(1, 100), (3, 200), (5, 250)])), Some((5, 250)));
        assert_eq!(left(line(6, &[(1, 100), (3, 200), (5, 350)])), Some((5, 300)));
        assert_eq!(left(line(4, &[(2, 50)])), Some((2, 0)), "nothing in common is known");
    }

    #[test]
    fn a_timeline_that_the_leader_never_had_is_elsewhere_even_with_its_number() {
        let leader = line(3, &[(1, 100), (2, 200)]);
        assert_eq!(leader.beside(&line(4, &[(1, 100)]), Lsn(50)), Beside::Elsewhere);
        assert_eq!(leader.beside(&line(3, &[(1, 90)]), Lsn(50)), Beside::Elsewhere);
        assert_eq!(leader.beside(&line(2, &[(1, 90)]), Lsn(95)), Beside::Elsewhere);
    }

    #[test]
    fn an_origin_that_nobody_knows_speaks_against_nothing() {
        let leader = line(3, &[(2, 200)]);
        assert_eq!(leader.beside(&line(3, &[]), Lsn(300)), Beside::Part);
        assert_eq!(leader.beside(&line(2, &[(1, 100)]), Lsn(200)), Beside::Part);
    }

    #[test]
    fn a_timeline_begins_next_only_where_nothing_of_the_one_before_is_missing() {
        let leader = line(5, &[(1, 100), (3, 200)]);
        let begins = |timeline, lsn| {
            leader.begins_at(Position { timeline: Timeline(timeline), lsn: Lsn(lsn) })
        };
        assert_eq!(begins(3, 200), Some(Lsn(200)));
        assert_eq!(begins(3, 199), None);
        assert_eq!(begins(1, 100), None);
        assert_eq!(begins(5, 200), None);
    }

    #[test]
    fn a_fork_of_a_line_holds_what_was_before_it() {
        let before = line(2, &[(1, 100)]);
        let after = before.clone().fork(Lsn(150), Timeline(5));
        assert_eq!(after, line(5, &[(1, 100), (2, 150)]));
        assert_eq!(after.beside(&before, Lsn(150)), Beside::Part);
        assert_eq!(after.beside(&before, Lsn(151)), Beside::Past);
    }
}
