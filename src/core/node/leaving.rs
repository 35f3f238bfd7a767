//! The end of an agent: Postgres is stopped first, then the lease let go. Never decides whether it ends.

use crate::effect::{Effect, Exit, Job, StoreWish};
use crate::observe::Server;
use crate::reason::Reason;
use crate::units::Millis;

use super::Node;

/// An agent that ends waits so long for the store to take its leadership back; then the lease runs out by itself.
const LET_GO_PATIENCE: Millis = Millis(3_000);

impl Node {
    /// A member that is refused stops the Postgres that it started itself. Whether it still has to.
    pub(super) fn stops_what_it_started(&mut self) -> bool {
        let Some(facts) = self.belief.facts.clone() else { return false };
        match facts.server {
            Server::Stopped(_) => return false,
            Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Standby(_)
            | Server::Primary(_) => {}
        }
        if self.rejoining.has_started && self.desk.settled(&facts) {
            self.desk.job(Job::Stop(self.belief.settings().timing.stop_timeout));
        }
        self.rejoining.has_started
    }

    /// The agent is to end: Postgres is stopped, then the lease let go. Long work is given up.
    pub(super) fn leave(&mut self, now: Millis) {
        let Some(facts) = self.belief.facts.clone() else { return };
        if !self.desk.settled(&facts) {
            match self.desk.slot().map(|slot| &slot.job) {
                Some(Job::InitDb | Job::Clone(_) | Job::Rewind(_) | Job::Start(..)) => {
                    self.desk.close(now, Reason::AgentStopped);
                }
                Some(
                    Job::Fetch { .. }
                    | Job::Checkpoint
                    | Job::Hold
                    | Job::Lower
                    | Job::Stop(_)
                    | Job::Follow(..)
                    | Job::Detach(_)
                    | Job::Promote { .. },
                )
                | None => {}
            }
            return;
        }
        match facts.server {
            Server::Stopped(_) => {
                let holds = self.belief.own_leader_key().is_some() && self.belief.lease.is_some();
                let until = self.leaving.map_or(now, |(_, since)| since.after(LET_GO_PATIENCE));
                if holds && now < until {
                    return self.desk.wake_at(until);
                }
                if let Some(lease) = self.belief.lease {
                    self.desk.wish(Effect::Store(StoreWish::RevokeLease(lease.id)));
                }
                self.exit(Exit::Stopped);
            }
            Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Standby(_)
            | Server::Primary(_) => {
                self.desk.job(Job::Stop(self.belief.settings().timing.stop_timeout));
            }
        }
    }
}
