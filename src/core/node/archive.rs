//! A replica that is tagged `nostream`: it lives on the operator's archive, and receives from nobody. Its WAL is
//! compared with the leader's like any other's (I10). Never while it votes.

use crate::effect::Job;
use crate::observe::{Door, PostgresFacts, Standby};
use crate::units::Millis;

use super::Node;
use super::belief::Leader;

/// An archive that had nothing new is asked again after this long.
const AGAIN: Millis = Millis(5_000);

impl Node {
    /// Whether it is one. A voter that is given the tag streams until it has left the voters.
    pub(super) fn lives_on_archive(&self) -> bool {
        self.config.tags.nostream && !self.belief.is_named_voter(&self.config.name)
    }

    /// Whether WAL comes to it, in whichever way is its; then the word for that.
    pub(super) fn is_supplied(&self, standby: &Standby) -> Option<&'static str> {
        match self.lives_on_archive() {
            true => {
                let asks = standby.detached && standby.door != Some(Door::Shut);
                asks.then_some("lives on the archive")
            }
            false => standby.streaming.then_some("streams"),
        }
    }

    /// Brings what the archive has by now, once it is known that all that is here is the leader's.
    pub(super) fn feed(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        (standby, leader): (&Standby, &Leader),
    ) {
        if !self.desk.settled(facts) || !self.may_try(now) {
            return;
        }
        if !standby.detached {
            return self.desk.job(Job::Detach(None));
        }
        if !self.is_part_of(now, facts, (standby, leader)) {
            return;
        }
        if standby.mute {
            // What it waits for, the leader says soonest; then it detaches.
            return self.attaches(now, leader.term);
        }
        let end = standby.position;
        if let Some((asked, at)) = self.rejoining.fed
            && asked == end
            && now < at.after(AGAIN)
        {
            return self.desk.wake_at(at.after(AGAIN));
        }
        self.rejoining.fed = Some((end, now));
        self.desk.job(Job::Fetch { from: Vec::new(), line: leader.line.clone() });
    }
}
