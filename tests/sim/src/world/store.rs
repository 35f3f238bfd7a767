//! The way to etcd and back: deadlines, lost and late answers, unknown outcomes, watches. Never what etcd holds.

use std::rc::Rc;

use haa_core::discard::Discarded;
use haa_core::effect::{StoreWish, Txn};
use haa_core::input::{Input, LeaseNews, LeaseSeen, Left, Outcome, Seen, Via};
use haa_core::records::{Ask as Asked, Record, RequestState, StoreView, SyncRecord};
use haa_core::units::{LeaseId, MemberName, Millis, Term, TxnId};

use crate::etcd::Applied;
use crate::time::At;
use crate::world::member::Ongoing;
use crate::world::{Deed, EtcdState, Event, ForAgent, World};

/// A request on its way to etcd.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Whose.
    pub member: usize,
    /// Which run of its agent.
    pub life: u32,
    /// Which request.
    pub id: u64,
    /// What.
    pub wish: StoreWish,
    /// Whether its fate has been drawn.
    pub fate: Fate,
}

/// What becomes of a request at etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not drawn yet.
    Open,
    /// It is done, and nobody is told.
    Untold,
}

/// A request that an agent waits for.
#[derive(Clone, Debug)]
pub struct Pending {
    /// When it was sent, by the member's clock.
    pub asked_at: Millis,
    /// For what.
    pub purpose: Purpose,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// News of a lease.
    Lease,
    /// What is left of another's lease.
    Left(LeaseId),
    /// A read for the node.
    Read,
    /// A transaction.
    Txn(TxnId),
    /// A read after a transaction that was not answered, asked at this instant.
    ReadBack(TxnId, Millis),
}

/// An answer of etcd.
#[derive(Clone, Debug)]
pub struct Answer {
    /// To which request.
    pub id: u64,
    /// What.
    pub what: Answered,
}

/// What etcd answers.
#[derive(Clone, Debug)]
pub enum Answered {
    /// The lease lives.
    Alive(LeaseId, Millis),
    /// The lease does not.
    Gone(LeaseId),
    /// What is left of a lease.
    Left(Option<Left>),
    /// A view; of a transaction, whether it was applied.
    View(Box<StoreView>, Outcome),
}

/// How a `leader` key went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its lease ended.
    Expired,
    /// etcd ended its lease before its time.
    Early,
    /// This member's transaction, or its revoking the lease.
    By(usize),
}

const DEADLINE: Millis = Millis(400);
const AGAIN: At = At::ms(100);

impl World {
    pub(crate) fn wish_of_store(&mut self, member: usize, wish: StoreWish) {
        let purpose = match &wish {
            StoreWish::GrantLease { .. } | StoreWish::KeepAlive(_) => Purpose::Lease,
            StoreWish::RevokeLease(_) => return self.wish_untracked(member, wish),
            StoreWish::TimeToLive(id) => Purpose::Left(*id),
            StoreWish::Read => {
                let agent = &mut self.members[member].agent;
                if agent.reading != Ongoing::No {
                    agent.reading = Ongoing::Again;
                    return;
                }
                agent.reading = Ongoing::Yes;
                Purpose::Read
            }
            StoreWish::Txn(txn) => Purpose::Txn(txn.id),
        };
        self.ask(member, wish, purpose);
    }

    fn ask(&mut self, member: usize, wish: StoreWish, purpose: Purpose) {
        self.serial += 1;
        let id = self.serial;
        let asked_at = self.local(member);
        let who = &mut self.members[member];
        who.agent.pending.insert(id, Pending { asked_at, purpose });
        let life = who.agent.life;
        let at = who.clock.when(asked_at.after(DEADLINE));
        self.queue.push(at, Event::Agent { member, life, what: ForAgent::Timeout(id) });
        self.send_ask(member, id, wish);
    }

    /// Nobody waits for what comes of it.
    pub(crate) fn wish_untracked(&mut self, member: usize, wish: StoreWish) {
        self.send_ask(member, 0, wish);
    }

