//! Who comes after a primary that goes of its own accord, and one that goes because its disk is full. Stops nothing.

use crate::observe::Room;
use crate::reason::Reason;
use crate::units::{MemberName, Millis};

use super::Node;
use super::role::Role;

/// A leader that was made one because it had room keeps it for so long without.
const STAYS: Millis = Millis(600_000);

impl Node {
    /// The replica that has most, among those that could take over.
    pub(super) fn best_replica(&self, now: Millis) -> Option<MemberName> {
        self.best_among(now, |_| true)
    }

    /// The same, of these.
    pub(super) fn best_among(
        &self,
        now: Millis,
        these: impl Fn(&MemberName) -> bool,
    ) -> Option<MemberName> {
        let primary = self.belief.primary()?;
        let could =
            |name: &MemberName| these(name) && self.target(now, Some(name), primary).is_ok();
        let fit = primary.replicas.iter().filter(|(name, _)| could(name));
        let ranked = fit.map(|(name, sender)| {
            let tags = self.belief.member(name).map(|record| &record.tags);
            let preference = tags.map(|tags| tags.preference(Some(&self.config.tags)));
            let copied = self.lacks_slot(name).is_none();
            ((copied, sender.flushed, preference, std::cmp::Reverse(name)), name)
        });
        ranked.max().map(|(_, name)| name.clone())
    }

    /// Where nothing more can be written, whoever has room leads, if those who are to elect and to confirm it have some
    /// too: who has none can write neither a promise nor WAL. A leader that has just come has as long again, for its
    /// successor may have come to nothing; one that came for this reason stays longer, so that two do not take turns.
    pub(super) fn makes_way(&self, now: Millis) -> Option<(Role, Reason)> {
        let full = self.belief.full_since?;
        let came_for_it = self.belief.term_key()?.value.reason == Reason::DiskFull;
        let patience = match came_for_it {
            true => STAYS,
            false => self.belief.settings().timing.stall_timeout,
        };
        if now.since(full) < patience || self.is_paused() {
            return None;
        }
        let room = |name: &MemberName| self.belief.heard(now, name).map(|beat| beat.room);
        if let Some(sync) = self.belief.quorum() {
            let voters = sync.other_voters();
            let able = voters.keys().filter(|name| room(name) >= Some(Room::Little)).count();
            if able < sync.grants_needed().max(sync.k as usize + 1) {
                return None;
            }
        }
        let next = self.best_among(now, |name| room(name) == Some(Room::Enough))?;
        Some(Role::hand_over(Reason::DiskFull, Some(next), self.stopped_until(now)))
    }
}
