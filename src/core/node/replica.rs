//! The replica: getting a standby up, and letting it follow the right leader. Compares before it connects (I10).

use crate::effect::{Begin, Job, Source};
use crate::line::Beside;
use crate::observe::{DataDir, Door, PostgresFacts, Server, Standby};
use crate::off::Mechanism;
use crate::reason::Reason;
use crate::units::{Millis, Term};

use super::Node;
use super::belief::Leader;
use super::rejoin::Compared;
use super::rejoining::{LAST_WAIT, Plan};
use super::role::Role;

/// So many times as long as a leader's stop may one take that nobody waits for.
const UNHURRIED: u64 = 3;
/// A rewind that fails this often, or that has begun to write, makes way for a clone.
const REWINDS_BEFORE_CLONE: u32 = 3;
/// A cloned or rewound Postgres that does not start this often is cloned again.
pub(super) const STARTS_BEFORE_CLONE: u32 = 3;

impl Node {
    pub(super) fn replica(&mut self, now: Millis) -> Option<(Role, Reason)> {
        let borne = self.off.is(Mechanism::OpenWithoutLeadership);
        if self.belief.primary().is_some() && !borne {
            return Some(Role::close(Reason::OpenWithoutLeadership));
        }
        self.release(now);
        if self.leaving.is_some() {
            self.leave(now);
            return None;
        }
        if self.belief.name_is_in_use() {
            return self.wait_for_name(now);
        }
        if let Some(refusal) = self.check_data() {
            return Some(refusal);
        }
        let facts = self.belief.facts.clone()?;
        if !self.initialised(now, &facts) {
            return None;
        }
        self.note_running(&facts);
        self.note_down(&facts);
        let leader = self.belief.leader().filter(|leader| leader.member != self.config.name);
        if let (Server::Standby(standby), Some(leader)) = (&facts.server, &leader)
            && self.fetches(now, &facts, (standby, leader))
        {
            return None;
        }
        let leader = leader.filter(|_| self.bound().is_none());
        if leader.is_some() && self.restarts(now, &facts) {
            return None;
        }
        if leader.as_ref().is_some_and(|leader| self.reinits(now, &facts, leader)) {
            return None;
        }
        if leader.as_ref().is_some_and(|leader| self.source_is_past(leader)) {
            return Some(Role::close(Reason::SourceLost));
        }
        match (&facts.server, leader) {
            (Server::Stopped(_), leader) => {
                self.bring_up(now, &facts, leader.as_ref());
                None
            }
            (Server::Standby(standby), Some(leader))
                if self.may_take_over(now).is_some()
                    && !self.is_stranded(now, standby, &leader) =>
            {
                self.election(now, &facts, standby)
            }
            (Server::Standby(standby), Some(leader)) => {
                if self.straightens(now, &facts, (standby, Some(&leader))) {
                    return None;
                }
                self.follow(now, &facts, (standby, &leader));
                None
            }
            (Server::Standby(standby), None) => self.election(now, &facts, standby),
            (Server::Starting, Some(leader)) if self.starts_in_vain(now, &facts, &leader) => {
                Some(Role::close(Reason::WalGone))
            }
            (Server::Starting, None) if self.starts_for_nobody(&facts) => {
                Some(Role::close(Reason::SourceLost))
            }
            (Server::Starting, _) => {
                self.starting(now, &facts);
                None
            }
            (Server::Silent | Server::Refusing(_) | Server::Primary(_), _) => None,
        }
    }

    /// Whether failed work may be tried again; if not, we wake when it may.
    pub(super) fn may_try(&mut self, now: Millis) -> bool {
        if now < self.rejoining.retry_at {
            self.desk.wake_at(self.rejoining.retry_at);
        }
        now >= self.rejoining.retry_at
    }

    pub(super) fn source(&self, leader: &Leader) -> Option<Source> {
        let address = self.belief.address(&leader.member)?;
        Some(Source { member: leader.member.clone(), address, site: None })
    }

