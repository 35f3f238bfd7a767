//! The candidate in `quorum`: counts grants. Never asks anybody twice, and never counts a voter that is ahead.

use std::cmp::Reverse;

use crate::observe::Standby;
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::records::{Kept, TermRecord};
use crate::units::{MemberName, Millis, Position, Token};
use crate::voters::{Attempt, Grant};

use super::Node;
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
        let best =
            ahead.iter().max_by_key(|(name, grant)| (grant.position, Reverse((*name).clone())));
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
