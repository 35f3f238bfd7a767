//! What happens in a small world, event by event. Never which of it does happen.

use std::rc::Rc;

use haa_core::effect::{StoreWish, Txn};
use haa_core::input::{Input, Outcome, Via};
use haa_core::observe::Shutdown;
use haa_core::records::{Ask as Wished, Record, RequestRecord, RequestState};
use haa_core::units::{LeaseId, TxnId};

use crate::model::judge::Gone;
use crate::model::scope::STEP;
use crate::model::sometimes::Sometimes;
use crate::model::state::{Ask, Due, Life, Link, State, Unknown, name};

/// What can go wrong; each time costs one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Time passes, and what was on its way is late.
    Delay,
    /// etcd applies a transaction and its answer is lost.
    Untold,
    /// A transaction stays on its way; nobody knows what becomes of it.
    Stray,
    /// etcd's answer to a renewal or a read is late.
    Slow,
    /// Postgres dies.
    Crash,
    /// An agent dies, and may start again.
    EndAgent,
    /// An agent is frozen, and may thaw.
    Freeze,
    /// An agent does not reach etcd, and may again.
    Cut,
    /// The work in a job slot fails.
    Fail,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// etcd serves a member's next request, and its answer arrives.
    Serve(usize),
    /// A node learns what waits for it.
    Hand(usize),
    /// The periodic look and the tick.
    Turn(usize),
    /// A look, because something happened.
    Look(usize),
    /// The watch shows the newest.
    Watch(usize),
    /// The first hears the news of the second.
    Hear(usize, usize),
    /// The outcome of a transaction is read back.
    ReadBack(usize),
    /// A late answer of etcd arrives.
    Answer(usize),
    /// The work in the slot ends.
    Work(usize),
    /// A promotion ends that no agent waits for.
    Open(usize),
    /// A Postgres that was being killed is dead.
    Kill(usize),
    /// The guard's deadline has come.
    Guard(usize),
    /// A standby receives what its source has.
    Stream(usize),
    /// etcd ends a lease whose time is over.
    Expire(LeaseId),
    /// A transaction arrives at etcd long after it was sent.
    Apply(usize),
    /// An agent starts.
    Start(usize),
    /// An agent is thawed.
    Thaw(usize),
    /// The way to etcd is open again.
    Mend(usize),
    /// A client writes.
    Write(usize),
    /// An operator asks for a switchover to a member.
    Wish(usize),
    /// Time passes.
    Step,
    /// Something goes wrong, with this member if it is with one.
    Fault(Kind, usize),
}

impl State {
    /// Lets it happen.
    pub fn apply(&mut self, action: Action) {
        // That a node learns what has just been told goes without saying.
        if !matches!(action, Action::Hand(_)) {
            self.say(|state| state.sentence(action));
        }
        match action {
            Action::Serve(m) => self.serve_next(m),
            Action::Hand(m) => self.hand(m),
            Action::Turn(m) => self.turn(m),
            Action::Look(m) => {
                self.member(m).due.look = false;
                let look = self.look(m);
                self.deliver(m, &look);
            }
            Action::Watch(m) => {
                let view = self.view(Via::Watch);
                self.deliver(m, &view);
            }
            Action::Hear(m, from) => {
                if let Some(beat) = self.member(m).heard.remove(&from) {
                    self.deliver(m, &Input::Peer(Box::new(beat)));
                }
            }
            Action::ReadBack(m) => self.read_back(m),
            Action::Answer(m) => {
                if let Some(answer) = self.member(m).answers.pop_front() {
                    self.deliver(m, &answer);
                }
            }
            Action::Work(m) => self.end_work(m),
            Action::Open(m) => {
                let term = self.members[m].remembered.map(|leadership| leadership.term);
                self.promoted(m, term);
            }
            Action::Kill(m) => {
                self.member(m).due.kill = false;
                self.end_server(m, Shutdown::Crashed);
            }
            Action::Guard(m) => {
                self.member(m).guard = None;
                self.note(Sometimes::GuardClosed);
                self.end_server(m, Shutdown::Crashed);
            }
            Action::Stream(m) => self.stream(m),
            Action::Expire(id) => self.revoke(id, Gone::Expired),
            Action::Apply(at) => self.arrive_late(at),
            Action::Start(m) => self.start_agent(m),
            Action::Thaw(m) => {
                self.member(m).life = Life::Running;
                self.trouble(m);
            }
            Action::Mend(m) => self.mend(m),
            Action::Write(m) => {
                self.left.writes -= 1;
                self.write(m);
            }
            Action::Wish(m) => self.wish(m),
            Action::Step => self.step(),
            Action::Fault(kind, m) => self.strike(kind, m),
        }
    }

