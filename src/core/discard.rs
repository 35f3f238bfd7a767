//! WAL that a member had and the leadership did not: what was taken back, how it is told, and of which leadership.
//! Never decides what is taken back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::line::Fork;
use crate::records::{HistoryRecord, Key};
use crate::units::{MemberName, Position, Term};

/// `history/discarded/<member>/<fork>`: what a rewind or a clone took back.
///
/// A member's WAL leaves the leader's history at one place only once: told again, it is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Discarded {
    /// Whose WAL.
    pub member: MemberName,
    /// The newest leadership that was known when it was told; zero before that.
    #[serde(default)]
    pub term: Term,
    /// The last place that it shared with the leader's history: all behind it was taken back.
    pub fork: Fork,
    /// Where it ended, if that could be seen.
    pub end: Option<Position>,
    /// What was in it.
    pub commits: Commits,
    /// The directory that keeps it, on that member; `None` where there was no room.
    pub kept: Option<String>,
    /// Wall clock of that member when it was taken back, milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// The commits in some WAL. Whether they were acknowledged, the WAL does not say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commits {
    /// All of them, but for haad's own.
    Counted {
        /// How many. Whoever only reads commits nothing.
        transactions: u64,
        /// Commit time of the first, by the clock of that member, milliseconds since 1970.
        first_unix_ms: Option<u64>,
        /// Of the last.
        last_unix_ms: Option<u64>,
    },
    /// Nobody knows, and why.
    NotCounted(String),
}

impl Discarded {
    /// Where it is told.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::Discarded(self.member.clone(), self.fork)
    }
}

/// The sentence of the log, of `haactl history` and of `haactl why`.
impl fmt::Display for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, fork, .. } = self;
        match &self.commits {
            Commits::Counted { transactions: 0, .. } => {
                write!(f, "{member} discarded no transaction")?
            }
            Commits::Counted { transactions: 1, .. } => {
                write!(f, "{member} discarded 1 transaction")?
            }
            Commits::Counted { transactions, .. } => {
                write!(f, "{member} discarded {transactions} transactions")?;
            }
            Commits::NotCounted(why) => {
                write!(f, "{member} discarded transactions that were not counted: {why}")?;
            }
        }
        match self.end {
            None => write!(f, " (WAL from {} on timeline {}", fork.lsn, fork.timeline)?,
            Some(end) if end.timeline == fork.timeline => {
                write!(f, " (WAL {} to {} of timeline {}", fork.lsn, end.lsn, end.timeline)?;
            }
            Some(end) => {
                write!(f, " (WAL from {} on timeline {} to {end}", fork.lsn, fork.timeline)?
            }
        }
        match &self.kept {
            Some(kept) => write!(f, "), kept in {kept} on {member}"),
            None => write!(f, "), not kept"),
        }
    }
}

/// A leadership as it is told: its record, and what others gave up for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// As its leader wrote it.
    #[serde(flatten)]
    pub record: HistoryRecord,
    /// As those wrote it who had it.
    #[serde(default)]
    pub discarded: Vec<Discarded>,
}

/// Puts to each leadership what was given up for it: that which took over where the WAL left the history. WAL that
/// left it elsewhere, such as that of a Postgres promoted by hand, belongs to the one under which it was told.
#[must_use]
pub fn chapters(
    history: Vec<(Term, HistoryRecord)>,
    discarded: Vec<Discarded>,
) -> Vec<(Term, Chapter)> {
    let chapter = |(term, record)| (term, Chapter { record, discarded: Vec::new() });
    let mut told: Vec<(Term, Chapter)> = history.into_iter().map(chapter).collect();
    for lost in discarded {
        let took_over = told.iter().position(|(_, of)| of.record.fork == Some(lost.fork));
        let then = || told.iter().rposition(|(term, _)| *term <= lost.term);
        let which = took_over.or_else(then).unwrap_or_default();
        if let Some((_, chapter)) = told.get_mut(which) {
            chapter.discarded.push(lost);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use crate::units::{Lsn, Timeline};

    fn fork(timeline: u32, lsn: u64) -> Fork {
        Fork { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    fn lost(fork: Fork, term: u64, commits: Commits) -> Discarded {
        Discarded {
            member: "n1".parse().expect("a legal name"),
            term: Term(term),
            fork,
            end: Some(Position { timeline: fork.timeline, lsn: Lsn(0x50_021F0) }),
            commits,
            kept: Some("/var/lib/haa/diverged-17".to_owned()),
            at_unix_ms: 0,
        }
    }

    fn counted(transactions: u64) -> Commits {
        Commits::Counted { transactions, first_unix_ms: None, last_unix_ms: None }
    }

    #[test]
    fn what_was_discarded_is_a_sentence() {
        let told = lost(fork(3, 0x500_0148), 8, counted(12));
        let place =
            "(WAL 0/5000148 to 0/50021F0 of timeline 3), kept in /var/lib/haa/diverged-17 on n1";
        assert_eq!(told.to_string(), format!("n1 discarded 12 transactions {place}"));
        let one = lost(told.fork, 8, counted(1));
        assert_eq!(one.to_string(), format!("n1 discarded 1 transaction {place}"));
        let none = lost(told.fork, 8, counted(0));
        assert_eq!(none.to_string(), format!("n1 discarded no transaction {place}"));
        let unknown = Discarded {
            end: None,
            kept: None,
            ..lost(told.fork, 8, Commits::NotCounted("there is no pg_waldump".to_owned()))
        };
        assert_eq!(
            unknown.to_string(),
            "n1 discarded transactions that were not counted: there is no pg_waldump (WAL from 0/5000148 on \
             timeline 3), not kept"
        );
        let further = Position { timeline: Timeline(5), lsn: Lsn(0x600_0000) };
        let further = Discarded { end: Some(further), ..told };
        let shown = further.to_string();
        assert!(
            shown.contains("from 0/5000148 on timeline 3 to 0/6000000 on timeline 5)"),
            "{shown}"
        );
    }

    #[test]
    fn the_leadership_that_took_over_is_told_what_it_cost() {
        let record = |of| HistoryRecord {
            leader: "n2".parse().expect("a legal name"),
            timeline: Timeline(9),
            fork: Some(of),
            reason: Reason::TakenOver,
            at_unix_ms: 0,
            took_ms: 0,
            phases: crate::records::Phases::default(),
            candidates: std::collections::BTreeMap::new(),
        };
        let history = vec![
            (Term(4), record(fork(1, 100))),
            (Term(8), record(fork(3, 200))),
            (Term(11), record(fork(5, 300))),
        ];
        // It came back when another led already; by hand; before all that is on record.
        let late = lost(fork(3, 200), 11, counted(1));
        let by_hand = lost(fork(3, 150), 9, counted(2));
        let old = lost(fork(1, 50), 1, counted(3));
        let told = chapters(history, vec![late.clone(), by_hand.clone(), old.clone()]);
        let of: Vec<_> = told.into_iter().map(|(term, of)| (term.0, of.discarded)).collect();
        assert_eq!(of, [(4, vec![old]), (8, vec![late, by_hand]), (11, vec![])]);
        assert_eq!(chapters(vec![], vec![lost(fork(1, 50), 1, counted(3))]), []);
    }
}
