//! A standby that was sent the history of a timeline and none of its WAL, before that timeline came to nothing: its
//! recovery is bound for it, and only a restart gets it off. Never while somebody may still send that WAL.

use crate::effect::Job;
use crate::line::Beside;
use crate::observe::{PostgresFacts, Standby};
use crate::off::Mechanism;
use crate::units::{Lsn, Millis};

use super::Node;
use super::belief::Leader;
use super::rejoining::{LAST_WAIT, Plan};

/// So long it stays as it is: an election that it takes part in is over by then, and WAL that is on its way has come.
const PATIENCE: Millis = Millis(2_000);
/// The same in a standby cluster: the other cluster's new primary may take longer, and its timelines come to us before
/// our leader tells of them.
const ABROAD: Millis = Millis(30_000);

impl Standby {
    /// All that it has is replayed, and nothing comes: its position is exact.
    const fn is_at_its_end(&self) -> bool {
        self.dry || self.detached
    }
}

impl Node {
    /// Postgres would write into the history of our leadership what it is bound for, and go on elsewhere than the
    /// record of the election says.
    pub(super) fn is_bound_elsewhere(&self) -> bool {
        let bound = |own: &Standby| own.is_at_its_end() && !own.ahead.is_empty();
        self.belief.standby().is_some_and(bound)
            && !self.stays_standby()
            && !self.off.is(Mechanism::BoundElsewhere)
    }

    /// Gets our recovery off a timeline that is none of the leader's, or of nobody who leads: by a restart, and where
    /// that did not help by a clone. Whether it is under way.
    pub(super) fn straightens(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        (standby, leader): (&Standby, Option<&Leader>),
    ) -> bool {
        let again = self.was_straightened(standby);
        if !self.is_to_restart(now, facts, standby, leader) {
            return false;
        }
        if let (true, Some(leader)) = (again, leader) {
            self.rejoining.plan(now, Plan::Clone(leader.term));
        }
        self.rejoining.compared = None;
        self.desk.job(Job::Stop(self.unhurried_stop()));
        true
    }

    /// The same of who leads a standby cluster, and lets go of the lead for it.
    pub(super) fn lets_go_astray(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        standby: &Standby,
    ) -> bool {
        if standby.streaming {
            self.rejoining.straightened = None;
        }
        self.is_to_restart(now, facts, standby, None)
    }

    /// It was restarted for that before.
    fn was_straightened(&self, standby: &Standby) -> bool {
        let before = self.rejoining.straightened;
        before.is_some_and(|before| before != standby.started_unix_ms)
    }

    /// How long it stays as it is; for ever, where a restart did not help and nothing else would.
    fn patience(&self, standby: &Standby, leader: Option<&Leader>) -> Option<Millis> {
        match (self.belief.site(), self.was_straightened(standby)) {
            // The other cluster may have thrown away what is missing: once is enough.
            (Some(_), true) => None,
            (Some(_), false) => Some(ABROAD),
            // Where there is nobody to be cloned from, it is tried again, less often.
            (None, true) if leader.is_none() => Some(LAST_WAIT),
            (None, true | false) => Some(PATIENCE),
        }
    }

    /// Whether it has been astray for long enough.
    fn is_to_restart(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        standby: &Standby,
        leader: Option<&Leader>,
    ) -> bool {
        let nobodys = |line| {
            leader.is_none_or(|leader| leader.line.beside(line, Lsn(0)) == Beside::Elsewhere)
        };
        if !standby.ahead.iter().any(nobodys) || self.is_paused() {
            self.rejoining.astray_since = None;
            return false;
        }
        let Some(patience) = self.patience(standby, leader) else { return false };
        let until = self.rejoining.astray_since.get_or_insert(now).after(patience);
        self.desk.wake_at(until);
        // What it has is replayed: only then is it known that it has nothing of them.
        let exact = standby.is_at_its_end();
        if now < until || !exact || !self.desk.settled(facts) || !self.may_try(now) {
            return false;
        }
        self.rejoining.straightened = Some(standby.started_unix_ms);
        self.rejoining.astray_since = None;
        true
    }
}