    fn strike(&mut self, kind: Kind, m: usize) {
        self.left.faults -= 1;
        self.trouble(m);
        match kind {
            Kind::Delay => {
                (0..self.members.len()).for_each(|m| self.trouble(m));
                self.step();
            }
            Kind::Untold => {
                if let Some((ask, txn)) = self.lose_answer(m)
                    && self.transact(ask.member, &txn) == Outcome::Committed
                {
                    self.note(Sometimes::UnknownApplied);
                }
            }
            Kind::Stray => {
                if let Some((ask, _)) = self.lose_answer(m) {
                    self.late.push(Rc::new(ask));
                }
            }
            Kind::Slow => {
                if let Some(answer) = self.next_ask(m).and_then(|ask| self.serve(&ask)) {
                    self.member(m).answers.push_back(answer);
                }
            }
            Kind::Crash => self.end_server(m, Shutdown::Crashed),
            Kind::EndAgent => self.end_agent(m),
            Kind::Freeze => self.member(m).life = Life::Frozen,
            Kind::Cut => self.member(m).link = Link::Cut,
            Kind::Fail => self.fail_work(m),
        }
    }

    fn serve_next(&mut self, m: usize) {
        if let Some(answer) = self.next_ask(m).and_then(|ask| self.serve(&ask)) {
            self.member(m).inbox.push_back(answer);
        }
    }

    /// A transaction is on its way, and its member will have to read what became of it.
    fn lose_answer(&mut self, m: usize) -> Option<(Ask, Txn)> {
        let ask = self.next_ask(m)?;
        let StoreWish::Txn(txn) = &ask.wish else { return None };
        let (id, asked_at, txn) = (txn.id, ask.asked_at, txn.clone());
        self.member(m).unknown.push_back(Unknown { id, asked_at });
        Some((ask, txn))
    }

    fn read_back(&mut self, m: usize) {
        if let Some(unknown) = self.member(m).unknown.pop_front() {
            let (id, asked_at) = (unknown.id, unknown.asked_at);
            let view = self.view(Via::Txn { id, asked_at, outcome: Outcome::Unknown });
            self.deliver(m, &view);
        }
    }

    fn arrive_late(&mut self, at: usize) {
        let ask = self.late.remove(at);
        if let StoreWish::Txn(txn) = &ask.wish
            && self.transact(ask.member, txn) == Outcome::Committed
        {
            self.note(Sometimes::UnknownApplied);
            self.note(Sometimes::LateApplied);
        }
    }

    fn mend(&mut self, m: usize) {
        self.trouble(m);
        let asked_at = self.local(m);
        let who = self.member(m);
        who.link = Link::Up;
        // The watch lists anew; a read that waited is answered by the same.
        who.reads = 0;
        who.asks.push_back(Ask { member: m, asked_at, wish: StoreWish::Read });
    }

    fn wish(&mut self, m: usize) {
        self.left.wishes -= 1;
        let request = RequestRecord {
            ask: Wished::Switchover { to: Some(name(m)) },
            by: String::new(),
            asked_unix_ms: 0,
            due: None,
            ended_unix_ms: None,
            state: RequestState::Pending,
        };
        let put = vec![(Record::Request("r1".to_owned(), request), None)];
        let txn = Txn { id: TxnId(0), compare: Vec::new(), put, delete: Vec::new() };
        self.transact(m, &txn);
    }

    fn step(&mut self) {
        self.now = self.now.after(STEP);
        if self.left.steps != u8::MAX {
            self.left.steps -= 1;
        }
        for m in 0..self.members.len() {
            if self.members[m].life != Life::Down {
                let due = self.members[m].due;
                self.member(m).due = Due { turn: true, ..due };
            }
        }
    }
}

impl Action {
    /// Which kind of fault it is, if it is one.
    #[must_use]
    pub fn fault(self) -> Option<Kind> {
        if let Self::Fault(kind, _) = self { Some(kind) } else { None }
    }
}