    /// From a stopped Postgres to a standby that runs.
    pub(super) fn bring_up(&mut self, now: Millis, facts: &PostgresFacts, leader: Option<&Leader>) {
        if !self.desk.settled(facts) || !self.may_try(now) {
            return;
        }
        let open = leader.filter(|leader| self.belief.is_open(leader));
        let source = open.and_then(|leader| self.source(leader));
        match facts.data {
            DataDir::Foreign(_) | DataDir::Unreadable(_) => return,
            DataDir::Empty => {
                if let (Some(source), false) = (source, self.waits_for_resume()) {
                    self.rejoining.copying_in = leader.map(|leader| leader.term);
                    self.desk.job(Job::Clone(self.copied(now, leader, source)));
                }
                return;
            }
            DataDir::Present { .. } => {}
        }
        if !self.owes_start() {
            return;
        }
        self.plan_again(now, facts, leader);
        let by_itself = matches!(self.rejoining.plan, Plan::Rewind(_) | Plan::Clone(_));
        if by_itself && self.waits_for_resume() {
            return;
        }
        if self.rejoining.plan != Plan::Settle && !self.seen_since_planned(now) {
            return;
        }
        if open.is_none() && self.yields(now, leader) {
            return;
        }
        let job = match (self.rejoining.plan, source) {
            // Started once, an orphan could not be told from data that somebody wrote.
            (Plan::Settle, _) if self.is_orphan() => None,
            (Plan::Settle, _) if !facts.data.needs_source() => {
                Some(Job::Start(None, self.unread()))
            }
            (Plan::Settle | Plan::Attach(_), Some(source)) => {
                self.rejoining.compared = open.map(|leader| leader.term);
                Some(Job::Start(Some(source), Door::Open))
            }
            (Plan::Rewind(term), Some(source)) => {
                self.rejoining.copying_in = Some(term);
                Some(Job::Rewind(source))
            }
            (Plan::Clone(term) | Plan::Anew(term), Some(source)) => {
                self.rejoining.copying_in = Some(term);
                Some(Job::Clone(self.copied(now, leader, source)))
            }
            (_, None) => None,
        };
        if let Some(job) = job {
            self.rejoining.has_started = true;
            self.desk.job(job);
        }
    }

    /// Recovery from a crash reads and writes much, and whoever takes over may share our disk: clients wait for that,
    /// and nobody for us.
    fn yields(&mut self, now: Millis, leader: Option<&Leader>) -> bool {
        let until = self.rejoining.yields_until;
        let leader = leader.map(|leader| &leader.member);
        let yields = now < until && self.belief.others_suffice(now, leader);
        if yields {
            self.desk.wake_at(until);
        }
        yields
    }

    /// Data that were compared with nobody's may hold what no other member has: commits that were never acknowledged,
    /// and will be taken back. Nobody reads them before they are known to be part of a leader's history.
    fn unread(&self) -> Door {
        if self.off.is(Mechanism::UnreadAtStart) { Door::Open } else { Door::Shut }
    }

    /// A plan is made for one leader; with another, or none, we start and compare anew. What was cloned or
    /// rewound can be compared with nobody before it has streamed: under another leader than its own, or when
    /// it does not start, it is cloned.
    fn plan_again(&mut self, now: Millis, facts: &PostgresFacts, leader: Option<&Leader>) {
        let needs_source = facts.data.needs_source();
        let term = leader.map(|leader| leader.term);
        let condemned = leader.is_some_and(|leader| self.is_condemned(now, leader));
        match self.rejoining.plan {
            Plan::Attach(of) | Plan::Rewind(of) | Plan::Clone(of) if term != Some(of) => {
                self.rejoining.plan = Plan::Settle;
            }
            Plan::Anew(of) if term != Some(of) || !condemned => {
                self.rejoining.plan = Plan::Settle;
            }
            Plan::Settle | Plan::Attach(_) | Plan::Rewind(_) | Plan::Clone(_) | Plan::Anew(_) => {}
        }
        if let (Plan::Settle | Plan::Attach(_) | Plan::Rewind(_), true, Some(term)) =
            (self.rejoining.plan, condemned, term)
        {
            self.plan_anew(now, term);
        }
        let rewinds = self.rejoining.failed_rewinds;
        if let Plan::Rewind(of) = self.rejoining.plan
            && (rewinds >= REWINDS_BEFORE_CLONE || rewinds > 0 && needs_source)
        {
            self.rejoining.plan(now, Plan::Clone(of));
            self.rejoining.failed_rewinds = 0;
        }
        let dead = self.rejoining.failed_starts >= STARTS_BEFORE_CLONE;
        let hopeless = needs_source && (dead || self.rejoining.copied_in != term);
        if let (true, Some(term)) = (hopeless || self.is_orphan(), term)
            && self.rejoining.plan != Plan::Clone(term)
        {
            self.rejoining.plan(now, Plan::Clone(term));
            self.rejoining.failed_starts = 0;
        }
    }

