//! PgBouncers before the cluster: they hold their clients on a member's word, until one lets them through. Their
//! clients are none of the world's: nobody's write is held here.

use haa_core::effect::Job;
use haa_core::input::JobResult;
use haa_core::routes::PoolsAre;

use crate::time::At;
use crate::world::World;

impl World {
    /// They begin to hold their clients, and wait for transactions.
    pub(crate) fn hold_pools(&mut self, member: usize) -> At {
        self.held_by = Some(member);
        self.takes(2, 50)
    }

    /// Whether the transactions that went through them have ended.
    pub(crate) fn pools_held(&mut self) -> Result<(), &'static str> {
        if self.dice.ppm(self.conduct.hold_fails) {
            return Err("transactions through a PgBouncer did not end");
        }
        Ok(())
    }

    /// A member says what they are to do. A hold under way that it does not want any more is given up.
    pub(crate) fn tell_pools(&mut self, member: usize, pools: PoolsAre) {
        match pools {
            PoolsAre::Held => return,
            PoolsAre::Free(_) if self.held_by.take().is_some() => {
                self.sometimes.count("PgBouncers let their clients through");
                self.say(|world| {
                    format!("{}: PgBouncers let their clients through", world.members[member].name)
                });
            }
            PoolsAre::Free(_) | PoolsAre::Soon(_) | PoolsAre::Left => {}
        }
        let slot = self.members[member].agent.slot.as_ref();
        if slot.is_some_and(|slot| slot.job == Job::Hold) {
            let why = "the hand-over was given up while PgBouncers were being held";
            self.work_ends(member, JobResult::Failed(why.to_owned()));
        }
    }
}
