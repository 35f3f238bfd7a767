//! From whom our standby streams: from the member that its tags name while that one is well, else from the leader.
//! Never from another for a voter, never in a ring. Our WAL is compared with the leader's alone (I10).

use std::collections::BTreeMap;
use std::iter::successors;

use crate::effect::Source;
use crate::observe::{PeerState, Standby};
use crate::off::Mechanism;
use crate::records::MemberRecord;
use crate::units::{Lsn, MemberName, Millis};

use super::Node;
use super::belief::{Belief, Leader};

impl Belief {
    /// Who is said to stream from another than the leader, if it can.
    fn cascades(&self) -> impl Iterator<Item = (&MemberName, &MemberRecord)> {
        let members = self.view.iter().flat_map(|view| &view.members);
        let members = members.map(|(name, kept)| (name, &kept.value));
        members.filter(|(_, record)| record.tags.replicatefrom.is_some())
    }

    /// Whether this member has the leader's WAL as it is written: it goes by this leader, streams, and is on its
    /// timeline. What it has of an older one it has compared.
    fn passes_on(&self, now: Millis, name: &MemberName, leader: &Leader) -> bool {
        self.heard(now, name).is_some_and(|beat| {
            let there = beat.position.is_some_and(|end| end.timeline == leader.line.timeline);
            let follows = beat.term >= leader.term && there;
            beat.state == PeerState::Streaming && (follows || self.off.is(Mechanism::Upstream))
        })
    }

    /// Whether WAL from this member would have come from us.
    fn is_below_us(&self, name: &MemberName) -> bool {
        let next = |name: &MemberName| self.member(name)?.tags.replicatefrom.clone();
        let above = successors(Some(name.clone()), next);
        above.take(self.cascades().count() + 1).any(|name| name == self.me)
    }
}

impl Node {
    /// Whom our standby is to stream from. One that was not well is left alone for as long as a voter would be.
    pub(super) fn upstream(
        &mut self,
        now: Millis,
        standby: &Standby,
        leader: &Leader,
    ) -> Option<Source> {
        let Some(source) = self.named_upstream(leader) else { return self.source(leader) };
        let timing = self.belief.settings().timing;
        let attached = standby.source.as_ref() == Some(&source.address);
        let born = self.born_at.unwrap_or(now);
        let not_heard_yet = now.since(born) < timing.suspect_after
            && !self.belief.peers.contains_key(&source.member);
        let dry = self.belief.dry_since.filter(|_| attached);
        let dry = dry.is_some_and(|since| now.since(since) >= timing.stall_timeout);
        let well = self.belief.passes_on(now, &source.member, leader);
        if (dry || !well) && !(attached && not_heard_yet) {
            self.rejoining.upstream_from = now.after(timing.voter_return);
        }
        if now >= self.rejoining.upstream_from {
            return Some(source);
        }
        self.desk.wake_at(self.rejoining.upstream_from);
        self.source(leader)
    }

    /// The member that our tags name, if we may stream from it at all.
    fn named_upstream(&self, leader: &Leader) -> Option<Source> {
        let named = self.config.tags.replicatefrom.as_ref()?;
        let ours = *named == leader.member || self.belief.is_below_us(named);
        let address = self.belief.address(named).filter(|_| !ours && !self.belief.is_voter())?;
        Some(Source { member: named.clone(), address })
    }

    /// Whom our standby streams from, as far as the store knows that address.
    pub(super) fn streams_from(&self) -> Option<MemberName> {
        let standby = self.belief.standby().filter(|standby| standby.streaming)?;
        let mut members = self.belief.view.iter().flat_map(|view| &view.members);
        let from = members.find(|(_, kept)| Some(&kept.value.postgres) == standby.source.as_ref());
        from.map(|(name, _)| name.clone())
    }

    /// Members of our timeline that stream from another, and how far each is: our slots for them hold no more.
    pub(super) fn served_by_others(&self, now: Millis) -> BTreeMap<MemberName, Lsn> {
        let Some(primary) = self.belief.primary() else { return BTreeMap::new() };
        let away = self.belief.cascades().filter(|(name, _)| !primary.replicas.contains_key(*name));
        let reached = away.filter_map(|(name, _)| {
            let beat = self.belief.heard(now, name)?;
            let end = beat.position.filter(|end| end.timeline == primary.position.timeline)?;
            Some((name.clone(), beat.replayed?.min(end.lsn)))
        });
        reached.collect()
    }
}
