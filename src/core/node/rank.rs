//! Who may stand, and who first. Reads beliefs; never acts.

use std::cmp::Reverse;

use crate::observe::{Heartbeat, PeerState};
use crate::off::Mechanism;
use crate::records::{Holder, Tags};
use crate::units::{MemberName, Millis, Position, Timeline};

use super::belief::Belief;

/// What candidates are compared by; the greatest stands first.
type Rank = (Position, (i32, bool), Reverse<MemberName>);

impl Belief {
    /// Whether this member's data may lead: it is on the list in `sync` with this incarnation; before there is
    /// a list, only the creator's.
    pub(super) fn listed(&self, name: &MemberName) -> bool {
        let Some(view) = self.view.as_ref() else { return false };
        match &view.sync {
            Some(sync) => {
                let members =
                    if sync.value.is_quorum() { &sync.value.voters } else { &sync.value.members };
                let incarnation = if *name == self.me {
                    self.data().map(|(_, incarnation)| incarnation)
                } else {
                    self.member(name).and_then(|record| record.incarnation)
                };
                let listed = members.get(name).copied();
                let same = listed == incarnation || self.off.is(Mechanism::Incarnation);
                incarnation.is_some() && listed.is_some() && same || self.off.is(Mechanism::List)
            }
            None => view.cluster.as_ref().is_some_and(|cluster| cluster.value.creator == *name),
        }
    }

    /// Where the last primary's WAL ended, as far as anybody told: it was heard, or has let go with a word.
    pub(super) fn last_end(&self) -> Option<Position> {
        let let_go = match &self.term_key()?.value.holder {
            Holder::Released { checkpoint, .. } => *checkpoint,
            Holder::Candidate { .. } | Holder::Leader { .. } => None,
        };
        self.primary_position.max(let_go)
    }

    /// Whether a position is within `maximum_lag_on_failover` of the last that was heard of the primary.
    pub(super) fn close_enough(&self, position: Position) -> bool {
        let Some(primary) = self.last_end() else { return true };
        // A standby cluster has acknowledged nothing.
        let bears = self.quorum().is_some() || self.site().is_some();
        if self.off.is(Mechanism::LagLimit) || bears {
            return true;
        }
        primary.lsn.bytes_since(position.lsn) <= self.settings().maximum_lag_on_failover
    }

    /// Whether enough members have said where their WAL ends to know the end of all: the last primary, with its
    /// data, or everybody who may stand.
    pub(super) fn end_is_told(&self, now: Millis) -> bool {
        let Some(sync) = self.view.as_ref().and_then(|view| view.sync.as_ref()) else {
            return true;
        };
        let told = |name: &MemberName| {
            *name == self.me || self.heard(now, name).is_some_and(|beat| beat.position.is_some())
        };
        let primary = &sync.value.primary;
        (told(primary) && self.listed(primary)) || sync.value.members.keys().all(told)
    }

    /// How many candidates come before us: the best has none. Peers that are silent do not count.
    pub(super) fn better_candidates(&self, now: Millis, own: Position, tags: &Tags) -> u64 {
        let mine = self.rank(own, tags, &self.me);
        let better = self
            .peers
            .keys()
            .filter(|name| self.candidate_rank(now, name).is_some_and(|rank| rank > mine));
        u64::try_from(better.count()).unwrap_or(u64::MAX)
    }

    /// Whether a peer says that it streams and is not on the list yet, where it may be.
    pub(super) fn newcomer(&self, now: Millis) -> bool {
        self.peers.keys().any(|name| {
            let streams = self.heard(now, name).filter(|beat| beat.state == PeerState::Streaming);
            let may = |beat: &Heartbeat| match self.quorum() {
                Some(_) => beat.tags.votes(),
                None => beat.tags.attends(),
            };
            streams.is_some_and(may) && !self.listed(name)
        })
    }

    /// Whether we hear anybody else who could lead.
    pub(super) fn any_candidate(&self, now: Millis) -> bool {
        self.candidates(now).next().is_some()
    }

    /// Whether this peer could lead.
    pub(super) fn is_candidate(&self, now: Millis, name: &MemberName) -> bool {
        self.candidate_rank(now, name).is_some()
    }

    /// Of the peers that could lead the one that would stand first.
    pub(super) fn best_candidate(&self, now: Millis) -> Option<&MemberName> {
        let ranked =
            self.peers.keys().filter_map(|name| Some((self.candidate_rank(now, name)?, name)));
        ranked.max().map(|(_, name)| name)
    }