    fn send_ask(&mut self, member: usize, id: u64, wish: StoreWish) {
        let life = self.members[member].agent.life;
        if let Some(span) = self.net.send(&mut self.dice, member, self.net.etcd()).0 {
            let ask = Ask { member, life, id, wish, fate: Fate::Open };
            self.later(span, Event::Ask(Box::new(ask)));
        }
    }

    pub(crate) fn at_etcd(&mut self, mut ask: Ask) {
        if self.etcd_state == EtcdState::Down || self.holds_up(&ask) {
            return;
        }
        if ask.fate == Fate::Open {
            let conduct = self.conduct;
            if self.dice.ppm(conduct.ask_lost) {
                return;
            }
            let txn = matches!(ask.wish, StoreWish::Txn(_));
            if txn && self.dice.ppm(conduct.txn_late) {
                ask.fate = Fate::Untold;
                let span = self.dice.ms(100, 8_000);
                return self.later(span, Event::Ask(Box::new(ask)));
            }
            if txn && self.dice.ppm(conduct.txn_untold) {
                ask.fate = Fate::Untold;
            }
        }
        let Some(what) = self.serve(&ask) else { return };
        if ask.fate == Fate::Untold {
            if matches!(what, Answered::View(_, Outcome::Committed)) {
                self.sometimes.count("transaction of unknown outcome was applied");
            }
            return;
        }
        if let Some(span) = self.net.send(&mut self.dice, self.net.etcd(), ask.member).0 {
            let what = ForAgent::Answer(Box::new(Answer { id: ask.id, what }));
            self.later(span, Event::Agent { member: ask.member, life: ask.life, what });
        }
    }

    fn serve(&mut self, ask: &Ask) -> Option<Answered> {
        match &ask.wish {
            StoreWish::GrantLease { ttl } => {
                let id = self.etcd.grant(self.now, *ttl);
                self.watch_lease(id);
                Some(Answered::Alive(id, *ttl))
            }
            StoreWish::KeepAlive(id) => match self.etcd.keep_alive(self.now, *id) {
                Some(ttl) => Some(Answered::Alive(*id, ttl)),
                None => Some(Answered::Gone(*id)),
            },
            StoreWish::RevokeLease(id) => {
                let id = *id;
                self.change(Gone::By(ask.member), |world| world.etcd.revoke(id));
                None
            }
            StoreWish::TimeToLive(id) => Some(Answered::Left(self.etcd.left(self.now, *id))),
            StoreWish::Read => {
                Some(Answered::View(Box::new(self.etcd.view.clone()), Outcome::Committed))
            }
            StoreWish::Txn(txn) => {
                let outcome = self.transact(ask.member, txn);
                Some(Answered::View(Box::new(self.etcd.view.clone()), outcome))
            }
        }
    }

    fn transact(&mut self, member: usize, txn: &Txn) -> Outcome {
        let mut applied = Applied::No;
        let before = self.etcd.view.sync.as_ref().map(|kept| kept.value.clone());
        self.change(Gone::By(member), |world| {
            applied = world.etcd.apply(txn);
            applied == Applied::Yes
        });
        match applied {
            Applied::Yes => {
                self.requests_spoken(txn);
                self.voters_spoken(before.as_ref());
                Outcome::Committed
            }
            Applied::No => Outcome::Refused,
        }
    }

    /// The voters are part of a story when they change.
    fn voters_spoken(&mut self, before: Option<&SyncRecord>) {
        let Some(now) = self.etcd.view.sync.as_ref().map(|kept| kept.value.clone()) else { return };
        let same = |old: &SyncRecord| old.voters == now.voters && old.k == now.k;
        if !now.is_quorum() && before.is_none_or(|old| !old.is_quorum()) || before.is_some_and(same)
        {
            return;
        }
        let names: Vec<&str> = now.voters.keys().map(MemberName::as_str).collect();
        self.say(|_| format!("voters: {}; k = {}", names.join(" "), now.k));
    }

