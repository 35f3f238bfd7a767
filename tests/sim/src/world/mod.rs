//! The world around the nodes, and its one event loop over virtual time. Never judges what it sees.

pub mod abroad;
pub mod agent;
pub mod ambush;
pub mod clients;
pub mod errands;
pub mod faults;
pub mod hold;
pub mod jobs;
pub mod member;
pub mod nemesis;
pub mod pools;
pub mod readers;
pub mod server;
pub mod slots;
mod standing;
pub mod store;
mod streams;

use std::collections::BTreeMap;
use std::rc::Rc;

use haa_core::input::Input;
use haa_core::node::Pools;
use haa_core::records::Tags;
use haa_core::settings::Settings;
use haa_core::units::{LeaseId, MemberName, Millis, Term, Timeline};

use crate::client::{Acknowledged, Way};
use crate::conduct::Conduct;
use crate::dice::Dice;
use crate::etcd::Etcd;
use crate::mutation::Broken;
use crate::net::Net;
use crate::queue::Queue;
use crate::sometimes::Sometimes;
use crate::time::At;
use crate::wal::{BranchId, Histories, Wal};
use ambush::Ambush;
use faults::Fault;
use hold::Hold;
use member::Member;
use store::{Answer, Ask};

/// What will happen. `life` names a run of an agent, `run` a run of a server: what belongs to an earlier one is void.
#[derive(Clone, Debug)]
pub enum Event {
    /// For an agent.
    Agent {
        /// Whose.
        member: usize,
        /// Of which run.
        life: u32,
        /// What.
        what: ForAgent,
    },
    /// For a server.
    Server {
        /// Whose.
        member: usize,
        /// Of which run.
        run: u32,
        /// What.
        what: ForServer,
    },
    /// The work in a job slot comes to its end.
    Job {
        /// Whose.
        member: usize,
        /// Which occupation of the slot.
        serial: u64,
    },
    /// A request reaches etcd.
    Ask(Box<Ask>),
    /// A lease may have ended.
    Lease(LeaseId),
    /// etcd tells a watcher.
    Notify {
        /// Whom.
        member: usize,
        /// Which run of its agent.
        life: u32,
    },
    /// The guard's deadline may have come.
    Guard(usize),
    /// A client writes.
    Client(Way),
    /// Primaries write WAL of their own accord.
    Background,
    /// A fault, or the end of one.
    Fault(Box<Fault>),
    /// The next fault is drawn.
    Nemesis,
}

/// What reaches an agent; while it is frozen, all this waits.
#[derive(Clone, Debug)]
pub enum ForAgent {
    /// The node's deadline.
    Tick,
    /// An input.
    Input(Box<Input>),
    /// A heartbeat.
    Peer(Rc<Input>),
    /// etcd answers.
    Answer(Box<Answer>),
    /// A request was not answered in time.
    Timeout(u64),
    /// The watch shows this.
    Watch(Rc<Input>),
    /// The watch is dead: list again.
    Relist,
    /// A look at Postgres ends.
    Looked,
    /// It is time for the next look, unless there was one since this.
    Glance(u32),
    /// Wishes that were held up between decision and deed.
    Perform(Vec<haa_core::effect::Effect>),
    /// The disk has taken this.
    Promised(haa_core::voters::Promises),
    /// What it carries out by itself comes to its end.
    Errand(haa_core::records::RequestId),
}

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
pub enum ForServer {
    /// Its start comes to an end.
    Started,
    /// It hears of a moment at which no transaction had too many savepoints.
    Snapshot,
    /// It leaves recovery onto this timeline, in this term.
    Promoted(Timeline, Option<Term>),
    /// It ends in order.
    Stopped,
    /// It is killed.
    Killed,
    /// It tries to connect to its source.
    Connect(u32),
    /// WAL arrives from this member's run.
    Ship {
        /// From whom.
        source: usize,
        /// Its run.
        run: u32,
        /// All that it had when it was sent.
        wal: Wal,
    },
    /// A silent connection is given up.
    Hangup(u32),
    /// Replay has come so far.
    Replay(haa_core::units::Lsn),
    /// Every process has taken the newest list, if it is still this one of so many.
    ListTaken(usize),
    /// Clients are let in.
    Door,
}

