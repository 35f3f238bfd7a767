//! From whom our standby streams: from the member that its tags name while that one is well, else from the leader.
//! Never from another for a voter, never in a ring. Our WAL is compared with the leader's alone (I10).

use std::collections::BTreeMap;
use std::iter::successors;

use serde::{Deserialize, Serialize};

use crate::effect::Source;
use crate::observe::{PeerState, Standby};
use crate::off::Mechanism;
use crate::records::{MemberRecord, Tags};
use crate::units::{Lsn, MemberName, Millis};

use super::Node;
use super::belief::{Belief, Leader};

/// Whoever is further apart than this is not moved to another source: one that has less refuses to send, and one that
/// has more may have thrown away what comes next.
const APART: u64 = 16 << 20;
/// A source from which nothing came is left alone for twice as long each time, up to this.
const LONGEST: Millis = Millis(600_000);

/// What came of streaming from the member that our tags name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cascading {
    /// When it may be tried again.
    from: Millis,
    /// For how long it is left alone when next nothing comes.
    wait: Millis,
    /// Since when our standby asks it.
    asked_at: Option<Millis>,
}

/// What a member is as a source of WAL.
enum Supply {
    /// It has the leader's WAL as it is written: it goes by this leader, streams, and is on its timeline. What it has
    /// of an older one it has compared.
    Flows { end: Lsn },
    /// It is silent, or has not heard of this leader yet.
    Unsure,
    /// It says that it has not.
    Dry,
}

impl Belief {
    /// Who is said to stream from another than the leader, if it can.
    fn cascades(&self) -> impl Iterator<Item = (&MemberName, &MemberRecord)> {
        let members = self.view.iter().flat_map(|view| &view.members);
        let members = members.map(|(name, kept)| (name, &kept.value));
        members.filter(|(_, record)| record.tags.replicatefrom.is_some())
    }

    fn supply(&self, now: Millis, name: &MemberName, leader: &Leader) -> Supply {
        let Some(beat) = self.heard(now, name) else { return Supply::Unsure };
        let blind = self.off.is(Mechanism::Upstream);
        // The store may not show yet that it is to stream from us.
        let flows = beat.state == PeerState::Streaming && beat.upstream.as_ref() != Some(&self.me);
        match beat.position.filter(|_| flows) {
            Some(end) if blind || end.timeline == leader.line.timeline => {
                let knows = blind || beat.term >= leader.term;
                if knows { Supply::Flows { end: end.lsn } } else { Supply::Unsure }
            }
            Some(_) | None => Supply::Dry,
        }
    }

    /// Whether WAL from this member would have come from us.
    fn is_below_us(&self, name: &MemberName) -> bool {
        let next = |name: &MemberName| self.member(name)?.tags.replicatefrom.clone();
        let above = successors(Some(name.clone()), next);
        above.take(self.cascades().count() + 1).any(|name| name == self.me)
    }
}

impl Node {
    /// Whom our standby is to stream from. One that was not well is left alone for as long as a voter would be; while
    /// WAL comes from it, its silence is borne, as a primary's that sends WAL is.
    pub(super) fn upstream(
        &mut self,
        now: Millis,
        standby: &Standby,
        leader: &Leader,
    ) -> Option<Source> {
        let Some(source) = self.named_upstream(leader) else { return self.source(leader) };
        let timing = self.belief.settings().timing;
        let attached = standby.source.as_ref() == Some(&source.address);
        let own = standby.position;
        let born = self.born_at.unwrap_or(now);
        let last_word = self.belief.peers.get(&source.member).map_or(born, |(at, _)| *at);
        let (well, near) = match self.belief.supply(now, &source.member, leader) {
            Supply::Flows { end } => {
                (true, own.lsn.bytes_since(end).max(end.bytes_since(own.lsn)) <= APART)
            }
            Supply::Unsure => {
                let flows = standby.streaming && own.timeline == leader.line.timeline;
                // Whoever was frozen itself hears nobody when it wakes.
                let frozen = self.belief.facts.as_ref();
                let frozen = frozen.is_some_and(|facts| facts.is_stale(now, timing));
                let silent = now.since(last_word) >= timing.agent_silent_after;
                (attached && flows && (frozen || !silent), true)
            }
            Supply::Dry => (false, true),
        };
        let cascading = &mut self.rejoining.cascading;
        cascading.asked_at = attached.then(|| cascading.asked_at.unwrap_or(now));
        let dry = self.is_dry(now);
        // A leader that has nothing more to give us, or that we do not reach: the other may.
        let starves = dry && standby.dry && standby.source == self.belief.address(&leader.member);
        let cascading = &mut self.rejoining.cascading;
        let wait = cascading.wait.max(timing.voter_return);
        if dry && attached && now >= cascading.from {
            cascading.from = now.after(wait);
            cascading.wait = wait.times(2).min(LONGEST);
        } else if !well {
            cascading.from = cascading.from.max(now.after(timing.voter_return));
        }
        if now < cascading.from {
            self.desk.wake_at(cascading.from);
        } else if attached || near || starves {
            return Some(source);
        }
        self.source(leader)
    }