    fn requests_spoken(&mut self, txn: &Txn) {
        for (record, _) in &txn.put {
            if let Record::Discarded(lost) = record {
                self.discarded_spoken(lost);
            }
            let Record::Request(_, request) = record else { continue };
            match &request.state {
                RequestState::Scheduled | RequestState::Pending | RequestState::Accepted { .. } => {
                }
                RequestState::Done { what } => {
                    if request.due.is_some() {
                        self.sometimes.count("scheduled command done");
                    }
                    if let Asked::Drain { .. } = request.ask {
                        self.sometimes.count("member drained");
                    }
                    self.say(|_| format!("the operator hears: done, {what}"));
                }
                RequestState::Refused { why } => {
                    self.say(|_| format!("the operator hears: refused, {why}"));
                }
            }
        }
    }

    /// Without the place, which changes with every change of a delay.
    fn discarded_spoken(&mut self, lost: &Discarded) {
        self.sometimes.count("discarded transactions were told");
        let told = lost.to_string();
        let told = told.split_once(" (").map_or(told.as_str(), |(what, _)| what).to_owned();
        self.say(|_| format!("the history tells: {told}"));
    }

    /// Does something to etcd that may change it (then `what` says true), and lets everybody know.
    pub(crate) fn change(&mut self, how: Gone, what: impl FnOnce(&mut Self) -> bool) {
        let before = self.etcd.view.leader.as_ref().map(|kept| kept.value.clone());
        if !what(self) {
            return;
        }
        self.deeds.push(Deed::Stored);
        self.watch_for_attempt();
        // Whoever chose `async` gave up what `quorum` promised, for what was acknowledged before too.
        if self.etcd.view.sync.as_ref().is_some_and(|sync| !sync.value.is_quorum()) {
            self.durable.clear();
        }
        let after = self.etcd.view.leader.as_ref().map(|kept| &kept.value);
        if let Some(old) = before.as_ref().filter(|old| Some(*old) != after) {
            if how == Gone::Expired {
                self.sometimes.count("leader's lease expired");
            }
            let renewed = after.is_some_and(|new| new.member == old.member);
            if let Some(member) = self.index(&old.member).filter(|_| !renewed) {
                self.deeds.push(Deed::LeaderGone { member, term: old.term, how });
            }
        }
        for member in 0..self.members.len() {
            let agent = &mut self.members[member].agent;
            let life = agent.life;
            match agent.watch.listening {
                Ongoing::Yes => {
                    agent.watch.listening = Ongoing::Again;
                    let lag = self.dice.span(At(0), self.conduct.watch_lag);
                    self.later(lag, Event::Notify { member, life });
                }
                Ongoing::No | Ongoing::Again => {}
            }
        }
    }

    /// etcd tells a watcher of the newest state; a break in the way is noticed by the watcher's deadline.
    pub(crate) fn notify(&mut self, member: usize, life: u32) {
        let etcd = self.net.etcd();
        let way = self.net.joined(member, etcd) && self.etcd_state == EtcdState::Up;
        let agent = &mut self.members[member].agent;
        if agent.life != life || agent.watch.listening != Ongoing::Again {
            return;
        }
        if self.now < agent.watch.mute_until {
            let at = agent.watch.mute_until;
            return self.queue.push(at, Event::Notify { member, life });
        }
        if !way {
            agent.watch.listening = Ongoing::No;
            let span = self.dice.ms(200, 700);
            return self.tell_agent(span, member, ForAgent::Relist);
        }
        agent.watch.listening = Ongoing::Yes;
        self.show(member, Via::Watch);
    }

    fn show(&mut self, member: usize, via: Via) {
        let span = self.net.delay(&mut self.dice);
        let watch = &mut self.members[member].agent.watch;
        let at = self.now.after(span).max(At(watch.last.0 + 1));
        watch.last = at;
        let life = self.members[member].agent.life;
        let seen = Seen { view: self.etcd.view.clone(), via };
        let view = Rc::new(Input::Store(Box::new(seen)));
        self.queue.push(at, Event::Agent { member, life, what: ForAgent::Watch(view) });
    }

