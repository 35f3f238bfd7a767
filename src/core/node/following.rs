//! Whether our standby keeps up: one that has WAL and replays none of it, or that is said to stream and receives none,
//! answers readers out of the past. Only told; nobody stands or falls by it.

use crate::observe::{PostgresFacts, Server};
use crate::units::{Lsn, Millis};

use super::belief::Belief;

/// The header of a page is no WAL to replay.
const HEADER: u64 = 64;

impl Belief {
    /// Note since when this much was replayed, and no more, though there is more.
    pub(super) fn watch_replay(&mut self, facts: &PostgresFacts) {
        let behind = match &facts.server {
            Server::Standby(standby) => {
                let own = standby.position;
                let theirs = self.primary_position.filter(|end| end.timeline == own.timeline);
                // Nobody sends the rest to one that lives on the archive.
                let theirs = theirs.filter(|_| standby.source.is_some());
                let due = theirs.map_or(own.lsn, |end| end.lsn.max(own.lsn));
                (due.bytes_since(standby.replayed) > HEADER).then_some(standby.replayed)
            }
            Server::Stopped(_)
            | Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Primary(_) => None,
        };
        let since = |replayed: Lsn| match self.replay {
            Some((last, since)) if last == replayed => (last, since),
            Some(_) | None => (replayed, facts.began_at),
        };
        self.replay = behind.map(since);
    }

    /// It has replayed nothing for as long as a primary may be silent, though there is WAL.
    pub(super) fn is_stalled(&self) -> bool {
        let looked = self.facts.as_ref().map_or(Millis(0), |facts| facts.began_at);
        let patience = self.settings().timing.stall_timeout;
        self.replay.is_some_and(|(_, since)| looked.since(since) >= patience)
    }
}
