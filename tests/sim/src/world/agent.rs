//! The agent as the world runs it: inputs to its node, its node's wishes to the world, its guard. Decides nothing.

use std::rc::Rc;

use haa_core::discard::Discarded;
use haa_core::effect::{Effect, Exit, SlotsWish};
use haa_core::input::Input;
use haa_core::node::{Config, Remembered};
use haa_core::observe::{Heartbeat, Shutdown};
use haa_core::parameters::{LIMITS, Pending};
use haa_core::routes::Status;
use haa_core::units::{MemberName, Millis};

use crate::brain::Brain;
use crate::mutation::{Broken, Mutation};
use crate::net::Arrivals;
use crate::postgres::{self, Process};
use crate::time::At;
use crate::world::faults::Fault;
use crate::world::member::{Life, Ongoing};
use crate::world::server::End;
use crate::world::{Deed, EtcdRelease, Event, ForAgent, ForServer, Guard, World};

/// A frozen agent's sockets hold this many heartbeats; later ones are lost.
const HELD_BEATS: usize = 50;

/// Between two looks at Postgres: when something has just happened, for how long, and else.
const LIVELY: At = At::ms(25);
const ALERT: At = At::secs(2);
const STEADY: At = At::ms(500);

/// systemd starts an agent that ended by itself again after this.
const RESTART: At = At::secs(5);

impl World {
    /// A new run of an agent, with what it kept on disk.
    pub fn start_agent(&mut self, member: usize) {
        if self.members[member].agent.state != Life::Down {
            return;
        }
        let config = self.config(member);
        let now = self.now;
        let broken = self.plan.broken;
        let agent = &mut self.members[member].agent;
        agent.life += 1;
        agent.state = Life::Running;
        agent.brain = Some(Brain::new(config, broken));
        agent.tick_at = now;
        agent.awake_since = now;
        let postgres = &mut self.members[member].postgres;
        if postgres.mute && postgres.process == Process::Standby {
            // Only who waited for it knows that it is not starting any more.
            postgres.process = Process::Starting;
        }
        self.tell_agent(At::ms(1), member, ForAgent::Relist);
        self.tell_agent(At::ms(1), member, ForAgent::Tick);
        self.members[member].agent.tick_at = now.after(At::ms(1));
        let early = Input::StoreRevokesEarly(self.plan.etcd == EtcdRelease::Old);
        self.tell_agent(At::ms(20), member, ForAgent::Input(Box::new(early)));
        let notes: Vec<Discarded> = self.members[member].agent.notes.values().cloned().collect();
        for lost in notes {
            self.tell_agent(
                At::ms(20),
                member,
                ForAgent::Input(Box::new(Input::Discarded(Box::new(lost)))),
            );
        }
        self.look(member);
    }

    fn config(&mut self, member: usize) -> Config {
        let seed = self.dice.number();
        let who = &self.members[member];
        let postgres = postgres::address(member);
        Config {
            name: self.plan.namesakes.get(&member).unwrap_or(&who.name).clone(),
            instance: who.agent.instance,
            api: haa_core::units::Address { host: postgres.host.clone(), port: 8008 },
            postgres,
            version: "sim".to_owned(),
            tags: self.plan.tags.get(&member).cloned().unwrap_or_default(),
            settings: self.plan.settings.clone(),
            seed,
            remembered: who.agent.remembered,
            promises: who.agent.promises.clone(),
            pools: self.plan.pools,
            follows: self.site().filter(|_| self.plan.follows),
        }
    }

    /// The agent's process is gone; Postgres goes on.
    pub fn end_agent(&mut self, member: usize) {
        let agent = &mut self.members[member].agent;
        agent.life += 1;
        agent.state = Life::Down;
        agent.brain = None;
        agent.held.clear();
        agent.slot = None;
        agent.errand = None;
        agent.pending.clear();
        agent.reading = Ongoing::No;
        agent.looking = Ongoing::No;
        agent.watch.listening = Ongoing::No;
        agent.status = None;
    }

    /// A frozen agent goes on with what waited for it.
    pub fn thaw(&mut self, member: usize) {
        let now = self.now;
        let agent = &mut self.members[member].agent;
        if !matches!(agent.state, Life::Frozen | Life::Stumbling) {
            return;
        }
        agent.state = Life::Running;
        agent.awake_since = now;
        let held = std::mem::take(&mut agent.held);
        for what in held {
            self.tell_agent(At(10), member, what);
        }
    }

