//! Whom a clone copies. Never whom a copy follows: that is the leader.

use crate::effect::Source;
use crate::records::MemberRole;
use crate::units::Millis;

use super::Node;
use super::belief::Leader;

impl Node {
    /// Whom to copy: a replica that the operator has set apart for it, if it streams the timeline that this leader
    /// made, so that its WAL is part of the leader's history; else the leader. One after the other, where it fails.
    pub(super) fn copied(&self, now: Millis, leader: Option<&Leader>, from: Source) -> Source {
        let members = self.belief.view.iter().flat_map(|view| &view.members);
        let set_apart = members.filter(|(name, kept)| {
            let record = &kept.value;
            let timeline = record.timeline.filter(|_| record.role == MemberRole::Streaming);
            let stalled = self.belief.heard(now, name).is_some_and(|beat| beat.stalled);
            record.tags.clonefrom
                && **name != self.config.name
                && leader.is_some_and(|leader| timeline == Some(leader.line.timeline))
                && !stalled
                && !self.belief.is_drained(name)
        });
        let mut all: Vec<Source> = set_apart.map(Source::of).collect();
        all.push(from);
        all.swap_remove(self.rejoining.failed_clones as usize % all.len())
    }
}
