//! Between a node and the small world: what it learns, what becomes of its wishes, what etcd answers. Decides nothing.
//!
//! Every `Effect`, `StoreWish`, `Input` and `Job` of the core is matched by name here and in `work`: a new one does not
//! compile before the world knows it.

use std::collections::VecDeque;
use std::rc::Rc;

use haa_core::effect::{Effect, Exit, StoreWish, Txn};
use haa_core::input::{Input, JobResult, LeaseNews, LeaseSeen, Outcome, Seen, Via};
use haa_core::node::Remembered;
use haa_core::observe::{Heartbeat, PeerState, Server};
use haa_core::records::Key;
use haa_core::routes::Status;
use haa_core::units::{LeaseId, Revision};

use crate::etcd::Applied;
use crate::model::judge::Gone;
use crate::model::sometimes::Sometimes;
use crate::model::state::{Ask, Gist, Life, Link, State, Unknown, name};

impl State {
    /// The node learns of something, and its wishes are performed.
    pub fn deliver(&mut self, member: usize, input: &Input) {
        let now = self.local(member);
        let who = self.member(member);
        if let Input::Store(seen) = input {
            who.shown = who.shown.max(seen.view.revision);
        }
        let Some(brain) = who.brain.as_mut() else { return };
        for effect in brain.handle(now, input) {
            self.perform(member, effect);
        }
    }

    fn perform(&mut self, member: usize, effect: Effect) {
        match effect {
            Effect::Store(wish) => self.ask(member, wish),
            Effect::Job(id, job) => self.begin_work(member, id, job),
            Effect::Close(_) => self.close(member),
            Effect::Look => self.member(member).due.look = true,
            // These small worlds are of `async`: nobody promises anything, and a list is taken at once.
            Effect::Promise(_) | Effect::OpenDoor(_) => {}
            // What is discarded is not counted here.
            Effect::ForgetNote(_) => {}
            Effect::List(_, list) => self.member(member).postgres.lists = vec![list],
            // Slots keep WAL for followers; here no WAL is ever thrown away.
            Effect::Slots(..) => {}
            Effect::Beat(beat) => self.beat(member, &beat),
            Effect::Publish(status) => self.publish(member, &status),
            Effect::Announce(transition) => {
                self.say(|_| format!("    {} {transition}", name(member)));
                if let Some(what) = Sometimes::of(&transition) {
                    self.note(what);
                }
            }
            Effect::Exit(exit) => {
                let how = match exit {
                    Exit::Stopped => "ends as asked".to_owned(),
                    Exit::Refused(why) => format!("refuses: {why}"),
                };
                self.say(|_| format!("    {}'s agent {how}", name(member)));
                self.end_agent(member);
            }
        }
    }

    /// What is new in a heartbeat is on its way until it is heard; one that says the same again only counts as young.
    fn beat(&mut self, member: usize, beat: &Heartbeat) {
        let exact = beat.position.filter(|_| beat.state == PeerState::Detached);
        let gist: Gist = (beat.state, exact.map(|position| (beat.term, position)));
        let news = self.members[member].said != Some(gist);
        self.member(member).said = Some(gist);
        for other in 0..self.members.len() {
            let them = &self.members[other];
            if other == member || them.life != Life::Running {
                continue;
            }
            if news || them.heard.contains_key(&member) {
                self.member(other).heard.insert(member, beat.clone());
            } else {
                self.member(other).inbox.push_back(Input::Peer(Box::new(beat.clone())));
            }
        }
    }

    fn publish(&mut self, member: usize, status: &Status) {
        let now = self.local(member);
        let who = self.member(member);
        if let Some(proof) = status.leadership {
            who.remembered = Some(Remembered { term: proof.term(), until: proof.until() });
            who.guard = Some(proof.until());
        }
        let says = status.primary(now).is_ok();
        let until = status.leadership.map(haa_core::lease::Leadership::until);
        let looked = status.postgres.as_ref().map(|facts| facts.began_at);
        let stale = looked.map(|at| at.after(status.settings.timing.stall_timeout));
        who.says_primary = until.min(stale).filter(|_| says);
        self.judge_routes();
    }

    fn ask(&mut self, member: usize, wish: StoreWish) {
        let asked_at = self.local(member);
        self.member(member).asks.push_back(Ask { member, asked_at, wish });
        if self.members[member].link == Link::Cut {
            self.unreachable(member);
        }
    }

    /// Requests of an agent that does not reach etcd: none arrives.
    pub fn unreachable(&mut self, member: usize) {
        let who = self.member(member);
        for Ask { wish, asked_at, .. } in std::mem::take(&mut who.asks) {
            match wish {
                StoreWish::GrantLease { .. } | StoreWish::KeepAlive(_) => {
                    who.inbox.push_back(Input::Lease(LeaseNews::Silent { asked_at }));
                }
                StoreWish::RevokeLease(_) => {}
                StoreWish::TimeToLive(id) => {
                    who.inbox.push_back(Input::LeaseSeen(LeaseSeen { id, asked_at, left: None }));
                }
                StoreWish::Read => who.reads = 1,
                StoreWish::Txn(txn) => who.unknown.push_back(Unknown { id: txn.id, asked_at }),
            }
        }
    }

    /// The next request of a member.
    pub fn next_ask(&mut self, member: usize) -> Option<Ask> {
        self.member(member).asks.pop_front()
    }

