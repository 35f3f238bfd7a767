//! The node: beliefs, a role, and the one function that turns an input into wishes. Never acts.

mod abroad;
mod archive;
mod astray;
mod ballot;
mod belief;
mod bootstrap;
mod candidate;
mod chronicle;
mod closing;
mod consent;
mod copies;
mod desk;
mod drain;
mod election;
mod electorate;
mod evidence;
mod failsafe;
mod fetch;
mod following;
mod hold;
mod leaving;
mod loss;
mod pause;
mod primary;
mod promise;
mod promoting;
mod proof;
mod publish;
mod rank;
mod reinit;
mod rejoin;
mod rejoining;
mod remove;
mod renewal;
mod replica;
mod requests;
mod restart;
mod role;
mod roll;
mod schedule;
mod slots;
mod standby;
mod succession;
mod suspicion;
mod telling;
mod upstream;
mod voting;
mod waits;
mod waking;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Exit, Job, StoreWish};
use crate::input::{Input, JobResult, LeaseNews, Leave};
use crate::lease::Lease;
use crate::off::Off;
use crate::reason::{Reason, Transition};
use crate::records::{RequestId, Tags};
use crate::settings::Settings;
use crate::site::Site;
use crate::units::{Address, Instance, MemberName, Millis, Term};
use crate::voters::Promises;

use belief::Belief;
use chronicle::Chronicle;
use closing::LetGo;
use desk::{Desk, Ended, Purpose};
use electorate::Electorate;
use failsafe::Failsafe;
use hold::Holding;
use promise::Promised;
use publish::Told;
use rejoining::Rejoining;
use requests::Accepted;
pub use role::{Closing, How, Role};
use roll::Roll;
use telling::Telling;
use voting::Voting;
use waits::Waits;

/// What a node is told at birth.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// Its name.
    pub name: MemberName,
    /// Kept on disk beside the name.
    pub instance: Instance,
    /// Where its Postgres listens.
    pub postgres: Address,
    /// Where its API listens.
    pub api: Address,
    /// haad's version.
    pub version: String,
    /// The operator's tags.
    pub tags: Tags,
    /// The settings that a new cluster begins with.
    pub settings: Settings,
    /// Seeds the tokens; random, drawn at each start.
    pub seed: u64,
    /// The last leadership that an earlier run of this agent held, if the machine has not been booted since.
    pub remembered: Option<Remembered>,
    /// What an earlier run promised.
    #[serde(default)]
    pub promises: Promises,
    /// Whether its agent knows PgBouncers that can hold their clients.
    #[serde(default)]
    pub pools: Pools,
    /// The cluster that a new one is a copy of, and follows from its first moment.
    #[serde(default)]
    pub follows: Option<Site>,
}

/// The PgBouncers before this cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pools {
    /// None that this member knows.
    #[default]
    None,
    /// There are some, and they hold their clients on a wish.
    Known,
}

/// A leadership of an earlier run: Postgres may stay open until then, while we look whether it is still ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remembered {
    /// Of which term.
    pub term: Term,
    /// Until when, on our clock (which counts from the machine's boot).
    pub until: Millis,
}

/// How long the first failed attempt to take over keeps its candidate from another.
const FIRST_ATTEMPT: Millis = Millis(2_000);

/// One member's decisions. It can be written down and read again as it is, for the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    config: Config,
    belief: Belief,
    desk: Desk,
    role: Role,
    reason: Reason,
    born_at: Option<Millis>,
    rejoining: Rejoining,
    let_go: Option<LetGo>,
    leaving: Option<(Leave, Millis)>,
    exited: bool,
    /// After a failed promotion: not before this instant, and how long the next wait will be.
    unfit: (Millis, Millis),
    told: Told,
    slots: slots::Slots,
    roll: Roll,
    /// The request that we have accepted.
    accepted: Option<Accepted>,
    /// Whether PgBouncers are to hold their clients for it, as of this round.
    #[serde(default)]
    holding: Holding,
    /// Since when we know the requests whose target is not fit yet.
    asked: BTreeMap<RequestId, Millis>,
    /// The requests that waited for their time, which has come.
    #[serde(default)]
    due: BTreeSet<RequestId>,
    /// Why we do not stand, while nobody leads.
    waits: Option<Waits>,
    /// Our Postgres is restarted on an operator's wish.
    #[serde(default)]
    restarting: Option<restart::Restarting>,
    /// What is still to be done before it is let go.
    #[serde(default)]
    lowering: restart::Lowering,
    /// The request for a clone that failed, and why: it answers no other one.
    #[serde(default)]
    clone_failed: Option<(RequestId, String)>,
    promised: Promised,
    /// How we go on without the store.
    failsafe: Failsafe,
    voting: Voting,
    electorate: Electorate,
    /// Of our leadership: where its timeline's first record ended. Voters flush that before clients are let in.
    opening: Option<voting::Opening>,
    /// How the last election that we won came about.
    #[serde(default)]
    chronicle: Chronicle,
    /// What our Postgres discarded and the store does not show.
    #[serde(default)]
    telling: Telling,
    /// After an attempt to take over: not before this instant, and how long the next wait will be.
    attempts: (Millis, Millis),
    #[serde(skip)]
    off: Off,
}

