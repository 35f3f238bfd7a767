//! All that can happen next in a small world. Never which of it does.

use haa_core::effect::StoreWish;

use crate::model::action::{Action, Kind};
use crate::model::state::{Life, Link, State};
use crate::postgres::Process;

impl State {
    /// All that can happen now. What is urgent goes before everything else, in one order: the requests of an agent
    /// reach etcd and are answered at once, unless a fault comes between.
    #[must_use]
    pub fn choices(&self) -> Vec<Action> {
        let mut all = self.possible();
        let allowed =
            |action: &Action| action.fault().is_none_or(|kind| self.kinds.contains(&kind));
        all.retain(allowed);
        all
    }

    fn possible(&self) -> Vec<Action> {
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
        if self.is_quiet() {
            // Renewals and looks of members that have nothing to learn change nothing for one another.
            all.truncate(1);
        }
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
            let at_once = |a: &Action| matches!(a, Action::Guard(_) | Action::Kill(_));
            if self.left.steps > 0 && due && !all.iter().any(at_once) {
                all.push(Action::Fault(Kind::Delay, 0));
            }
            everybody.for_each(|m| self.faults(m, &mut all));
        }
        all
    }

    /// Everybody runs and has seen all that there is, a leader among it; nothing is on its way and no work is done.
    fn is_quiet(&self) -> bool {
        let quiet = |m: usize| {
            let who = &self.members[m];
            let up = match who.postgres.process {
                Process::Primary => who.guard.is_some_and(|until| until > self.local(m)),
                Process::Standby => !self.can_stream(m),
                Process::Down | Process::Starting | Process::Promoting(_) => false,
            };
            let idle = who.slot.is_none() && who.heard.is_empty() && who.unknown.is_empty();
            let reaches = who.life == Life::Running && who.link == Link::Up;
            let told = who.answers.is_empty() && who.shown >= self.etcd.view.revision;
            up && idle && reaches && told && !who.due.kill
        };
        let led = self.etcd.view.leader.is_some() && self.etcd.view.requests.is_empty();
        led && self.late.is_empty() && (0..self.members.len()).all(quiet)
    }

    /// What can become of a member's next request.
    fn fates(&self, m: usize) -> Vec<Action> {
        let mut fates = vec![Action::Serve(m)];
        if self.left.faults > 0 {
            match self.members[m].asks.front().map(|ask| &ask.wish) {
                Some(StoreWish::Txn(_)) => {
                    fates.extend([Action::Fault(Kind::Untold, m), Action::Fault(Kind::Stray, m)])
                }
                Some(StoreWish::KeepAlive(_) | StoreWish::TimeToLive(_) | StoreWish::Read) => {
                    fates.push(Action::Fault(Kind::Slow, m))
                }
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
            all.push(Action::Fault(Kind::Crash, m));
        }
        if who.life == Life::Running {
            all.extend([Action::Fault(Kind::EndAgent, m), Action::Fault(Kind::Freeze, m)]);
            if who.link == Link::Up {
                all.push(Action::Fault(Kind::Cut, m));
            }
            if self.can_fail(m) {
                all.push(Action::Fault(Kind::Fail, m));
            }
        }
    }
}
