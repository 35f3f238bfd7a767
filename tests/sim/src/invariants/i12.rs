//! I12: after faults heal, a primary accepts writes within a bound, and everybody streams within another.

use super::{Violation, broken};
use crate::postgres::Stream;
use crate::time::At;
use crate::world::World;

/// What is demanded, and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A route to a primary that accepts a client's write.
    Write,
    /// Every other member streams from it.
    Stream,
}

/// Whether a demand is met; a violation once its time is over.
///
/// # Errors
/// The violation.
pub fn demand(world: &mut World, what: Demand, by: At) -> Result<bool, Violation> {
    let met = match what {
        // One that is acknowledged at once, or one of those before it meanwhile; and none waits behind a PgBouncer.
        Demand::Write => {
            let before = std::mem::take(&mut world.demanded);
            let met = before.is_some_and(|write| world.routed_ack.is_some_and(|ack| ack >= write));
            let asked = world.routed_write().map(|(_, write)| write);
            world.demanded = before.or(asked);
            let met =
                met || asked.is_some_and(|write| world.routed_ack.is_some_and(|ack| ack >= write));
            met && world.held_by.is_none()
        }
        Demand::Stream => world.whole(),
    };
    if met || world.now < by {
        return Ok(met);
    }
    let members = (0..world.members.len()).collect();
    let sentence = match what {
        Demand::Write => "no client could write within the bound after everything healed",
        Demand::Stream => "not every member streams within the bound after everything healed",
    };
    Err(broken(world, "I12", members, sentence.to_owned()))
}

impl World {
    /// One member leads with Postgres open and published, and every other streams from it, or is to stream from one
    /// that does.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.joined(|_| true)
    }

    /// The same for the members that could: their agent runs and they reach etcd.
    #[must_use]
    pub fn settled(&self) -> bool {
        let etcd = self.net.etcd();
        let able =
            |member: usize| self.members[member].agent.awake() && self.net.joined(member, etcd);
        self.joined(able) && (0..self.members.len()).any(able)
    }

    fn joined(&self, able: impl Fn(usize) -> bool) -> bool {
        let leads = |member: &usize| {
            if self.is_standby() {
                return self.plan.other_site == Some(*member);
            }
            let who = &self.members[*member];
            let status = who.agent.status.as_ref();
            able(*member)
                && who.postgres.open()
                && status.is_some_and(|status| status.primary(who.clock.read(self.now)).is_ok())
        };
        let mut all = 0..self.members.len();
        let Some(leader) = all.find(leads) else { return false };
        let mut others = (0..self.members.len()).filter(|&member| member != leader && able(member));
        others.all(|member| self.follows(member, leader))
    }

    /// It streams from the leader, or by its tags from one that does.
    fn follows(&self, member: usize, leader: usize) -> bool {
        let postgres = &self.members[member].postgres;
        let Some(source) = postgres.source else { return false };
        let run = self.members[source].postgres.run;
        let joined = matches!(postgres.stream, Stream::Joined { run: r, .. } if r == run);
        let tags = self.plan.tags.get(&member);
        let cascades = self.is_standby()
            || tags.is_some_and(|tags| {
                tags.replicatefrom.as_ref() == Some(&self.members[source].name)
            });
        joined && (source == leader || cascades && self.follows(source, leader))
    }
}
