//! One simulated agent: the real core and the real store client, a stand-in for Postgres, peers by channels. Has no
//! opinion, no API, no guard, no journal and no disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haa::agent::clock;
use haa::config;
use haa::store::Store;
use haa_core::effect::Effect;
use haa_core::input::{Input, JobResult};
use haa_core::node::{Config, Node, Pools};
use haa_core::records::Tags;
use haa_core::settings::Settings;
use haa_core::units::{Address, Instance, MemberName, Millis};
use haa_core::voters::Promises;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::postgres::Servers;
use super::tally::Tally;

/// As `haad` looks at a Postgres that runs.
const LOOKS: Duration = Duration::from_millis(500);
/// As many inputs may wait in `haad`.
const INPUTS: usize = 1024;
/// Names only: nothing listens there.
const POSTGRES: u16 = 5432;
const API: u16 = 8008;

/// The members of every simulated cluster.
pub(super) const MEMBERS: [&str; 3] = ["n1", "n2", "n3"];

/// An agent that has not begun.
pub(super) struct Agent {
    member: usize,
    node: Node,
    store: Store,
    inputs: mpsc::Receiver<Input>,
    peers: Vec<mpsc::Sender<Input>>,
    servers: Arc<Mutex<Servers>>,
    tally: Arc<Tally>,
    waiting: VecDeque<Input>,
}

/// The agents of one cluster. To be called on the runtime that they are to live on.
///
/// # Errors
/// When a store cannot be made.
pub(super) fn cluster(
    number: usize,
    etcd: &config::Etcd,
    tally: &Arc<Tally>,
) -> anyhow::Result<Vec<Agent>> {
    let mut members: Vec<(MemberName, Address)> = Vec::new();
    for name in MEMBERS {
        members.push((name.parse()?, Address { host: name.to_owned(), port: POSTGRES }));
    }
    let servers = Servers::new(&members, u64::try_from(number)? + 1);
    let servers = Arc::new(Mutex::new(servers));
    let (senders, receivers): (Vec<_>, Vec<_>) =
        members.iter().map(|_| mpsc::channel(INPUTS)).unzip();
    let mut agents = Vec::new();
    for (member, inputs) in receivers.into_iter().enumerate() {
        let own = senders[member].clone();
        let store = Store::start(etcd, &format!("load-{number}"), own)?;
        let others = senders.iter().enumerate().filter(|(at, _)| *at != member);
        agents.push(Agent {
            member,
            node: Node::new(config(&members[member])),
            store,
            inputs,
            peers: others.map(|(_, sender)| sender.clone()).collect(),
            servers: Arc::clone(&servers),
            tally: Arc::clone(tally),
            waiting: VecDeque::new(),
        });
    }
    Ok(agents)
}

fn config((name, postgres): &(MemberName, Address)) -> Config {
    Config {
        name: name.clone(),
        instance: Instance(rand::random()),
        postgres: postgres.clone(),
        api: Address { host: postgres.host.clone(), port: API },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tags: Tags::default(),
        settings: Settings::default(),
        seed: rand::random(),
        remembered: None,
        promises: Promises::default(),
        pools: Pools::None,
        follows: None,
    }
}

impl Agent {
    /// Runs until it is dropped, or until the core says that it cannot be part of this cluster.
    pub(super) async fn run(mut self) {
        let mut looks = interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut input = Input::Tick;
        loop {
            let now = clock::now();
            self.tally.hear(now, &input);
            for effect in self.node.handle(now, &input) {
                if matches!(effect, Effect::Exit(_)) {
                    return;
                }
                self.perform(now, effect);
            }
            if let Some(next) = self.waiting.pop_front() {
                input = next;
                continue;
            }
            let wait = Duration::from_millis(self.node.deadline().since(clock::now()).0);
            input = tokio::select! {
                next = timeout(wait, self.inputs.recv()) => match next {
                    Ok(Some(input)) => input,
                    Ok(None) | Err(_) => Input::Tick,
                },
                _ = looks.tick() => self.look(clock::now()),
            };
        }
    }

    fn servers<T>(&self, work: impl FnOnce(&mut Servers) -> T) -> T {
        work(&mut self.servers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, now: Millis) -> Input {
        Input::Postgres(Box::new(self.servers(|servers| servers.look(self.member, now))))
    }

    /// What Postgres was made to do is seen at once.
    fn seen(&mut self, now: Millis) {
        let look = self.look(now);
        self.waiting.push_back(look);
    }

    fn perform(&mut self, now: Millis, effect: Effect) {
        let member = self.member;
        match effect {
            Effect::Store(wish) => self.store.wish(wish),
            Effect::Job(id, job) => {
                let ended: JobResult = self.servers(|servers| servers.work(member, &job));
                self.waiting.push_back(Input::Job(id, ended));
                self.seen(now);
            }
            Effect::Close(_) => {
                self.servers(|servers| servers.stop(member));
                self.seen(now);
            }
            Effect::Look => self.seen(now),
            Effect::Slots(wish) => self.servers(|servers| servers.slots(member, &wish.members)),
            Effect::Promise(promises) => self.waiting.push_back(Input::Promised(promises)),
            Effect::List(_, list) => {
                self.servers(|servers| servers.list(member, list));
                self.seen(now);
            }
            Effect::OpenDoor(_) => {
                self.servers(|servers| servers.open(member));
                self.seen(now);
            }
            Effect::Beat(beat) => {
                for peer in &self.peers {
                    // As the network would: whoever is too busy to hear it misses it.
                    if peer.try_send(Input::Peer(beat.clone())).is_err() {
                        self.tally.deaf();
                    }
                }
            }
            Effect::Publish(status) => self.tally.know(now, &status),
            Effect::Announce(transition) => self.tally.changed(&transition),
            Effect::ForgetNote(_) | Effect::Exit(_) => {}
        }
    }
}
