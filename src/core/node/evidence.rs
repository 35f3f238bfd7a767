//! What etcd says of another's lease: whether its holder still renews it. Where one grant is enough, a candidate would
//! be asking only itself, and this is the second opinion. It prevents needless takeovers; what keeps commits is the
//! grant. Never decides who stands.

use std::collections::BTreeSet;

use crate::input::LeaseSeen;
use crate::off::Mechanism;
use crate::records::SyncRecord;
use crate::units::{LeaseId, Millis};

use super::Node;
use super::belief::Belief;

/// A leader that one voter alone could take over from renews its lease this often while it may have lost one.
const HURRY: Millis = Millis(500);
/// So long without a renewal is none that was only late.
const TWO_MISSED: Millis = Millis(1_000);
/// etcd's clock may be slower than ours by one part in this many.
const CLOCKS_DIFFER: u64 = 50;

impl Belief {
    /// etcd said how long a lease lasts: as it lasts no longer, it was not renewed since.
    pub(super) fn learn_lease_of_another(&mut self, now: Millis, seen: &LeaseSeen) {
        let leases = self.view.iter().flat_map(|view| {
            let members = view.members.values().map(|kept| kept.lease);
            members.chain(view.leader.iter().map(|kept| kept.lease)).flatten()
        });
        let leases: BTreeSet<LeaseId> = leases.collect();
        self.quiet.retain(|id, _| leases.contains(id));
        let Some(left) = seen.left else { return };
        let idle = left.granted.before(left.at_most);
        // Counted back from the answer, and up to the ask: etcd looked somewhere in between.
        let from = now.before(idle.before(Millis(idle.0 / CLOCKS_DIFFER)));
        let to = seen.asked_at;
        if from >= to {
            return;
        }
        let joined = self.quiet.get(&seen.id).filter(|(_, until)| from <= *until);
        let spell = joined.map_or((from, to), |(since, until)| (*since, to.max(*until)));
        self.quiet.insert(seen.id, spell);
    }

    /// `sync`, where one grant makes a leader and there is somebody to grant it.
    fn lone_voters(&self) -> Option<&SyncRecord> {
        self.quorum().filter(|sync| sync.grants_needed() < 2 && sync.voters.len() > 1)
    }

    /// The lease that the `leader` key hangs on.
    fn leaders_lease(&self) -> Option<LeaseId> {
        self.view.as_ref()?.leader.as_ref()?.lease
    }
}

impl Node {
    /// Where a candidate would be asking only itself: since when etcd's word is enough against a leader that was lost
    /// then. It was not renewed though it had time to learn that somebody lost it, nor for long enough to have missed
    /// two renewals.
    pub(super) fn unrenewed(&self, now: Millis, lost: Millis) -> Option<Millis> {
        if self.belief.lone_voters().is_none() || self.off.is(Mechanism::Evidence) {
            return Some(lost);
        }
        let (from, to) = *self.belief.quiet.get(&self.belief.leaders_lease()?)?;
        let since = self.enough(from, lost);
        (to >= since && now.since(to) < TWO_MISSED).then_some(since)
    }

    /// Until when a lease that was last renewed at `from` must stay so.
    fn enough(&self, from: Millis, lost: Millis) -> Millis {
        let to_learn = Millis(self.belief.settings().timing.suspect_after.0 / 2);
        from.max(lost).after(to_learn).max(from.after(TWO_MISSED))
    }

    /// Ask etcd after the leader's lease while the leader is silent: often at first, and in the very instant in which
    /// the answer could be enough.
    pub(super) fn ask_after_leader(&mut self, now: Millis) {
        if self.belief.lone_voters().is_none() || !self.belief.listed(&self.config.name) {
            return;
        }
        let (Some((leader, _)), Some(lease)) = (self.belief.sitting(), self.belief.leaders_lease())
        else {
            return;
        };
        let timing = self.belief.settings().timing;
        let heard = self.belief.heard_at(leader);
        let lost = self.suspects(now).map(|(_, since)| since);
        if now < heard.after(Millis(timing.suspect_after.0 / 2)) && lost.is_none() {
            return;
        }
        let every = Millis(now.since(heard).0 / 8).min(HURRY).max(timing.heartbeat);
        let lost = lost.unwrap_or(heard.after(timing.suspect_after));
        let spell = self.belief.quiet.get(&lease);
        let enough = spell.map(|(from, _)| self.enough(*from, lost));
        self.desk.ask_after(now, lease, every, enough);
    }

    /// One voter alone could take over from us, and one that reaches etcd may have lost us: then etcd is to show,
    /// sooner than usual, that we live.
    pub(super) fn is_in_doubt(&self, now: Millis) -> bool {
        if self.belief.own_leader_key().is_none() || self.off.is(Mechanism::SignOfLife) {
            return false;
        }
        let Some(sync) = self.belief.lone_voters() else { return false };
        let patience = Millis(self.belief.settings().timing.suspect_after.0 / 2);
        sync.other_voters().keys().any(|name| {
            let hears = self.belief.peers.get(name).is_some_and(|(at, beat)| {
                let well = beat.suspects.is_none() && beat.hears.contains(&self.config.name);
                well && now.since(*at) < patience
            });
            !hears && self.belief.member(name).is_some()
        })
    }

    /// How long after a renewal the next one is due.
    pub(super) fn renewal_interval(&self, now: Millis) -> Millis {
        let round = self.belief.settings().timing.round;
        if self.is_in_doubt(now) { round.min(HURRY) } else { round }
    }
}