impl Node {
    /// A node that believes nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            belief: Belief::new(&config),
            desk: Desk::new(config.seed),
            role: Role::Waking,
            reason: Reason::Started,
            born_at: None,
            rejoining: Rejoining::default(),
            let_go: None,
            lowering: restart::Lowering::NotAsked,
            leaving: None,
            exited: false,
            unfit: (Millis(0), Millis(1_000)),
            told: Told::default(),
            slots: slots::Slots::default(),
            roll: Roll::default(),
            accepted: None,
            holding: Holding::default(),
            asked: BTreeMap::new(),
            due: BTreeSet::new(),
            waits: None,
            restarting: None,
            clone_failed: None,
            promised: Promised::found(config.promises.clone()),
            failsafe: Failsafe::default(),
            voting: Voting::default(),
            electorate: Electorate::default(),
            opening: None,
            chronicle: Chronicle::default(),
            telling: Telling::default(),
            attempts: (Millis(0), FIRST_ATTEMPT),
            off: Off::default(),
            config,
        }
    }

    /// The same, with one mechanism of safety switched off, or one more.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub const fn without(mut self, mechanism: crate::Mechanism) -> Self {
        self.off = self.off.and(mechanism);
        self.belief.off = self.off;
        self.desk.off = self.off;
        self
    }

    /// Learn of `input`, decide, wish.
    pub fn handle(&mut self, now: Millis, input: &Input) -> Vec<Effect> {
        self.born_at.get_or_insert(now);
        self.belief.learn(now, input);
        match self.desk.learn(now, input) {
            Some(Ended::Job(job, result)) => self.job_ended(now, &job, &result),
            Some(Ended::Txn(Purpose::Sync, outcome)) => {
                let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
                self.voting.learn(outcome, desk::seen(sync));
            }
            Some(Ended::Txn(Purpose::Discarded(fork), outcome)) => {
                self.discarded_told(now, fork, outcome);
            }
            Some(Ended::Txn(..)) | None => {}
        }
        match input {
            Input::Promised(promises) => self.promised.learn(promises),
            Input::Discarded(lost) => self.telling.learn(lost),
            Input::Tags(tags) => self.take_tags(tags),
            Input::Lease(LeaseNews::Gone { .. }) => self.desk.lease_is_gone(),
            Input::Stop(leave) => {
                let (_, since) = self.leaving.unwrap_or((*leave, now));
                self.leaving = Some((*leave, since));
            }
            Input::Tick
            | Input::Store(_)
            | Input::Lease(_)
            | Input::StoreRevokesEarly(_)
            | Input::LeaseSeen(_)
            | Input::Postgres(_)
            | Input::Job(..)
            | Input::Peer(_)
            | Input::Wall(_) => {}
        }
        self.desk.begin(now.after(self.beat_interval()));
        if !self.exited {
            self.decide(now);
        }
        self.desk.take()
    }

    /// When `Input::Tick` is due next, if nothing else happens before.
    #[must_use]
    pub const fn deadline(&self) -> Millis {
        self.desk.wake()
    }

    /// What it is doing about the leadership.
    #[must_use]
    pub const fn role(&self) -> &Role {
        &self.role
    }

    fn decide(&mut self, now: Millis) {
        if let Some((Leave::LeavePostgres, _)) = self.leaving {
            return self.exit(Exit::Stopped);
        }
        self.holding = Holding::default();
        self.keep_schedule(now);
        self.keep_consent(now);
        self.ask_everybody(now);
        // Each step takes at most one transition; no legal chain of them is longer than this.
        for _ in 0..8 {
            let Some((role, reason)) = self.step(now) else { break };
            self.enter(role, reason);
        }
        if self.exited {
            return;
        }
        self.end_unused_hold();
        self.keep_lease(now);
        self.undrains();
        self.tell_discarded(now);
        self.keep_promises(now);
        self.watch_leader(now);
        self.ask_after_leader(now);
        self.publish(now);
    }

    fn step(&mut self, now: Millis) -> Option<(Role, Reason)> {
        self.waits = None;
        match self.role.clone() {
            Role::Waking => self.waking(now),
            Role::Replica => self.replica(now),
            Role::Candidate { token, since } => self.candidate(now, token, since),
            Role::Promoting { term, timeline, since, stood_at } => {
                self.promoting(now, (term, timeline), (since, stood_at))
            }
            Role::Primary { term, to_tell, silent_since } => {
                self.primary(now, term, to_tell, silent_since)
            }
            Role::StandbyLeader { term, silent_since } => {
                self.standby_leader(now, term, silent_since)
            }
            Role::Closing(closing) => self.closing(now, &closing),
            Role::Refused(why) => {
                if !self.stops_what_it_started() {
                    self.exit(Exit::Refused(why));
                }
                None
            }
        }
    }

    fn enter(&mut self, role: Role, reason: Reason) {
        let quiet = self.role.name() == role.name();
        let transition = Transition {
            from: self.role.name().to_owned(),
            to: role.name().to_owned(),
            reason,
            term: self.belief.term,
        };
        match &role {
            Role::Promoting { .. } => {
                self.rejoining.promote_failed = false;
                self.rejoining.promote_done = false;
                self.attempts.1 = FIRST_ATTEMPT;
                self.forget_members();
            }
            Role::Closing(_) => self.desk.may_close_anew(),
            Role::Waking
            | Role::Replica
            | Role::Candidate { .. }
            | Role::Primary { .. }
            | Role::StandbyLeader { .. }
            | Role::Refused(_) => {}
        }
        self.role = role;
        let told = matches!(
            reason,
            Reason::Renewed | Reason::Reclaimed | Reason::Failsafe | Reason::StoreIsBack
        );
        if !quiet || told {
            self.reason = reason;
            self.desk.wish(Effect::Announce(transition));
        }
    }

    fn exit(&mut self, exit: Exit) {
        self.exited = true;
        self.desk.wish(Effect::Exit(exit));
    }

    /// Every member holds a lease; a leader also confirms, after each renewal, that it still leads. Whoever closes
    /// writes at once needs none: should that not come to an end, others do not wait for it.
    fn keep_lease(&mut self, now: Millis) {
        let timing = self.belief.settings().timing;
        if matches!(&self.role, Role::Closing(Closing { how: How::AtOnce, .. })) {
            return;
        }
        match (self.belief.lease, self.belief.lease_to_adopt()) {
            (Some(lease), _) => {
                // Where the leader finds etcd silent, or our key is gone, we look at once.
                let doubt = self.belief.leader_blind_at.is_some_and(|at| lease.asked_at < at)
                    || self.belief.lease_is_doubtful(lease);
                // A round that goes with a longer lease may be longer than ours lasts.
                let other = self.belief.other_ttl(lease);
                let hurry = doubt || other.is_some();
                let due =
                    if hurry { now } else { lease.asked_at.after(self.renewal_interval(now)) };
                match other.filter(|_| self.may_change_lease(lease)) {
                    Some(ttl) => self.ask_lease(now, due, ttl),
                    None => self.desk.lease(now, due, StoreWish::KeepAlive(lease.id)),
                }
            }
            (None, Some(id)) if self.role == Role::Waking => {
                self.desk.lease(now, now, StoreWish::KeepAlive(id));
            }
            // Before the first view we cannot know whether there is a lease of ours to adopt.
            (None, _) if self.belief.view.is_none() => {}
            (None, _) => self.ask_lease(now, now, timing.ttl),
        }
        if self.belief.unconfirmed() || self.belief.doubts_store() {
            self.desk.read(now);
        }
    }

    fn ask_lease(&mut self, now: Millis, due: Millis, ttl: Millis) {
        self.belief.asked_ttl = Some(ttl);
        self.desk.lease(now, due, StoreWish::GrantLease { ttl });
    }

    /// Whether a lease of another ttl may take the place of ours: nothing is under way that rests on it, and all that
    /// hangs on it is ours to move.
    fn may_change_lease(&self, lease: Lease) -> bool {
        let calm =
            matches!(self.role, Role::Replica | Role::Primary { .. } | Role::StandbyLeader { .. });
        let key = self.belief.own_leader_key();
        calm && key.is_none_or(|key| key.lease == Some(lease.id))
    }

    fn job_ended(&mut self, now: Millis, job: &Job, result: &JobResult) {
        self.note_stop(job);
        self.note_restart(job, result);
        match result {
            JobResult::Done => self.rejoining.done(job),
            JobResult::Failed(_) if matches!(job, Job::Hold | Job::Lower) => {}
            JobResult::Failed(_) => self.rejoining.failed(now, job),
            JobResult::Aborted => {}
        }
        match (job, result) {
            (Job::Promote { .. }, JobResult::Failed(_)) => self.rejoining.promote_failed = true,
            (Job::Promote { .. }, JobResult::Done) => self.rejoining.promote_done = true,
            (Job::InitDb, JobResult::Done) => self.slots.newborn = true,
            (Job::Checkpoint, _) => self.checkpointed(),
            (Job::Hold, _) => self.hold_ended(result),
            (Job::Clone(_), JobResult::Failed(why)) => self.clone_fails(why),
            (_, _) => {}
        }
    }
}
