//! How much WAL each replication slot holds, and how much more may be written before it loses some. Asks; changes
//! nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use haa_core::observe::TightSlot;
use tokio::sync::watch;

use super::sql::{Row, Session, SqlError};

/// A slot that holds so many times more than it may hold yet is about to lose some.
const BITES: u64 = 3;
/// Between two looks.
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// What a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of WAL since its position.
    pub bytes: u64,
    /// Bytes that may be written before it loses some; `None` where nothing bounds it, or it has lost some.
    pub left: Option<u64>,
}

impl Held {
    /// What is left, if that is little.
    #[must_use]
    pub fn tight(self) -> Option<u64> {
        self.left.filter(|left| *left < self.bytes / BITES)
    }
}

/// Of every slot on this server, as they were looked at last.
#[derive(Default)]
pub(super) struct Bounds(watch::Sender<BTreeMap<String, Held>>);

/// Of the function under the view, which is slow to plan.
const QUESTION: &str = "SELECT slot_name, greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
     THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, restart_lsn), 0)::bigint, \
     CASE WHEN safe_wal_size < 0 THEN 0 ELSE safe_wal_size END \
     FROM pg_get_replication_slots() WHERE restart_lsn IS NOT NULL";

impl Bounds {
    pub(super) fn shown(&self) -> watch::Receiver<BTreeMap<String, Held>> {
        self.0.subscribe()
    }

    /// Those that will lose WAL soon.
    pub(super) fn tight(&self) -> Vec<TightSlot> {
        let held = self.0.borrow();
        let tight = held.iter().filter_map(|(name, held)| Some((name.clone(), held.tight()?)));
        tight.map(|(name, left)| TightSlot { name, left }).collect()
    }

    pub(super) async fn refresh(&self, session: &Session) -> Result<(), SqlError> {
        let held = session.rows(QUESTION).await?.iter().filter_map(held).collect();
        self.0.send_replace(held);
        Ok(())
    }

    /// No server answers.
    pub(super) fn forget(&self) {
        self.0.send_if_modified(|held| !std::mem::take(held).is_empty());
    }
}

fn held(row: &Row) -> Option<(String, Held)> {
    Some((row.text(0)?.to_owned(), Held { bytes: row.parse(1)?, left: row.parse(2) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_tight_at_three_quarters_of_what_it_may_hold() {
        let tight = |bytes, left| Held { bytes, left }.tight();
        assert_eq!(tight(300, Some(100)), None);
        assert_eq!(tight(300, Some(99)), Some(99));
        assert_eq!(tight(300, Some(0)), Some(0));
        assert_eq!(tight(300, None), None, "nothing bounds it");
        assert_eq!(tight(0, Some(0)), None, "it holds nothing");
    }
}