    pub(crate) fn relist(&mut self, member: usize) {
        let etcd = self.net.etcd();
        if self.net.joined(member, etcd) && self.etcd_state == EtcdState::Up {
            self.members[member].agent.watch.listening = Ongoing::Yes;
            let asked_at = self.local(member);
            self.show(member, Via::Read { asked_at });
        } else {
            self.tell_agent(At::ms(500), member, ForAgent::Relist);
        }
    }

    pub(crate) fn answered(&mut self, member: usize, answer: Answer) {
        let Some(pending) = self.members[member].agent.pending.remove(&answer.id) else {
            return;
        };
        let asked_at = pending.asked_at;
        match (answer.what, pending.purpose) {
            (Answered::Alive(id, ttl), _) => {
                self.deliver(member, &Input::Lease(LeaseNews::Alive { id, asked_at, ttl }));
            }
            (Answered::Gone(id), _) => {
                self.deliver(member, &Input::Lease(LeaseNews::Gone { id }));
            }
            (Answered::Left(left), Purpose::Left(id)) => {
                self.deliver(member, &Input::LeaseSeen(LeaseSeen { id, asked_at, left }));
            }
            (Answered::Left(_), _) => {}
            (Answered::View(view, outcome), purpose) => {
                let via = match purpose {
                    Purpose::Txn(id) => Via::Txn { id, asked_at, outcome },
                    Purpose::ReadBack(id, asked_at) => {
                        Via::Txn { id, asked_at, outcome: Outcome::Unknown }
                    }
                    Purpose::Read | Purpose::Lease | Purpose::Left(_) => Via::Read { asked_at },
                };
                let again = purpose == Purpose::Read && self.read_again(member);
                self.deliver(member, &Input::Store(Box::new(Seen { view: *view, via })));
                if again {
                    self.wish_of_store(member, StoreWish::Read);
                }
            }
        }
    }

    fn read_again(&mut self, member: usize) -> bool {
        let agent = &mut self.members[member].agent;
        std::mem::replace(&mut agent.reading, Ongoing::No) == Ongoing::Again
    }

    pub(crate) fn unanswered(&mut self, member: usize, id: u64) {
        let Some(pending) = self.members[member].agent.pending.remove(&id) else { return };
        let asked_at = pending.asked_at;
        match pending.purpose {
            Purpose::Lease => self.deliver(member, &Input::Lease(LeaseNews::Silent { asked_at })),
            Purpose::Left(id) => {
                let seen = LeaseSeen { id, asked_at, left: None };
                self.deliver(member, &Input::LeaseSeen(seen));
            }
            Purpose::Read => self.ask(member, StoreWish::Read, Purpose::Read),
            Purpose::Txn(txn) => {
                self.sometimes.count("transaction was not answered");
                self.ask(member, StoreWish::Read, Purpose::ReadBack(txn, asked_at));
            }
            again @ Purpose::ReadBack(..) => self.ask(member, StoreWish::Read, again),
        }
    }

    fn watch_lease(&mut self, id: LeaseId) {
        if let Some(lease) = self.etcd.lease(id) {
            let late = self.dice.ms(0, 500);
            self.queue.push(lease.ends.after(late), Event::Lease(id));
        }
    }

    pub(crate) fn lease_due(&mut self, id: LeaseId) {
        let Some(lease) = self.etcd.lease(id) else { return };
        if self.etcd_state == EtcdState::Down {
            self.later(AGAIN, Event::Lease(id));
        } else if lease.ends > self.now {
            self.watch_lease(id);
        } else {
            self.change(Gone::Expired, |world| world.etcd.revoke(id));
        }
    }

    /// The term of the newest leadership or attempt in etcd.
    #[must_use]
    pub fn term(&self) -> Term {
        self.etcd.view.term.as_ref().map_or(Term(0), |kept| kept.value.term)
    }
}