/// Something that an invariant may care about.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// A Postgres came out of recovery.
    Opened(usize),
    /// A Postgres that was out of recovery ended.
    Closed(usize),
    /// A commit was acknowledged in `quorum`.
    Acknowledged {
        /// By whom.
        member: usize,
        /// On which branch.
        branch: BranchId,
        /// Where its record ends.
        end: haa_core::units::Lsn,
    },
    /// Clients are let in.
    DoorOpened(usize),
    /// Clients may read a standby from now on.
    Readable(usize),
    /// A member's WAL has grown by what another sent.
    Received {
        /// Who.
        member: usize,
        /// From whom.
        source: usize,
    },
    /// The lists that a primary goes by have changed.
    Listed(usize),
    /// Something changed in etcd.
    Stored,
    /// etcd was restored: what it said before is no more.
    Restored,
    /// The `leader` key of this leadership is gone or another's.
    LeaderGone {
        /// Whose.
        member: usize,
        /// Of which term.
        term: Term,
        /// How.
        how: store::Gone,
    },
    /// Readers were sent to a replica, and saw this commit of a leader there, and all before it.
    Shown {
        /// Where.
        member: usize,
        /// The newest that they saw.
        commit: Wal,
    },
    /// An agent published a status.
    Published(usize),
    /// A member's `primary_conninfo` was pointed at a source.
    Sourced {
        /// Whose.
        member: usize,
        /// Where to.
        source: usize,
    },
    /// A data directory was erased or overwritten.
    Overwrites {
        /// Whose.
        member: usize,
        /// What it held.
        lost: Wal,
        /// Whether that was a server's data, or a copy that never came to be one.
        was: Held,
    },
    /// A member made a new database system.
    Initialised(usize),
    /// A timeline was made.
    Branched(BranchId),
    /// A standby streams.
    Joined {
        /// Who.
        member: usize,
        /// From whom.
        source: usize,
    },
}

/// What a data directory held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A server's data.
    Data,
    /// A clone or a rewound directory that was never consistent since.
    IncompleteCopy,
}

/// Whether a guard closes writes where the agent cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It does.
    On,
    /// There is none.
    Off,
}

/// Whether etcd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdState {
    /// It does.
    Up,
    /// Stopped, or between two of its leaders.
    Down,
}

/// Which etcd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdRelease {
    /// From before 3.5.13: it can revoke a live lease.
    Old,
    /// It keeps its word.
    New,
}

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many members.
    pub members: usize,
    /// What the cluster begins with.
    pub settings: Settings,
    /// The guard.
    pub guard: Guard,
    /// etcd's release.
    pub etcd: EtcdRelease,
    /// What is broken on purpose.
    pub broken: Option<Broken>,
    /// The operator's tags.
    pub tags: BTreeMap<usize, Tags>,
    /// Agents that were given another member's name by mistake, and that name.
    pub namesakes: BTreeMap<usize, MemberName>,
    /// The span between the starts of two agents.
    pub apart: At,
    /// `wal_receiver_timeout`: a connection that says nothing for so long is given up.
    pub receiver_timeout: At,
    /// Each member's clock gains or loses up to this many microseconds a second.
    pub drift_ppm: u32,
    /// Whether there are PgBouncers that agents hold.
    pub pools: Pools,
    /// Which of the members stands for another cluster.
    pub other_site: Option<usize>,
    /// Whether a new cluster follows that one.
    pub follows: bool,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// True time.
    pub now: At,
    /// How it was made.
    pub plan: Plan,
    /// The members.
    pub members: Vec<Member>,
    /// etcd.
    pub etcd: Etcd,
    /// Its backup.
    pub(crate) backup: Option<Etcd>,
    /// Whether it answers.
    pub etcd_state: EtcdState,
    /// What stays on its way there.
    pub(crate) on_hold: Hold,
    /// What waits for the next attempt.
    pub(crate) ambush: Ambush,
    /// The network.
    pub net: Net,
    /// Every WAL history.
    pub wals: Histories,
    /// How things behave at the moment.
    pub conduct: Conduct,
    /// What clients saw succeed.
    pub acknowledged: Vec<Acknowledged>,
    /// Where each commit ends that was ever written.
    pub written: Vec<Wal>,
    /// The same in `quorum`, the newest of each branch: what must never be lost.
    pub durable: BTreeMap<BranchId, haa_core::units::Lsn>,
    /// The last write that a client saw succeed through a route.
    pub routed_ack: Option<u64>,
    /// The first write of a demand that is not met yet.
    pub(crate) demanded: Option<u64>,
    /// PgBouncers hold their clients, on the word of this member.
    pub held_by: Option<usize>,
    /// When a fault, or the end of one, last touched each member.
    pub troubled_at: Vec<At>,
    /// What happened, counted.
    pub sometimes: Sometimes,
    /// What the last event did.
    pub deeds: Vec<Deed>,
    /// How often readers have asked.
    pub reads: usize,
    /// One line a transition or a fault, if somebody reads it.
    pub story: Option<Vec<String>>,
    /// Which faults come.
    pub mix: Option<nemesis::Mix>,
    /// Chance.
    pub dice: Dice,
    pub(crate) queue: Queue<Event>,
    pub(crate) serial: u64,
    /// How many events there were.
    pub events: u64,
}