    pub(crate) fn for_agent(&mut self, member: usize, life: u32, what: ForAgent) {
        let agent = &mut self.members[member].agent;
        let beat = matches!(what, ForAgent::Peer(_));
        match agent.state {
            Life::Down => return,
            Life::Frozen => {
                if agent.life == life && !(beat && agent.held.len() > HELD_BEATS) {
                    agent.held.push_back(what);
                }
                return;
            }
            Life::Running | Life::Stumbling => {}
        }
        // A heartbeat reaches whoever listens; everything else was meant for one run.
        if agent.life != life && !beat {
            return;
        }
        match what {
            ForAgent::Tick => self.tick(member),
            ForAgent::Input(input) => self.deliver(member, &input),
            ForAgent::Peer(beat) => self.deliver(member, &beat),
            ForAgent::Answer(answer) => self.answered(member, *answer),
            ForAgent::Timeout(id) => self.unanswered(member, id),
            ForAgent::Watch(seen) => self.deliver(member, &seen),
            ForAgent::Relist => self.relist(member),
            ForAgent::Looked => self.looked(member),
            ForAgent::Glance(glance) => self.glance(member, glance),
            ForAgent::Perform(effects) => self.perform_all(member, effects),
            ForAgent::Errand(id) => self.errand_done(member, &id),
            ForAgent::Promised(promises) => {
                self.members[member].agent.promises = promises.clone();
                self.deliver(member, &Input::Promised(promises));
            }
        }
    }

    fn tick(&mut self, member: usize) {
        let agent = &mut self.members[member].agent;
        if agent.tick_at > self.now {
            return;
        }
        agent.tick_at = At(u64::MAX);
        let local = self.local(member);
        let due = self.members[member].agent.brain.as_ref().map(Brain::deadline);
        if due.is_some_and(|due| due <= local) {
            self.deliver(member, &Input::Tick);
        } else {
            self.set_tick(member);
        }
    }

    pub(crate) fn deliver(&mut self, member: usize, input: &Input) {
        let local = self.local(member);
        let agent = &mut self.members[member].agent;
        let Some(brain) = agent.brain.as_mut() else { return };
        let effects = brain.handle(local, input);
        if agent.state == Life::Stumbling && !effects.is_empty() {
            agent.state = Life::Frozen;
            agent.held.push_back(ForAgent::Perform(effects));
        } else {
            self.perform_all(member, effects);
        }
        self.set_tick(member);
    }

    fn set_tick(&mut self, member: usize) {
        let who = &self.members[member];
        let Some(brain) = who.agent.brain.as_ref() else { return };
        let soonest = Millis(who.clock.read(self.now).0 + 1);
        let at = who.clock.when(brain.deadline().max(soonest));
        if at < who.agent.tick_at {
            let life = who.agent.life;
            self.queue.push(at, Event::Agent { member, life, what: ForAgent::Tick });
            self.members[member].agent.tick_at = at;
        }
    }

    fn perform_all(&mut self, member: usize, effects: Vec<Effect>) {
        for effect in effects {
            self.perform(member, effect);
        }
    }

    fn perform(&mut self, member: usize, effect: Effect) {
        match effect {
            Effect::Store(wish) => self.wish_of_store(member, wish),
            Effect::Job(id, job) => self.begin(member, id, job),
            Effect::Close(_) => self.close(member),
            Effect::Look => self.look(member),
            Effect::Slots(SlotsWish { members, strangers, kept, reached }) => {
                self.keep_slots(member, &members, &strangers);
                self.pass_slots(member, &reached);
                self.keep_operators_slots(member, &kept);
            }
            Effect::Promise(promises) => {
                let grants = {
                    let kept = &self.members[member].agent.promises;
                    promises.grant != kept.grant || promises.failsafe != kept.failsafe
                };
                let span = if grants { self.takes(1, 15) } else { At::ms(2) };
                self.tell_agent(span, member, ForAgent::Promised(promises));
            }
            Effect::List(proof, list) => self.set_list(member, proof, list),
            Effect::OpenDoor(proof) => {
                let late = self.local(member) >= proof.until();
                if !late && self.members[member].postgres.open() {
                    let span = self.takes(1, 10);
                    self.tell_server(span, member, ForServer::Door);
                }
            }
            Effect::ForgetNote(fork) => {
                self.members[member].agent.notes.remove(&fork);
            }
            Effect::Beat(beat) => self.beat(member, *beat),
            Effect::Publish(status) => self.publish(member, status),
            Effect::Announce(transition) => {
                self.sometimes.transition(&transition);
                self.say(|world| format!("{} {transition}", world.members[member].name));
            }
            Effect::Exit(exit) => self.exit(member, &exit),
        }
    }

    fn exit(&mut self, member: usize, exit: &Exit) {
        self.say(|world| {
            let name = &world.members[member].name;
            match exit {
                Exit::Stopped => format!("{name}: the agent ended as asked"),
                Exit::Refused(why) => format!("{name}: the agent refuses: {why}"),
            }
        });
        self.end_agent(member);
        self.later(RESTART, Event::Fault(Box::new(Fault::StartAgent(member))));
    }

    fn beat(&mut self, member: usize, beat: Heartbeat) {
        if let Some(grant) = &beat.grant {
            self.members[member].agent.granted = Some(grant.attempt.clone());
        }
        let beat = Rc::new(Input::Peer(Box::new(beat)));
        for to in 0..self.members.len() {
            if to == member {
                continue;
            }
            let Arrivals(first, copy) = self.net.send(&mut self.dice, member, to);
            for span in first.into_iter().chain(copy) {
                self.tell_agent(span, to, ForAgent::Peer(Rc::clone(&beat)));
            }
        }
    }