    /// As the file has them now. What was learnt of one source holds for no other.
    pub(super) fn take_tags(&mut self, tags: &Tags) {
        if tags.replicatefrom != self.config.tags.replicatefrom {
            self.rejoining.cascading = Cascading::default();
        }
        self.config.tags = tags.clone();
    }

    /// Whether nothing has come for `stall_timeout`; from the member that is named, since it is asked. One that has
    /// given for as long as it would be left alone is trusted again.
    fn is_dry(&mut self, now: Millis) -> bool {
        let timing = self.belief.settings().timing;
        let Cascading { wait, asked_at, .. } = &mut self.rejoining.cascading;
        let Some(dry) = self.belief.dry_since else {
            let long = (*wait).max(timing.voter_return);
            if asked_at.is_some_and(|at| now.since(at) >= long) {
                *wait = Millis(0);
            }
            return false;
        };
        now.since(asked_at.map_or(dry, |at| dry.max(at))) >= timing.stall_timeout
    }

    /// The member that our tags name, if we may stream from it at all.
    fn named_upstream(&self, leader: &Leader) -> Option<Source> {
        let named = self.config.tags.replicatefrom.as_ref()?;
        let ours = *named == leader.member || self.belief.is_below_us(named);
        // Whatever our data are, as far as they can be seen: commits may wait for them.
        let votes = self.belief.is_named_voter(&self.config.name);
        let address = self.belief.address(named).filter(|_| !ours && !votes)?;
        Some(Source { member: named.clone(), address, site: None })
    }

    /// Whom our standby streams from, as far as the store knows that address.
    pub(super) fn upstream_now(&self) -> Option<MemberName> {
        let standby = self.belief.standby().filter(|standby| standby.streaming)?;
        let mut members = self.belief.view.iter().flat_map(|view| &view.members);
        let from = members.find(|(_, kept)| Some(&kept.value.postgres) == standby.source.as_ref());
        from.map(|(name, _)| name.clone())
    }

    /// Members of our timeline that stream from another, and how far each is; and those that live on the archive, which
    /// need nothing of ours: our slots for them hold no more.
    pub(super) fn served_by_others(&self, now: Millis) -> BTreeMap<MemberName, Lsn> {
        let Some(primary) = self.belief.primary() else { return BTreeMap::new() };
        let away = self.belief.cascades().filter(|(name, _)| !primary.replicas.contains_key(*name));
        let reached = away.filter_map(|(name, _)| {
            let beat = self.belief.heard(now, name)?;
            let end = beat.position.filter(|end| end.timeline == primary.position.timeline)?;
            Some((name.clone(), beat.replayed?.min(end.lsn)))
        });
        let members = self.belief.view.iter().flat_map(|view| &view.members);
        let votes = |name| self.belief.is_named_voter(name);
        let fed = members.filter(|(name, kept)| {
            kept.value.tags.nostream && !primary.replicas.contains_key(*name) && !votes(*name)
        });
        let fed = fed.map(|(name, _)| (name.clone(), primary.position.lsn));
        reached.chain(fed).collect()
    }
}