    pub(super) const fn plan_anew(&mut self, now: Millis, term: Term) {
        self.rejoining.plan(now, Plan::Anew(term));
    }

    /// Data are given up only for a leader that the store has shown since we planned it, and lately.
    fn seen_since_planned(&mut self, now: Millis) -> bool {
        let fresh = self.belief.settings().timing.attempt_timeout;
        let seen = self.belief.linear_at;
        let since = self.rejoining.planned_at;
        if self.off.is(Mechanism::FreshErase) {
            return true;
        }
        if seen.is_some_and(|at| at >= since && now.since(at) < fresh) {
            return true;
        }
        self.desk.read(now);
        false
    }

    /// What we made came to nothing: another member has initialised the cluster meanwhile, perhaps of the same backup,
    /// and so with the same number and timelines over other bytes. Nobody ever wrote here.
    pub(super) fn is_orphan(&self) -> bool {
        let cluster = self.belief.view.as_ref().and_then(|view| view.cluster.as_ref());
        let theirs = cluster.and_then(|kept| kept.value.system_id);
        let ours = cluster.is_none_or(|kept| kept.value.creator == self.config.name)
            || self.off.is(Mechanism::Creator);
        let own = self.belief.facts.as_ref().map(|facts| &facts.data);
        match (own, theirs) {
            (Some(DataDir::Present { system_id, untouched: true, .. }), Some(theirs)) => {
                *system_id != theirs || !ours
            }
            _ => false,
        }
    }

    /// From a standby that runs to one that streams from the leader, or from whom it is to stream from instead.
    fn follow(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        (standby, leader): (&Standby, &Leader),
    ) {
        if self.lives_on_archive() {
            return self.feed(now, facts, (standby, leader));
        }
        let Some(source) = self.upstream(now, standby, leader) else { return };
        let attached = standby.source.as_ref() == Some(&source.address);
        let on_its_timeline = standby.position.timeline == leader.line.timeline;
        if attached && standby.streaming && on_its_timeline {
            self.rejoining.rewound_in = None;
            self.rejoining.straightened = None;
            self.rejoining.compared = Some(leader.term);
        }
        if attached && self.desk.settled(facts) {
            // Whoever leads next has no time to make them; and those of an earlier leadership hold WAL for nobody.
            self.ready_slots(now);
        }
        // Another than the leader may have passed on what is not the leader's: somebody may have promoted it by hand.
        let elsewhere = standby.source.is_some() && !attached;
        if elsewhere && standby.source != self.belief.address(&leader.member) {
            self.rejoining.compared = None;
        }
        // Or ours.
        if !self.belief.is_past(standby, leader)
            && leader.line.beside(&standby.line(), standby.position.lsn) != Beside::Part
        {
            self.rejoining.compared = self.rejoining.compared.filter(|term| *term != leader.term);
        }
        let compared = self.rejoining.compared == Some(leader.term);
        if !self.desk.settled(facts) || !self.may_try(now) {
            return;
        }
        if compared && attached {
            if self.is_beyond_help(now, standby, leader) {
                self.rejoining.plan(now, Plan::Clone(leader.term));
                self.desk.job(Job::Stop(self.unhurried_stop()));
            } else if standby.door == Some(Door::Shut) {
                // Its rules of access were not taken, or the last agent ended amid its work.
                self.desk.job(Job::Follow(source, None));
            }
            return;
        }
        if !compared && !standby.detached {
            return self.desk.job(Job::Detach(None));
        }
        if compared || self.is_part_of(now, facts, (standby, leader)) {
            if standby.mute {
                return self.attaches(now, leader.term);
            }
            self.desk.job(Job::Follow(source, self.begin(leader, standby)));
        }
    }