    /// Whether those who are heard can elect one of them without us, and let its clients in; or do so for the leader
    /// that there is.
    pub(super) fn others_suffice(&self, now: Millis, leader: Option<&MemberName>) -> bool {
        let (grants, k) = self.needs();
        match leader {
            Some(leader) => self.candidates(now).filter(|name| *name != leader).count() >= k,
            None => self.candidates(now).count() >= grants.max(k + 1),
        }
    }

    /// Whether we and those who are heard can elect us, and let our clients in.
    pub(super) fn we_suffice(&self, now: Millis) -> bool {
        let (grants, k) = self.needs();
        self.candidates(now).count() + 1 >= grants.max(k + 1)
    }

    /// How many grants make a leader, and how many others have to flush what it begins with.
    fn needs(&self) -> (usize, usize) {
        self.quorum().map_or((1, 0), |sync| (sync.grants_needed(), sync.k as usize))
    }

    fn candidates(&self, now: Millis) -> impl Iterator<Item = &MemberName> {
        self.peers.keys().filter(move |name| self.candidate_rank(now, name).is_some())
    }

    fn candidate_rank(&self, now: Millis, name: &MemberName) -> Option<Rank> {
        let beat = self.heard(now, name)?;
        let standby = match beat.state {
            PeerState::Standby | PeerState::Streaming | PeerState::Detached => true,
            PeerState::Stopped | PeerState::NotReady | PeerState::Primary => false,
        };
        let eligible = standby && beat.fit && self.listed(name) && self.member(name).is_some();
        let position = beat.position.filter(|position| eligible && self.close_enough(*position))?;
        Some(self.rank(position, &beat.tags, name))
    }

    /// More WAL first, then what the tags say.
    fn rank(&self, end: Position, tags: &Tags, name: &MemberName) -> Rank {
        (self.weigh(end), tags.preference(self.last_tags()), Reverse(name.clone()))
    }

    /// Of whoever led last, as far as it was heard: it may have left the store.
    fn last_tags(&self) -> Option<&Tags> {
        let last = &self.view.as_ref()?.sync.as_ref()?.value.primary;
        let heard = self.peers.get(last).map(|(_, beat)| &beat.tags);
        heard.or_else(|| self.member(last).map(|record| &record.tags))
    }

    /// A position as it counts in a comparison.
    pub(super) fn weigh(&self, position: Position) -> Position {
        let alike = self.off.is(Mechanism::Rank);
        if alike { Position { timeline: Timeline(0), ..position } } else { position }
    }

    /// Listed peers that we hear, whose Postgres runs, and who have not yet said where their WAL ends in this
    /// attempt.
    pub(super) fn reports_missing(&self, now: Millis) -> bool {
        if self.off.is(Mechanism::Reports) {
            return false;
        }
        let any = self.off.is(Mechanism::ThisAttempt);
        self.peers.keys().any(|name| {
            self.listed(name)
                && self.heard(now, name).is_some_and(|beat| match beat.state {
                    PeerState::Standby | PeerState::Streaming => true,
                    PeerState::Detached => beat.term < self.term && !any,
                    PeerState::Stopped | PeerState::NotReady | PeerState::Primary => false,
                })
        })
    }

    /// A fit peer that has said in this attempt that it has more WAL than we.
    pub(super) fn further_ahead(&self, now: Millis, own: Position) -> Option<MemberName> {
        if self.off.is(Mechanism::Reports) {
            return None;
        }
        let own = self.weigh(own);
        let ahead = self.peers.keys().filter_map(|name| {
            let beat = self.heard(now, name)?;
            let exact = beat.state == PeerState::Detached && beat.term >= self.term;
            let rank = self.candidate_rank(now, name).filter(|rank| exact && rank.0 > own)?;
            Some((rank, name))
        });
        ahead.max().map(|(_, name)| name.clone())
    }

    /// The number for a leadership's timeline: above all that are known, and not the next. That is what Postgres
    /// takes when somebody promotes it by hand, perhaps at the same LSN: then nothing would tell the two apart.
    pub(super) fn free_timeline(&self) -> Timeline {
        self.highest_timeline().next().next()
    }

    /// The highest timeline number that anybody is known to have.
    pub(super) fn highest_timeline(&self) -> Timeline {
        let own = self.server().and_then(crate::observe::Server::timeline);
        let peers = self.peers.values().filter_map(|(_, beat)| beat.position);
        let reserved = self.term_key().map(|kept| kept.value.reserved);
        if self.off.is(Mechanism::Reservation) {
            return own.unwrap_or(Timeline(0));
        }
        let all = peers.map(|position| position.timeline).chain(own).chain(reserved);
        all.max().unwrap_or(Timeline(0))
    }
}
