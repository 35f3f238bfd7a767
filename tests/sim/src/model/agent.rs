//! An agent of a small world begins and ends. Never what it decides.

use haa_core::effect::StoreWish;
use haa_core::input::Input;
use haa_core::node::{Config, Pools};
use haa_core::records::Tags;
use haa_core::units::{Address, Instance};
use haa_core::voters::Promises;

use crate::brain::Brain;
use crate::model::scope::settings;
use crate::model::state::{Ask, Due, Life, Member, State, name};
use crate::postgres;

impl State {
    /// A new run of an agent, with what is on its disk.
    pub fn start_agent(&mut self, member: usize) {
        let broken = self.broken;
        let now = self.local(member);
        let who = self.member(member);
        who.lives += 1;
        let postgres = postgres::address(member);
        let config = Config {
            follows: None,
            name: name(member),
            instance: Instance(member as u64 + 1),
            api: Address { host: postgres.host.clone(), port: 8008 },
            postgres,
            version: String::new(),
            tags: Tags::default(),
            settings: settings(),
            seed: member as u64 * 1_000 + u64::from(who.lives),
            remembered: who.remembered,
            promises: Promises::default(),
            pools: Pools::None,
        };
        who.brain = Some(Brain::new(config, broken));
        who.life = Life::Running;
        who.due.look = true;
        who.inbox.push_back(Input::StoreRevokesEarly(false));
        who.asks.push_back(Ask { member, asked_at: now, wish: StoreWish::Read });
    }

    /// The agent's process is gone; Postgres goes on.
    pub fn end_agent(&mut self, member: usize) {
        let who = self.member(member);
        *who = Member {
            life: Life::Down,
            brain: None,
            link: who.link,
            lives: who.lives,
            ahead: who.ahead,
            remembered: who.remembered,
            guard: who.guard,
            due: Due { kill: who.due.kill, ..Due::default() },
            troubled: who.troubled,
            postgres: who.postgres.clone(),
            ..Member::default()
        };
    }
}
