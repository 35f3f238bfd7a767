//! Paused: nothing begins by itself. What an operator asked for goes on to its end, and leases and the fence are as
//! ever: safety never pauses. Never stops anything.

use crate::effect::Job;
use crate::observe::{PostgresFacts, Server};
use crate::reason::Reason;
use crate::records::Holder;

use super::Node;
use super::election::Wish;
use super::waits::Waits;

impl Node {
    /// The cluster is paused, and no command is under way that makes another member lead: a switchover, a failover, or
    /// a leader's agent that was stopped.
    pub(super) fn is_paused(&self) -> bool {
        self.belief.settings().pause && !self.is_commanded()
    }

    fn is_commanded(&self) -> bool {
        if self.wish() != Wish::None {
            return true;
        }
        let Some(last) = self.belief.term_key().map(|kept| &kept.value) else { return false };
        let led = matches!(last.holder, Holder::Leader { .. });
        let asked = [
            Reason::Switchover,
            Reason::Failover,
            Reason::Drained,
            Reason::Restarted,
            Reason::AgentStopped,
            Reason::ClusterDemoted,
            Reason::ClusterPromoted,
        ];
        !led && asked.contains(&last.reason)
    }

    /// Whether what would begin now has to wait for the end of a pause; that is told.
    pub(super) fn waits_for_resume(&mut self) -> bool {
        let paused = self.is_paused();
        if paused {
            self.waits = Some(Waits::Paused);
        }
        paused
    }

    /// A Postgres that this agent has stopped itself, or not seen run yet, is started though the cluster is paused: its
    /// stop was part of a command, or the start of the agent was one.
    pub(super) fn owes_start(&mut self) -> bool {
        self.rejoining.owes_start || !self.waits_for_resume()
    }

    /// A Postgres that runs is owed nothing.
    pub(super) fn note_running(&mut self, facts: &PostgresFacts) {
        if !matches!(facts.server, Server::Starting) {
            self.rejoining.starting_since = None;
        }
        let runs = !matches!(facts.server, Server::Stopped(_));
        if runs && self.desk.settled(facts) {
            self.rejoining.owes_start = false;
        }
    }

    /// Whoever stops it in order starts it again.
    pub(super) const fn note_stop(&mut self, job: &Job) {
        if let Job::Stop(_) = job {
            self.rejoining.owes_start = true;
        }
    }
}
