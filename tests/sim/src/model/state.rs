//! A small world: members, etcd, WAL, what is on its way, and what may still go wrong. Decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use haa_core::effect::{Job, StoreWish};
use haa_core::input::Input;
use haa_core::node::Remembered;
use haa_core::observe::{Heartbeat, PeerState};
use haa_core::units::{JobId, MemberName, Millis, Position, Revision, Term, TxnId};
use serde::Serialize;

use crate::brain::Brain;
use crate::etcd::Etcd;
use crate::model::action::Kind;
use crate::model::digest::Words;
use crate::model::judge::{Ledger, Violation};
use crate::model::scope::{Left, Pace, STEP, Scope};
use crate::mutation::Broken;
use crate::postgres::Postgres;
use crate::time::At;
use crate::wal::{Histories, Wal};

/// What an agent's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Life {
    /// It runs.
    Running,
    /// It is frozen: everything waits.
    Frozen,
    /// It is not there.
    Down,
}

/// The way between an agent and etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Link {
    /// Open.
    Up,
    /// Nothing passes.
    Cut,
}

/// A request of an agent to etcd.
#[derive(Clone, Debug, Serialize)]
pub struct Ask {
    /// Whose.
    pub member: usize,
    /// When it was sent, by the agent's clock.
    pub asked_at: Millis,
    /// What.
    pub wish: StoreWish,
}

/// A transaction that was not answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Unknown {
    /// Which.
    pub id: TxnId,
    /// When it was sent, by the agent's clock.
    pub asked_at: Millis,
}

/// Work in the job slot.
#[derive(Clone, Debug, Serialize)]
pub struct Slot {
    /// The node's number.
    pub id: JobId,
    /// What.
    pub job: Job,
    /// True time when it began.
    pub began: Millis,
}

/// What in a heartbeat an election rests on. All else that it says is heard at once, and its age is kept young.
pub type Gist = (PeerState, Option<(Term, Position)>);

/// What happens within this step, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The periodic look and the node's tick.
    pub turn: bool,
    /// A look, because something happened.
    pub look: bool,
    /// Postgres is being killed.
    pub kill: bool,
}

/// A member.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// What the agent does.
    pub life: Life,
    /// Counts the agent's runs.
    pub lives: u32,
    /// How far its clock is ahead: by an instant for each piece of work that ended, or the looks before and after
    /// that could not be told apart.
    pub ahead: Millis,
    /// The node.
    pub brain: Option<Brain>,
    /// What the node learns next, before anything else happens.
    pub inbox: VecDeque<Input>,
    /// Requests that etcd serves next.
    pub asks: VecDeque<Ask>,
    /// Reads that wait for the way to etcd to open.
    pub reads: u8,
    /// Transactions whose outcome is to be read back.
    pub unknown: VecDeque<Unknown>,
    /// Answers of etcd that are late.
    pub answers: VecDeque<Input>,
    /// The newest revision that the node was shown.
    pub shown: Revision,
    /// The newest heartbeat of each other that says something new and is on its way.
    pub heard: BTreeMap<usize, Heartbeat>,
    /// What it said last.
    pub said: Option<Gist>,
    /// The job slot.
    pub slot: Option<Slot>,
    /// What happens within this step.
    pub due: Due,
    /// The way to etcd.
    pub link: Link,
    /// On the agent's disk.
    pub remembered: Option<Remembered>,
    /// The guard closes writes then.
    pub guard: Option<Millis>,
    /// Until then `/primary` says yes, as things stand.
    pub says_primary: Option<Millis>,
    /// When something was last wrong with it.
    pub troubled: Millis,
    /// Its Postgres.
    pub postgres: Postgres,
}

/// A commit that a client saw succeed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Commit(pub Wal);

/// What the last event did, for whoever counts or reads.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// One bit each of [`crate::model::sometimes::Sometimes`].
    pub sometimes: u32,
    /// What does not hold.
    pub violation: Option<Violation>,
    /// One line an event, if somebody reads it.
    pub story: Option<Vec<String>>,
}