impl World {
    /// A world in which every agent is about to start and no member has data.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        let members =
            (0..plan.members).map(|n| Member::new(n, plan.drift_ppm, &mut dice)).collect();
        let mut world = Self {
            now: At(0),
            members,
            etcd: Etcd::default(),
            backup: None,
            etcd_state: EtcdState::Up,
            on_hold: Hold::default(),
            ambush: Ambush::default(),
            net: Net::new(plan.members),
            wals: Histories::default(),
            conduct: Conduct::default(),
            acknowledged: Vec::new(),
            written: Vec::new(),
            durable: BTreeMap::new(),
            routed_ack: None,
            demanded: None,
            held_by: None,
            troubled_at: vec![At(0); plan.members],
            sometimes: Sometimes::default(),
            deeds: Vec::new(),
            reads: 0,
            story: None,
            mix: None,
            dice,
            queue: Queue::default(),
            serial: 0,
            events: 0,
            plan,
        };
        let other = world.plan.other_site;
        if let Some(other) = other.filter(|_| world.plan.follows) {
            world.begin_abroad(other);
        }
        for member in (0..world.members.len()).filter(|member| Some(*member) != other) {
            let at = At(world.plan.apart.0 * member as u64);
            world.queue.push(at, Event::Fault(Box::new(Fault::StartAgent(member))));
        }
        world.queue.push(At::secs(10), Event::Background);
        world
    }

    /// The next event up to `limit`; false when there is none, and it is `limit`.
    pub fn step(&mut self, limit: At) -> bool {
        let Some((at, event)) = self.queue.pop(limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = at;
        self.events += 1;
        match event {
            Event::Agent { member, life, what } => self.for_agent(member, life, what),
            Event::Server { member, run, what } => self.for_server(member, run, what),
            Event::Job { member, serial } => self.end_of_work(member, serial),
            Event::Ask(ask) => self.at_etcd(*ask),
            Event::Lease(id) => self.lease_due(id),
            Event::Notify { member, life } => self.notify(member, life),
            Event::Guard(member) => self.guard_due(member),
            Event::Client(way) => self.client(way),
            Event::Background => self.background(),
            Event::Fault(fault) => self.inject(&fault),
            Event::Nemesis => self.nemesis(),
        }
        true
    }

    /// What this member's clock shows.
    #[must_use]
    pub fn local(&self, member: usize) -> Millis {
        self.members[member].clock.read(self.now)
    }

    /// A member's number.
    #[must_use]
    pub fn index(&self, name: &MemberName) -> Option<usize> {
        self.members.iter().position(|member| member.name == *name)
    }

    /// Puts an event into the queue, this span from now.
    pub(crate) fn later(&mut self, span: At, event: Event) {
        self.queue.push(self.now.after(span), event);
    }

    pub(crate) fn tell_agent(&mut self, span: At, member: usize, what: ForAgent) {
        let life = self.members[member].agent.life;
        self.later(span, Event::Agent { member, life, what });
    }

    pub(crate) fn tell_server(&mut self, span: At, member: usize, what: ForServer) {
        let run = self.members[member].postgres.run;
        self.later(span, Event::Server { member, run, what });
    }

    /// Writes a line of the story, if somebody reads it.
    pub(crate) fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = format!("{:>10}  {}", self.now.to_string(), line(self));
            self.story.get_or_insert_default().push(line);
        }
    }
}
