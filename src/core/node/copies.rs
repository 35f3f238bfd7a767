//! Whom a clone copies. Never whom a copy follows: that is the leader.

use crate::effect::Source;
use crate::records::MemberRole;
use crate::units::{MemberName, Millis, Timeline};

use super::Node;
use super::belief::Leader;

impl Node {
    /// Whom to copy: the replica that an operator has named for this clone, one that is set apart for copies, else the
    /// leader. One after the other, where it fails.
    pub(super) fn copied(&self, now: Millis, leader: Option<&Leader>, from: Source) -> Source {
        let named = self.belief.to_be_copied(&self.config.name);
        let members = self.belief.view.iter().flat_map(|view| &view.members);
        let set_apart = members.filter(|(name, kept)| {
            let line = leader.map(|leader| leader.line.timeline);
            (kept.value.tags.clonefrom || named == Some(*name))
                && **name != self.config.name
                && line.is_some_and(|line| self.may_copy(now, name, line).is_ok())
        });
        let mut all: Vec<Source> = set_apart.map(Source::of).collect();
        all.push(from);
        all.sort_by_key(|source| named.is_some_and(|named| source.member != *named));
        all.swap_remove(self.rejoining.failed_clones as usize % all.len())
    }

    /// Whether this replica can be copied: it has to stream the timeline that the leader made, so that its WAL is part
    /// of the leader's history. If not, why.
    pub(super) fn may_copy(
        &self,
        now: Millis,
        name: &MemberName,
        made: Timeline,
    ) -> Result<(), &'static str> {
        let record = self.belief.member(name).ok_or("its agent is gone")?;
        let streams = record.role == MemberRole::Streaming && record.timeline == Some(made);
        let stalled = self.belief.heard(now, name).is_some_and(|beat| beat.stalled);
        match (streams, stalled, self.belief.is_drained(name)) {
            (false, _, _) => Err("it does not stream what the leader writes"),
            (true, true, _) => Err("it replays nothing, though there is WAL"),
            (true, false, true) => Err("it is drained"),
            (true, false, false) => Ok(()),
        }
    }
}
