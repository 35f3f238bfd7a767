//! The candidate in `quorum`: counts grants. Never asks anybody twice, and never counts a voter that is ahead.

use std::cmp::Reverse;

use crate::observe::{Heartbeat, PeerState, Standby};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Kept, TermRecord};
use crate::units::{MemberName, Millis, Position, Token};
use crate::voters::{Attempt, Grant};

use super::Node;
use super::requests::Unfit;
use super::role::Role;

/// Who granted what.
type Grants = Vec<(MemberName, Grant)>;

impl Node {
    /// One round of an attempt that `term` shows as ours, by a candidate that has detached.
    pub(super) fn ballot(
        &mut self,
        now: Millis,
        attempt: &Kept<TermRecord>,
        token: Token,
        standby: &Standby,
    ) -> Option<(Role, Reason)> {
        let ours = attempt.attempt()?;
        let own = self.grant().filter(|grant| grant.attempt == ours)?;
        let sync = self.belief.quorum()?.clone();
        let own_data = Some(own.incarnation);
        if !sync.has_voter(&self.config.name, own_data) && !self.off.is(Mechanism::Incarnation) {
            return Some((Role::Replica, Reason::OutRun));
        }
        let (equal, ahead) = self.grants(&ours, own.position);
        let needed = if self.off.is(Mechanism::Grants) { 1 } else { sync.grants_needed() };
        // Whoever was the primary has every acknowledged commit by itself.
        let enough = equal.len() + 1 >= needed || sync.primary == self.config.name;
        if enough {
            self.ask_for_leadership(now, attempt, token, standby);
            return None;
        }
        // Whoever says that it cannot lead would only pass it on, if somebody else that has enough can.
        let able = |name: &MemberName, grant: &Grant| {
            let end = self.belief.weigh(grant.position);
            let behind = ahead.iter().filter(|(_, of)| self.belief.weigh(of.position) <= end);
            let beat = self.belief.peers.get(name).map(|(_, beat)| beat);
            beat.is_some_and(|beat| beat.fit && !beat.blind)
                && equal.len() + behind.count() + 1 >= needed
        };
        let best = ahead.iter().max_by_key(|(name, grant)| {
            (able(name, grant), grant.position, Reverse((*name).clone()))
        });
        let better = best.map(|(name, _)| (*name).clone());
        match better {
            Some(better) if equal.len() + ahead.len() + 1 >= needed => {
                self.pass_on(attempt, better);
                Some((Role::Replica, Reason::HandedOver))
            }
            Some(_) | None => {
                self.desk.wake_at(now.after(Millis(100)));
                None
            }
        }
    }

    /// Whether a member could be elected if we let go now: by its own word, and by the voters that are heard. We are
    /// one of them, once we have stopped.
    pub(super) fn could_win(&self, now: Millis, name: &MemberName) -> Result<(), Unfit> {
        let said = self.belief.peers.get(name).map(|(_, beat)| beat);
        if said.is_some_and(|beat| beat.blind) {
            let why = format!("{name} does not reach etcd, and nobody is elected without it");
            return Err(Unfit::Yet(why));
        }
        if said.is_some_and(|beat| !beat.could_grant()) {
            return Err(Unfit::Yet(format!("the Postgres of {name} does not answer")));
        }
        // What it promised us ends when we let go.
        if said.is_some_and(|beat| !beat.fit && beat.consents.is_none()) {
            let why = format!(
                "{name} says that it may not lead at the moment: haactl list says what it is at, its log why"
            );
            return Err(Unfit::Yet(why));
        }
        let Some(sync) = self.belief.quorum() else { return Ok(()) };
        let grants = |name: &&MemberName| {
            **name == self.config.name
                || self.belief.heard(now, name).is_some_and(Heartbeat::could_grant)
        };
        let (heard, needed) = (sync.voters.keys().filter(grants).count(), sync.grants_needed());
        if heard >= needed {
            return Ok(());
        }
        Err(Unfit::Yet(format!(
            "{name} would need the grants of {needed} of the {} voters, and {heard} could give theirs: bring members \
             back first, see haactl list",
            sync.voters.len()
        )))
    }

    /// The voters that granted this attempt: those whose WAL we have, and those who have more.
    fn grants(&self, ours: &Attempt, own: Position) -> (Grants, Grants) {
        let sync = self.belief.quorum();
        let any = self.off.is(Mechanism::GrantOfAttempt);
        let said = self.belief.peers.iter().filter_map(|(name, (_, beat))| {
            let grant = beat.grant.clone()?;
            let voter = sync?.has_voter(name, Some(grant.incarnation))
                || self.off.is(Mechanism::Incarnation) && sync?.voters.contains_key(name)
                || self.off.is(Mechanism::List);
            let of = grant.attempt == *ours || any && grant.attempt.candidate == ours.candidate;
            (voter && of).then(|| (name.clone(), grant))
        });
        let own = self.belief.weigh(own);
        let reports = self.off.is(Mechanism::Reports);
        said.partition(|(_, grant)| reports || self.belief.weigh(grant.position) <= own)
    }
}

impl Heartbeat {
    /// Its Postgres can detach.
    const fn could_grant(&self) -> bool {
        match self.state {
            PeerState::Standby | PeerState::Streaming | PeerState::Detached => true,
            PeerState::Stopped | PeerState::NotReady | PeerState::Primary => false,
        }
    }
}
