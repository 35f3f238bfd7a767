//! Whether the leader is lost though its lease lives: what we see ourselves, and what enough voters say (the
//! pre-vote, which binds nobody). Reads beliefs; never acts.

use crate::observe::{PeerState, Standby};
use crate::off::Mechanism;
use crate::records::SyncRecord;
use crate::units::{MemberName, Millis, Term};

use super::Node;
use super::belief::Belief;

impl Belief {
    /// `sync`, where acknowledged commits rest on voters.
    pub(super) fn quorum(&self) -> Option<&SyncRecord> {
        let sync = &self.view.as_ref()?.sync.as_ref()?.value;
        sync.is_quorum().then_some(sync)
    }

    /// Whom the `leader` key names, if it is another, whether somebody stands against it or not.
    pub(super) fn sitting(&self) -> Option<(&MemberName, Term)> {
        let key = &self.view.as_ref()?.leader.as_ref()?.value;
        (key.member != self.me).then_some((&key.member, key.term))
    }

    /// When we last heard a member, or could have begun to.
    pub(super) fn heard_at(&self, name: &MemberName) -> Millis {
        let beat = self.peers.get(name).map_or(Millis(0), |(at, _)| *at);
        beat.max(self.led_since)
    }

    /// Streaming from this member.
    fn streams_from(&self, standby: &Standby, name: &MemberName) -> bool {
        standby.streaming && standby.source.is_some() && standby.source == self.address(name)
    }
}

impl Node {
    /// The leader is lost as far as we see, of which term, and since when.
    pub(super) fn suspects(&self, now: Millis) -> Option<(Term, Millis)> {
        self.belief.quorum()?;
        if self.consented(now).is_some() {
            return None;
        }
        let (leader, term) = self.belief.sitting()?;
        let facts = self.belief.facts.as_ref()?;
        let standby = self.belief.standby()?;
        let timing = self.belief.settings().timing;
        // Whoever has not looked lately sees nothing.
        if now.since(facts.began_at) >= timing.suspect_after {
            return None;
        }
        let since = self.belief.heard_at(leader).max(self.born_at.unwrap_or(now));
        let streams = self.belief.streams_from(standby, leader);
        if now.since(since) >= timing.agent_silent_after {
            return Some((term, since.after(timing.agent_silent_after)));
        }
        if !streams && now.since(since) >= timing.suspect_after {
            return Some((term, since.after(timing.suspect_after)));
        }
        // By its own word; to let go in order takes it much less.
        if let (false, Some(said)) = (streams, self.belief.gave_up_since) {
            let until = said.max(self.belief.led_since).after(timing.suspect_after);
            if now >= until {
                return Some((term, until));
            }
        }
        // Its agent lives, and no WAL comes: a rule in a packet filter, or walsenders that hang.
        let told = standby.source.is_some() && standby.source == self.belief.address(leader);
        let open = self.belief.heard(now, leader).is_some_and(|b| b.state == PeerState::Primary);
        let dry = self.belief.dry_since.filter(|_| told && open && !streams)?;
        let until = dry.after(timing.stall_timeout);
        (now >= until).then_some((term, until))
    }

    /// Enough voters have lost the leader to take over from it: since when. With one grant needed, a candidate would
    /// be asking only itself: then etcd has to say that the leader does not renew its lease.
    pub(super) fn may_take_over(&self, now: Millis) -> Option<Millis> {
        let sync = self.belief.quorum().filter(|_| !self.is_paused())?;
        let (term, since) = self.suspects(now)?;
        let (leader, _) = self.belief.sitting()?;
        let needed = sync.grants_needed();
        let settled = self.belief.led_since.after(self.belief.settings().timing.settle);
        if now < settled {
            return None;
        }
        let since = self.unrenewed(now, since)?;
        if self.off.is(Mechanism::PreVote) {
            return Some(since.max(settled));
        }
        let voters = sync.voters.keys().filter(|name| *name != leader);
        let agrees = |name: &&MemberName| {
            **name == self.config.name
                || self.belief.heard(now, name).is_some_and(|beat| beat.suspects == Some(term))
        };
        let enough = voters.filter(agrees).count() >= needed;
        let witness = self.belief.peers.keys().any(|name| {
            let outside = *name != *leader && !sync.voters.contains_key(name);
            outside && self.belief.heard(now, name).is_some_and(|beat| beat.hears.contains(leader))
        });
        (enough && !witness).then_some(since.max(settled))
    }

    /// A leader that falls silent or gives up is looked after: nothing tells that a receiver has ended.
    pub(super) fn watch_leader(&mut self, now: Millis) {
        let Some(_) = self.belief.quorum() else { return };
        let Some((leader, _)) = self.belief.sitting() else { return };
        let timing = self.belief.settings().timing;
        let doubtful = self.belief.heard_at(leader).after(Millis(timing.suspect_after.0 / 2));
        let lost = self.belief.heard_at(leader).after(timing.suspect_after);
        if now >= doubtful || self.belief.gave_up_since.is_some() {
            self.desk.look(now, Millis(50));
        } else {
            self.desk.wake_at(doubtful);
        }
        if now < lost {
            self.desk.wake_at(lost);
        }
    }
}
