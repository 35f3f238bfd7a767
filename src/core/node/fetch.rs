//! WAL that our standby lacks and its leader has thrown away: from whom it may be fetched, and when a clone is what is
//! left. Never lets a voter fetch, nor whoever is bound to a candidate (I5).

use crate::effect::{Job, Source};
use crate::observe::{Heartbeat, PostgresFacts, Standby};
use crate::off::Mechanism;
use crate::records::{Kept, MemberRecord, MemberRole};
use crate::units::{Lsn, MemberName, Millis};

use super::Node;
use super::belief::Leader;
use super::rejoining::Plan;

/// So often is everybody asked, and the archive, before the data are given up.
const FETCHES_BEFORE_CLONE: u32 = 3;

impl Node {
    /// Whether WAL that the leader has thrown away is to be fetched now from where it still is; then it is wished.
    pub(super) fn fetches(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        (standby, leader): (&Standby, &Leader),
    ) -> bool {
        let compared = self.rejoining.compared() == Some(leader.term);
        let wanted = compared && self.may_fetch() && self.lacks_removed_wal(now, standby, leader);
        let given_up = self.rejoining.failed_fetches >= FETCHES_BEFORE_CLONE;
        if !wanted || given_up || self.waits_for_resume() {
            return false;
        }
        let from = self.keepers(now, leader);
        if !from.is_empty() && self.desk.settled(facts) && self.may_try(now) {
            self.desk.job(Job::Fetch { from, line: leader.line.clone() });
        }
        true
    }

    /// Whether a clone is what is left: nobody has the WAL that comes next, or we may not fetch it. While an
    /// acknowledged commit may rest on these data, the leader has time to do without us; but it may need us to let
    /// clients in.
    pub(super) fn is_beyond_help(
        &mut self,
        now: Millis,
        standby: &Standby,
        leader: &Leader,
    ) -> bool {
        if !self.lacks_removed_wal(now, standby, leader) || self.waits_for_resume() {
            return false;
        }
        let since = self.belief.dry_since.unwrap_or(now);
        let until = since.after(self.belief.settings().timing.alone_after);
        let may = !self.belief.is_voter() || now >= until;
        if !may {
            self.desk.wake_at(until);
        }
        may
    }

    /// What the leader says of itself in this leadership.
    fn beat_of(&self, now: Millis, leader: &Leader) -> Option<&Heartbeat> {
        let beat = self.belief.heard(now, &leader.member);
        beat.filter(|beat| beat.term == leader.term)
    }

    /// A rewind to the leader comes to nothing: replay would need what the leader has from where the two parted, and
    /// it has that no more, or never had, if it was cloned since.
    pub(super) fn lacks_the_fork(&self, now: Millis, standby: &Standby, leader: &Leader) -> bool {
        let parted = standby.line().left_at(&leader.line).map(|fork| fork.lsn);
        let parted = parted.filter(|lsn| *lsn > Lsn(0));
        let gone = self.beat_of(now, leader).and_then(|beat| beat.oldest).zip(parted);
        gone.is_some_and(|(oldest, parted)| parted < oldest)
    }

    /// What was started to stream waits for WAL which the leader has thrown away, and lets nobody in before it has it:
    /// it is to be cloned.
    pub(super) fn starts_in_vain(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        leader: &Leader,
    ) -> bool {
        let Some(awaits) = facts.awaits.filter(|_| self.starts_to_stream()) else { return false };
        let oldest = self.beat_of(now, leader).and_then(|beat| beat.oldest);
        let in_vain = oldest.is_some_and(|oldest| awaits < oldest) && !self.waits_for_resume();
        if in_vain {
            self.rejoining.plan(now, Plan::Clone(leader.term));
        }
        in_vain
    }

    /// It has all that it will ever have: the leader has thrown away the WAL that comes next.
    fn lacks_removed_wal(&self, now: Millis, standby: &Standby, leader: &Leader) -> bool {
        let oldest = self.beat_of(now, leader).and_then(|beat| beat.oldest);
        let waits = standby.dry || standby.detached && self.off.is(Mechanism::FetchBinds);
        waits && oldest.is_some_and(|oldest| standby.position.lsn < oldest)
    }

    /// It cannot stand: each new stream tells it of the leader's timeline again, and never comes to its WAL.
    pub(super) fn is_stranded(&self, now: Millis, standby: &Standby, leader: &Leader) -> bool {
        self.is_bound_elsewhere() && self.lacks_removed_wal(now, standby, leader)
    }

    /// A grant says where our WAL ends, and an acknowledgement may rest on it: from then on nothing comes but what the
    /// leader streams.
    fn may_fetch(&self) -> bool {
        self.bound().is_none() && !self.belief.is_voter() || self.off.is(Mechanism::FetchBinds)
    }

    /// Who may have WAL of the leader's line: itself, then whoever streams from it.
    fn keepers(&self, now: Millis, leader: &Leader) -> Vec<Source> {
        let members = self.belief.view.iter().flat_map(|view| &view.members);
        let others = members.filter(|(name, kept)| {
            **name != self.config.name
                && **name != leader.member
                && kept.value.role == MemberRole::Streaming
                && self.belief.heard(now, name).is_some()
        });
        self.source(leader).into_iter().chain(others.map(Source::of)).collect()
    }
}

impl Source {
    pub(super) fn of((name, kept): (&MemberName, &Kept<MemberRecord>)) -> Self {
        Self { member: name.clone(), address: kept.value.postgres.clone(), site: None }
    }
}