    /// etcd serves a request; its answer, if it has one.
    pub fn serve(&mut self, ask: &Ask) -> Option<Input> {
        let asked_at = ask.asked_at;
        let now = self.at();
        match &ask.wish {
            StoreWish::GrantLease { ttl } => {
                let id = Rc::make_mut(&mut self.etcd).grant(now, *ttl);
                Some(Input::Lease(LeaseNews::Alive { id, asked_at, ttl: *ttl }))
            }
            StoreWish::KeepAlive(id) => {
                let id = *id;
                let news = match Rc::make_mut(&mut self.etcd).keep_alive(now, id) {
                    Some(ttl) => LeaseNews::Alive { id, asked_at, ttl },
                    None => LeaseNews::Gone { id },
                };
                Some(Input::Lease(news))
            }
            StoreWish::RevokeLease(id) => {
                self.revoke(*id, Gone::By);
                None
            }
            StoreWish::TimeToLive(id) => {
                let left = self.etcd.left(now, *id);
                Some(Input::LeaseSeen(LeaseSeen { id: *id, asked_at, left }))
            }
            StoreWish::Read => Some(self.view(Via::Read { asked_at })),
            StoreWish::Txn(txn) => {
                let outcome = self.transact(ask.member, txn);
                Some(self.view(Via::Txn { id: txn.id, asked_at, outcome }))
            }
        }
    }

    /// A view of the store as it is now.
    #[must_use]
    pub fn view(&self, via: Via) -> Input {
        Input::Store(Box::new(Seen { view: self.etcd.view.clone(), via }))
    }

    /// Applies a transaction, or not, and judges what changed.
    pub fn transact(&mut self, member: usize, txn: &Txn) -> Outcome {
        let before = self.leader_key();
        let applied = Rc::make_mut(&mut self.etcd).apply(txn);
        let outcome = match applied {
            Applied::Yes => Outcome::Committed,
            Applied::No => Outcome::Refused,
        };
        self.say(|_| {
            let keys: Vec<String> =
                txn.put.iter().map(|(record, _)| spoken(&record.key())).collect();
            let deleted = txn.delete.iter().map(|key| format!("{} (deleted)", spoken(key)));
            let keys: Vec<String> = keys.into_iter().chain(deleted).collect();
            let how = match outcome {
                Outcome::Committed => "written",
                Outcome::Refused | Outcome::Unknown => "refused",
            };
            format!("    etcd: {} of {}: {how}", keys.join(", "), name(member))
        });
        if applied == Applied::Yes {
            self.judge_store(before, Gone::By);
            self.show_records(member, txn);
        }
        outcome
    }

    /// News of members' own records alone reach the others at once: who has seen all else needs no choice for them.
    fn show_records(&mut self, from: usize, txn: &Txn) {
        let mut keys = txn.put.iter().map(|(record, _)| record.key());
        let small = |key: Key| matches!(key, Key::Member(_) | Key::History(_));
        if !txn.delete.is_empty() || !keys.all(small) {
            return;
        }
        let before = Revision(self.etcd.view.revision.0 - 1);
        for member in 0..self.members.len() {
            let who = &self.members[member];
            let all_else = who.shown == before && who.life == Life::Running && who.link == Link::Up;
            if all_else && member != from {
                let view = self.view(Via::Watch);
                let who = self.member(member);
                who.shown = Revision(before.0 + 1);
                who.inbox.push_back(view);
            }
        }
    }

    /// Ends a lease.
    pub fn revoke(&mut self, id: LeaseId, how: Gone) {
        let before = self.leader_key();
        if Rc::make_mut(&mut self.etcd).revoke(id) {
            self.judge_store(before, how);
        }
    }

    /// A look at Postgres, as of now.
    #[must_use]
    pub fn look(&self, member: usize) -> Input {
        let who = &self.members[member];
        let mut facts = who.postgres.look(self.at(), self.local(member), &self.wals);
        facts.job = who.slot.as_ref().map(|slot| slot.id);
        if let Server::Primary(primary) = &mut facts.server {
            primary.replicas = self.walsenders(member);
        }
        Input::Postgres(Box::new(facts))
    }

    /// The next input that waits for a running agent.
    pub fn hand(&mut self, member: usize) {
        if let Some(input) = self.member(member).inbox.pop_front() {
            self.deliver(member, &input);
        }
    }

    /// The work in the slot has ended: the node learns it next.
    pub fn work_ends(&mut self, member: usize, result: JobResult) {
        let who = self.member(member);
        if let Some(slot) = who.slot.take() {
            who.inbox.push_back(Input::Job(slot.id, result));
            who.ahead.0 += 1;
            who.due.look = true;
        }
    }

    /// The periodic look, and the node's tick.
    pub fn turn(&mut self, member: usize) {
        let look = self.look(member);
        let who = self.member(member);
        who.due.turn = false;
        who.due.look = false;
        who.inbox.extend(VecDeque::from([look, Input::Tick]));
    }
}

fn spoken(key: &Key) -> String {
    match key {
        Key::Cluster => "cluster".to_owned(),
        Key::Settings => "settings".to_owned(),
        Key::Term => "term".to_owned(),
        Key::Leader => "leader".to_owned(),
        Key::Sync => "sync".to_owned(),
        Key::Member(name) => format!("members/{name}"),
        Key::Drained(name) => format!("drained/{name}"),
        Key::Request(id) => format!("requests/{id}"),
        Key::Event(id) => format!("events/{id}"),
        Key::History(term) => format!("history/{term}"),
        Key::Discarded(name, _) => format!("history/discarded/{name}"),
    }
}
