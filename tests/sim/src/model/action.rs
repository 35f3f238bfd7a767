//! What can happen next in a small world, what it does, and its sentence. Never which of it does happen.

use std::rc::Rc;

use haa_core::effect::{StoreWish, Txn};
use haa_core::input::{Input, Outcome, Via};
use haa_core::observe::Shutdown;
use haa_core::records::{Ask as Wished, Record, RequestRecord, RequestState};
use haa_core::units::{LeaseId, TxnId};

use crate::model::judge::{Gone, Sometimes};
use crate::model::state::{Ask, Due, Life, Link, STEP, State, name};
use crate::postgres::Process;

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
    /// Fault: time passes, and what was on its way is late.
    Delay,
    /// Fault: etcd applies a transaction and its answer is lost.
    Untold(usize),
    /// Fault: a transaction stays on its way; nobody knows what becomes of it.
    Stray(usize),
    /// Fault: etcd's answer is late.
    Slow(usize),
    /// Fault: Postgres dies.
    Crash(usize),
    /// Fault: an agent dies.
    EndAgent(usize),
    /// Fault: an agent is frozen.
    Freeze(usize),
    /// Fault: an agent does not reach etcd.
    Cut(usize),
    /// Fault: the work in the slot fails.
    Fail(usize),
}

impl State {
    /// All that can happen now. What is urgent goes before everything else, in one order: the requests of an agent
    /// reach etcd and are answered at once, unless a fault comes between.
    #[must_use]
    pub fn choices(&self) -> Vec<Action> {
        let everybody = 0..self.members.len();
        let mut asking = everybody.clone().filter(|m| !self.members[*m].asks.is_empty());
        if let Some(m) = asking.next() {
            return self.fates(m);
        }
        let waits = |m: &usize| {
            self.members[*m].life == Life::Running && !self.members[*m].inbox.is_empty()
        };
        if let Some(m) = everybody.clone().find(waits) {
            return vec![Action::Hand(m)];
        }
        let looks = |m: &usize| self.members[*m].life == Life::Running && self.members[*m].due.look;
        if let Some(m) = everybody.clone().find(looks) {
            return vec![Action::Look(m)];
        }
        let mut all = Vec::new();
        for m in everybody.clone() {
            self.soon(m, &mut all);
        }
        let due = !all.is_empty();
        for m in everybody.clone() {
            self.whenever(m, &mut all);
        }
        let ended = self.etcd.leases().into_iter();
        let ended = ended.filter(|id| self.etcd.lease(*id).is_some_and(|l| l.ends <= self.at()));
        all.extend(ended.map(Action::Expire));
        all.extend((0..self.late.len()).map(Action::Apply));
        if self.left.steps > 0 && !due {
            all.push(Action::Step);
        }
        if self.left.faults > 0 {
            if self.left.steps > 0 && due {
                all.push(Action::Delay);
            }
            everybody.for_each(|m| self.faults(m, &mut all));
        }
        all
    }

    /// What can become of a member's next request.
    fn fates(&self, m: usize) -> Vec<Action> {
        let mut fates = vec![Action::Serve(m)];
        if self.left.faults > 0 {
            match self.members[m].asks.front().map(|ask| &ask.wish) {
                Some(StoreWish::Txn(_)) => fates.extend([Action::Untold(m), Action::Stray(m)]),
                Some(StoreWish::KeepAlive(_) | StoreWish::Read) => fates.push(Action::Slow(m)),
                Some(StoreWish::GrantLease { .. } | StoreWish::RevokeLease(_)) | None => {}
            }
        }
        fates
    }

    /// What happens to a member before time goes on, in any order.
    fn soon(&self, m: usize, all: &mut Vec<Action>) {
        let who = &self.members[m];
        if who.due.kill {
            all.push(Action::Kill(m));
        }
        let open = matches!(who.postgres.process, Process::Primary | Process::Promoting(_));
        if open && who.guard.is_some_and(|until| until <= self.local(m)) {
            all.push(Action::Guard(m));
        }
        if matches!(who.postgres.process, Process::Promoting(_)) && who.slot.is_none() {
            all.push(Action::Open(m));
        }
        if who.life != Life::Running {
            return;
        }
        if who.due.turn {
            all.push(Action::Turn(m));
        }
        all.extend(who.heard.keys().map(|from| Action::Hear(m, *from)));
        if self.can_end(m) {
            all.push(Action::Work(m));
        }
        if who.link == Link::Up {
            if who.shown < self.etcd.view.revision {
                all.push(Action::Watch(m));
            }
            if !who.unknown.is_empty() {
                all.push(Action::ReadBack(m));
            }
        }
    }