    fn publish(&mut self, member: usize, status: Box<Status>) {
        if let Some(proof) = status.leadership {
            let remembered = Remembered { term: proof.term(), until: proof.until() };
            self.members[member].agent.remembered = Some(remembered);
            self.arm(member, proof.until());
            if status.failsafe {
                self.members[member].agent.consented = Some(remembered);
                self.sometimes.count("status of a primary that every member lets go on");
            }
        } else if status.role != "waking" {
            self.members[member].agent.consented = None;
        }
        self.tell_pools(member, status.pools);
        self.run_errand(member, status.errand.as_ref());
        self.members[member].agent.status = Some(status);
        self.deeds.push(Deed::Published(member));
    }

    /// The guard closes writes at `until`, unless it hears of another instant before: of a later one, or, where a new
    /// leadership has a shorter lease than the last, of an earlier one.
    pub(crate) fn arm(&mut self, member: usize, until: Millis) {
        let who = &mut self.members[member];
        who.agent.guard_until = Some(until);
        let at = who.clock.when(until);
        let sooner = who.agent.guard_wakes.is_none_or(|wakes| at < wakes);
        let asleep = self.plan.broken == Some(Broken::Between(Mutation::NoGuard));
        if sooner && self.plan.guard == Guard::On && !asleep {
            who.agent.guard_wakes = Some(at);
            self.queue.push(at, Event::Guard(member));
        }
    }

    pub(crate) fn guard_due(&mut self, member: usize) {
        let now = self.now;
        self.members[member].agent.guard_wakes.take_if(|wakes| *wakes <= now);
        let Some(until) = self.members[member].agent.guard_until else { return };
        if self.local(member) < until {
            self.arm(member, until);
            return;
        }
        self.members[member].agent.guard_until = None;
        if self.may_write(member) {
            self.sometimes.count("guard closed writes");
            self.say(|world| format!("{} guard closed writes", world.members[member].name));
            self.end_server(member, End::Killed, Shutdown::Crashed);
        }
    }

    /// Something happened to Postgres, or somebody asks: look now, and often for a while.
    pub(crate) fn look(&mut self, member: usize) {
        let agent = &mut self.members[member].agent;
        if agent.brain.is_none() {
            return;
        }
        agent.alert_until = self.now.after(ALERT);
        match agent.looking {
            Ongoing::No => self.begin_look(member),
            Ongoing::Yes | Ongoing::Again => agent.looking = Ongoing::Again,
        }
    }

    fn begin_look(&mut self, member: usize) {
        let local = self.local(member);
        let agent = &mut self.members[member].agent;
        agent.looking = Ongoing::Yes;
        agent.glance += 1;
        let job = agent.slot.as_ref().map(|slot| slot.id);
        // What it tells may be as old as its beginning: that is what `began_at` says, and no more.
        let mut facts = self.members[member].postgres.look(self.now, local, &self.wals);
        facts.job = job;
        self.members[member].agent.hide_position(&mut facts);
        if let haa_core::observe::Server::Primary(primary) = &mut facts.server {
            primary.replicas = self.walsenders(member);
            let slots = self.members[member].postgres.slots.keys();
            primary.slots = slots.map(MemberName::slot).collect();
            facts.parameters.pending.extend((self.conduct.limits_fall > 0).then(fewer));
        }
        self.look_abroad(member, &mut facts.server);
        let agent = &mut self.members[member].agent;
        agent.sight = Some(Box::new(facts));
        let blind = At(agent.blind_until.since(self.now).0);
        let silent = self.now < self.members[member].postgres.stalled_until;
        let span = if silent { At::secs(1) } else { self.dice.ms(1, 5) };
        self.tell_agent(span.max(blind), member, ForAgent::Looked);
    }

    fn looked(&mut self, member: usize) {
        let agent = &mut self.members[member].agent;
        let again = std::mem::replace(&mut agent.looking, Ongoing::No);
        let pause = if self.now < agent.alert_until { LIVELY } else { STEADY };
        let facts = agent.sight.take();
        self.tell_wall(member);
        if let Some(facts) = facts {
            self.deliver(member, &Input::Postgres(facts));
        }
        let agent = &self.members[member].agent;
        if agent.looking != Ongoing::No {
            return;
        }
        if again == Ongoing::Again {
            self.begin_look(member);
        } else {
            let glance = agent.glance;
            self.tell_agent(pause, member, ForAgent::Glance(glance));
        }
    }

    /// Every member's wall clock is right: it says only when, and a wrong one is an operator's other wish.
    fn tell_wall(&mut self, member: usize) {
        let mut requests = self.etcd.view.requests.values();
        if requests.any(|kept| kept.value.due.is_some()) {
            self.deliver(member, &Input::Wall(self.now.0 / 1_000));
        }
    }

    fn glance(&mut self, member: usize, glance: u32) {
        let agent = &self.members[member].agent;
        if agent.glance == glance && agent.looking == Ongoing::No {
            self.begin_look(member);
        }
    }
}

/// An operator wants fewer of what a standby may not have less of than its primary had.
fn fewer() -> Pending {
    let name = LIMITS[0].to_owned();
    Pending { name, running: "200".to_owned(), written: Some("100".to_owned()) }
}
