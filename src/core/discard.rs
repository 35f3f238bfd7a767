//! WAL that a member had and the leadership did not: what was taken back, and how it is told. Never
//! decides what is taken back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::line::Fork;
use crate::records::Key;
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
        let Self { member, fork: Fork { timeline, lsn }, .. } = self;
        let what = match &self.commits {
            Commits::Counted { transactions: 0, .. } => "no transaction".to_owned(),
            Commits::Counted { transactions: 1, .. } => "1 transaction".to_owned(),
            Commits::Counted { transactions, .. } => format!("{transactions} transactions"),
            Commits::NotCounted(why) => format!("transactions that were not counted: {why}"),
        };
        let place = match self.end {
            None => format!("from {lsn} on timeline {timeline}"),
            Some(end) if end.timeline == *timeline => {
                format!("{lsn} to {} of timeline {timeline}", end.lsn)
            }
            Some(end) => format!("from {lsn} on timeline {timeline} to {end}"),
        };
        let kept = self.kept.as_ref().map(|kept| format!("kept in {kept} on {member}"));
        let kept = kept.as_deref().unwrap_or("not kept");
        write!(f, "{member} discarded {what} (WAL {place}), {kept}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