    /// What may wait for as long as it likes.
    fn whenever(&self, m: usize, all: &mut Vec<Action>) {
        let who = &self.members[m];
        match who.life {
            Life::Running if !who.answers.is_empty() => all.push(Action::Answer(m)),
            Life::Running => {}
            Life::Frozen => all.push(Action::Thaw(m)),
            Life::Down => all.push(Action::Start(m)),
        }
        if who.link == Link::Cut {
            all.push(Action::Mend(m));
        }
        let starts = who.postgres.process == Process::Starting;
        if !starts && self.can_stream(m) {
            all.push(Action::Stream(m));
        }
        if self.left.writes > 0 && who.postgres.open() {
            all.push(Action::Write(m));
        }
        let requests = &self.etcd.view.requests;
        if self.left.wishes > 0 && requests.is_empty() && who.postgres.process == Process::Standby {
            all.push(Action::Wish(m));
        }
    }

    fn faults(&self, m: usize, all: &mut Vec<Action>) {
        let who = &self.members[m];
        if who.postgres.process != Process::Down {
            all.push(Action::Crash(m));
        }
        if who.life == Life::Running {
            all.extend([Action::EndAgent(m), Action::Freeze(m)]);
            if who.link == Link::Up {
                all.push(Action::Cut(m));
            }
            if self.can_fail(m) {
                all.push(Action::Fail(m));
            }
        }
    }

    /// Lets it happen.
    pub fn apply(&mut self, action: Action) {
        self.say(|state| state.sentence(action));
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
                    self.deliver(m, &Input::Peer(beat));
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
            Action::Delay
            | Action::Untold(_)
            | Action::Stray(_)
            | Action::Slow(_)
            | Action::Crash(_)
            | Action::EndAgent(_)
            | Action::Freeze(_)
            | Action::Cut(_)
            | Action::Fail(_) => self.fault(action),
        }
    }

    fn fault(&mut self, action: Action) {
        self.left.faults -= 1;
        if let Some(m) = action.victim() {
            self.trouble(m);
        }
        match action {
            Action::Delay => {
                (0..self.members.len()).for_each(|m| self.trouble(m));
                self.step();
            }
            Action::Untold(m) => {
                if let Some((ask, txn)) = self.lose_answer(m)
                    && self.transact(ask.member, &txn) == Outcome::Committed
                {
                    self.note(Sometimes::UnknownApplied);
                }
            }
            Action::Stray(m) => {
                if let Some((ask, _)) = self.lose_answer(m) {
                    self.late.push(Rc::new(ask));
                }
            }
            Action::Slow(m) => {
                if let Some(answer) = self.next_ask(m).and_then(|ask| self.serve(&ask)) {
                    self.member(m).answers.push_back(answer);
                }
            }
            Action::Crash(m) => self.end_server(m, Shutdown::Crashed),
            Action::EndAgent(m) => self.end_agent(m),
            Action::Freeze(m) => self.member(m).life = Life::Frozen,
            Action::Cut(m) => self.member(m).link = Link::Cut,
            Action::Fail(m) => self.fail_work(m),
            _ => {}
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
        self.member(m).unknown.push_back(crate::model::state::Unknown { id, asked_at });
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
    /// Whom a fault strikes.
    const fn victim(self) -> Option<usize> {
        match self {
            Self::Untold(m)
            | Self::Stray(m)
            | Self::Slow(m)
            | Self::Crash(m)
            | Self::EndAgent(m)
            | Self::Freeze(m)
            | Self::Cut(m)
            | Self::Fail(m) => Some(m),
            _ => None,
        }
    }
}
