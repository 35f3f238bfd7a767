//! Who comes after a primary that goes of its own accord, and one that goes because its disk is full. Stops nothing.

use crate::reason::Reason;
use crate::units::{MemberName, Millis};

use super::Node;
use super::role::Role;

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

    /// Where nothing more can be written, whoever has room leads. Every write fails meanwhile, and nobody is worse off
    /// for a stop. A leader that has just come has as long again: its successor may have come to nothing.
    pub(super) fn makes_way(&self, now: Millis) -> Option<(Role, Reason)> {
        let full = self.belief.full_since?;
        let patience = self.belief.settings().timing.stall_timeout;
        if now.since(full) < patience || self.is_paused() {
            return None;
        }
        let roomy = |name: &MemberName| self.belief.heard(now, name).is_some_and(|beat| !beat.full);
        let next = self.best_among(now, roomy)?;
        Some(Role::hand_over(Reason::DiskFull, Some(next), self.stopped_until(now)))
    }
}
