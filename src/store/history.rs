//! The history as it is read: each leadership with what was discarded for it. Never talks to etcd.

use haa_core::discard::Discarded;
use haa_core::records::HistoryRecord;
use haa_core::units::Term;
use serde::{Deserialize, Serialize};

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
pub(super) fn chapters(
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
    use haa_core::discard::Commits;
    use haa_core::line::Fork;
    use haa_core::reason::Reason;
    use haa_core::records::Phases;
    use haa_core::units::{Lsn, Timeline};

    use super::*;

    fn fork(timeline: u32, lsn: u64) -> Fork {
        Fork { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    fn lost(fork: Fork, term: u64, transactions: u64) -> Discarded {
        let (first_unix_ms, last_unix_ms) = (None, None);
        Discarded {
            member: "n1".parse().expect("a legal name"),
            term: Term(term),
            fork,
            end: None,
            commits: Commits::Counted { transactions, first_unix_ms, last_unix_ms },
            kept: None,
            at_unix_ms: 0,
        }
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
            phases: Phases::default(),
            candidates: std::collections::BTreeMap::new(),
        };
        let history = vec![
            (Term(4), record(fork(1, 100))),
            (Term(8), record(fork(3, 200))),
            (Term(11), record(fork(5, 300))),
        ];
        // It came back when another led already; by hand; before all that is on record.
        let late = lost(fork(3, 200), 11, 1);
        let by_hand = lost(fork(3, 150), 9, 2);
        let old = lost(fork(1, 50), 1, 3);
        let told = chapters(history, vec![late.clone(), by_hand.clone(), old.clone()]);
        let of: Vec<_> = told.into_iter().map(|(term, of)| (term.0, of.discarded)).collect();
        assert_eq!(of, [(4, vec![old]), (8, vec![late, by_hand]), (11, vec![])]);
        assert_eq!(chapters(vec![], vec![lost(fork(1, 50), 1, 3)]), []);
    }
}
