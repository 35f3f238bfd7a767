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
    /// One member leads with Postgres open and published, and every other streams from it.
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
            let who = &self.members[*member];
            let status = who.agent.status.as_ref();
            able(*member)
                && who.postgres.open()
                && status.is_some_and(|status| status.primary(who.clock.read(self.now)).is_ok())
        };
        let mut all = 0..self.members.len();
        let Some(leader) = all.find(leads) else { return false };
        let run = self.members[leader].postgres.run;
        (0..self.members.len()).filter(|&member| member != leader && able(member)).all(|member| {
            let postgres = &self.members[member].postgres;
            let joined = matches!(postgres.stream, Stream::Joined { run: r, .. } if r == run);
            joined && postgres.source == Some(leader)
        })
    }
}