    /// Whoever lets nobody in is told its source by a start.
    pub(super) fn attaches(&mut self, now: Millis, term: Term) {
        self.rejoining.plan(now, Plan::Attach(term));
        self.desk.job(Job::Stop(self.unhurried_stop()));
    }

    /// Compares the WAL of a standby that receives from nobody; where it is beyond the leader's, it is taken back.
    pub(super) fn is_part_of(
        &mut self,
        now: Millis,
        facts: &PostgresFacts,
        (standby, leader): (&Standby, &Leader),
    ) -> bool {
        match self.belief.compare(standby, leader, facts.began_at) {
            Compared::Part => {
                self.rejoining.compared = Some(leader.term);
                self.rejoining.rewound_in = None;
                return true;
            }
            Compared::AskAgain => self.desk.read(now),
            Compared::Beyond if self.waits_for_resume() || self.is_given_up() => {}
            Compared::Beyond => {
                // pg_rewind before 16 sees nothing to take back where a promotion wrote no checkpoint.
                let in_vain = self.rejoining.rewound_in == Some(leader.term)
                    || self.lacks_the_fork(now, standby, leader);
                let (rewind, clone) = (Plan::Rewind(leader.term), Plan::Clone(leader.term));
                self.rejoining.plan(now, if in_vain { clone } else { rewind });
                self.desk.job(Job::Stop(self.unhurried_stop()));
            }
        }
        false
    }

    /// Where the timeline of this leadership begins, as it was foretold at the election. For a standby that has
    /// replayed all of the timeline that was left there: one that lacks some of it receives that first, and Postgres
    /// would take a file of the newest timeline in its `pg_wal` for the next to replay, find nothing in it, and end, at
    /// each start anew. In a standby cluster nothing is foretold.
    fn begin(&self, leader: &Leader, standby: &Standby) -> Option<Begin> {
        let lsn = leader.line.begins_at(standby.position)?;
        let here = standby.replayed == lsn && self.belief.site().is_none();
        here.then_some(Begin { timeline: leader.line.timeline, lsn })
    }

    /// Nobody waits for a replica that stops to be made anew, and one that is stopped in order can be rewound.
    pub(super) fn unhurried_stop(&self) -> Millis {
        self.belief.settings().timing.stop_timeout.times(UNHURRIED)
    }

    /// Long work whose source does not lead any more, and may never answer again.
    fn source_is_past(&self, leader: &Leader) -> bool {
        match self.desk.slot().map(|slot| &slot.job) {
            Some(Job::Start(Some(source), _) | Job::Rewind(source)) => {
                source.member != leader.member
            }
            // A replica is copied for one leader.
            Some(Job::Clone(source)) => {
                source.member != leader.member && self.rejoining.copying_in != Some(leader.term)
            }
            Some(
                Job::Start(None, _)
                | Job::InitDb
                | Job::Fetch { .. }
                | Job::Checkpoint
                | Job::Hold
                | Job::Lower
                | Job::Stop(_)
                | Job::Follow(..)
                | Job::Detach(_)
                | Job::Promote { .. },
            )
            | None => false,
        }
    }

    /// It was started to stream from somebody who leads no more, and lets nobody in. Started by itself it tells where
    /// its WAL ends.
    fn starts_for_nobody(&self, facts: &PostgresFacts) -> bool {
        self.starts_to_stream() && !facts.data.needs_source()
    }

    /// The work under way is a start with a source.
    pub(super) fn starts_to_stream(&self) -> bool {
        let job = self.desk.slot().map(|slot| &slot.job);
        matches!(job, Some(Job::Start(Some(_), _)))
    }

    /// A Postgres that an earlier run of this agent started: it is waited for. One that waits for a source we do not
    /// know is given time, then it begins anew.
    fn starting(&mut self, now: Millis, facts: &PostgresFacts) {
        if !self.desk.settled(facts) {
            return;
        }
        let until = self.rejoining.starting_since.get_or_insert(now).after(LAST_WAIT);
        self.desk.wake_at(until);
        if now >= until {
            self.rejoining.starting_since = None;
            self.desk.job(Job::Stop(self.belief.settings().timing.stop_timeout));
        } else if !facts.data.needs_source() && self.may_try(now) {
            self.desk.job(Job::Start(None, self.unread()));
        }
    }
}