/// The world. Its parts are shared between states that do not differ in them.
#[derive(Clone, Debug)]
pub struct State {
    /// Everybody's clock.
    pub now: Millis,
    /// etcd.
    pub etcd: Rc<Etcd>,
    /// The members.
    pub members: Vec<Rc<Member>>,
    /// Every WAL history.
    pub wals: Rc<Histories>,
    /// What clients saw succeed.
    pub acked: Vec<Commit>,
    /// Transactions on their way that nobody waits for any more.
    pub late: Vec<Rc<Ask>>,
    /// What the invariants remember.
    pub ledger: Rc<Ledger>,
    /// Counts incarnations.
    pub incarnations: u64,
    /// What may still happen.
    pub left: Left,
    /// What the last event did; no part of the state.
    pub noted: Noted,
    /// What is broken on purpose; the same in all states.
    pub broken: Option<Broken>,
    /// What may go wrong; the same in all states.
    pub kinds: &'static [Kind],
    /// When long work may end; the same in all states.
    pub pace: Pace,
}

impl State {
    /// Nobody has data, no agent runs, and nothing can go wrong yet.
    #[must_use]
    pub fn empty(scope: &Scope) -> Self {
        let member = || Rc::new(Member::default());
        Self {
            now: STEP,
            etcd: Rc::default(),
            members: (0..scope.members).map(|_| member()).collect(),
            wals: Rc::default(),
            acked: Vec::new(),
            late: Vec::new(),
            ledger: Rc::default(),
            incarnations: 0,
            left: Left { faults: 0, writes: 0, wishes: 0, steps: u8::MAX },
            noted: Noted::default(),
            broken: scope.broken,
            kinds: scope.kinds,
            pace: scope.pace,
        }
    }

    /// The digest of all that can make a difference later.
    #[must_use]
    pub fn digest(&self) -> u128 {
        let mut words = Words::default();
        words.add(&(self.now, &*self.etcd, self.incarnations, self.left));
        words.add(&(&*self.wals, &self.acked, &*self.ledger));
        for member in &self.members {
            words.next_member();
            words.add(&**member);
        }
        words.next_member();
        for ask in &self.late {
            words.add(&**ask);
        }
        words.finish()
    }

    /// A member, to be changed.
    pub fn member(&mut self, member: usize) -> &mut Member {
        Rc::make_mut(&mut self.members[member])
    }

    /// A member's number.
    #[must_use]
    pub fn index(&self, name: &MemberName) -> Option<usize> {
        (0..self.members.len()).find(|member| self::name(*member) == *name)
    }

    /// What this member's clock shows.
    #[must_use]
    pub fn local(&self, member: usize) -> Millis {
        self.now.after(self.members[member].ahead)
    }

    /// True time, as the parts shared with the simulator count it.
    #[must_use]
    pub const fn at(&self) -> At {
        At::ms(self.now.0)
    }

    /// Writes a line of the story, if somebody reads it.
    pub fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.noted.story.is_some() {
            let line = line(self);
            self.noted.story.get_or_insert_default().push(line);
        }
    }

    /// Something went wrong with this member just now.
    pub fn trouble(&mut self, member: usize) {
        let now = self.now;
        self.member(member).troubled = now;
    }
}

impl Default for Member {
    fn default() -> Self {
        Self {
            life: Life::Down,
            lives: 0,
            ahead: Millis(0),
            brain: None,
            inbox: VecDeque::new(),
            asks: VecDeque::new(),
            reads: 0,
            unknown: VecDeque::new(),
            answers: VecDeque::new(),
            shown: Revision::ABSENT,
            heard: BTreeMap::new(),
            said: None,
            slot: None,
            due: Due::default(),
            link: Link::Up,
            remembered: None,
            guard: None,
            says_primary: None,
            troubled: Millis(0),
            postgres: Postgres::default(),
        }
    }
}

/// `n1`, `n2`, `n3`.
#[must_use]
pub fn name(member: usize) -> MemberName {
    format!("n{}", member + 1).parse().expect("a letter and a number are a legal name")
}
