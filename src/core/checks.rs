//! Health checks beyond `/primary` and `/replica`: what passes and why not. Never talks HTTP.

use crate::reads::ReplicaDemand;
use crate::records::MemberRole;
use crate::routes::{Answer, Status};
use crate::settings::Durability;
use crate::units::{Lsn, Millis};

/// Which WAL counts for `/readiness`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Replayed: readers see it.
    #[default]
    Applied,
    /// On this member's disk.
    Written,
}

impl Status {
    /// `/liveness`: the agent's loop turned within the lease's time. `turned_at` is when it did last.
    ///
    /// # Errors
    /// Why not.
    pub fn awake(&self, now: Millis, turned_at: Millis) -> Answer {
        if now.since(turned_at) < self.settings.timing.ttl {
            Ok(())
        } else {
            Err("the agent's loop has not turned for longer than a lease lasts")
        }
    }

    /// `/standby-leader`: it leads a standby cluster, by an unexpired lease, and its Postgres is in recovery.
    ///
    /// # Errors
    /// Why not.
    pub fn leads_standbys(&self, now: Millis) -> Answer {
        let Some(follows) = &self.follows else {
            return Err("this cluster is not a standby of another");
        };
        match (follows.until, &self.record.role) {
            (Some(until), _) if now >= until => Err("this member's leadership has run out"),
            (Some(_), MemberRole::StandbyLeader { .. }) => Ok(()),
            (Some(_), _) => Err("this member leads, but its Postgres is no standby now"),
            (None, _) => Err("this member does not lead"),
        }
    }

    /// `/read-only`: a primary, a standby cluster's leader, or a replica that meets the demand.
    ///
    /// # Errors
    /// Why not, as a replica.
    pub fn readable(&self, now: Millis, demand: &ReplicaDemand) -> Answer {
        let leads = self.primary(now).or_else(|_| self.leads_standbys(now));
        leads.or_else(|_| self.replica(demand))
    }

    /// `/sync`: a replica that meets the demand and is one of those that acknowledge commits.
    ///
    /// # Errors
    /// Why not.
    pub fn synchronous(&self, demand: &ReplicaDemand) -> Answer {
        self.replica(demand)?;
        self.acknowledges()
    }

    /// `/async`: a replica that meets the demand and is none of those that acknowledge commits. Whoever asks for that
    /// takes one that is to vote, too.
    ///
    /// # Errors
    /// Why not.
    pub fn asynchronous(&self, demand: &ReplicaDemand) -> Answer {
        self.replica(&ReplicaDemand { any_copy: true, ..demand.clone() })?;
        match self.acknowledges() {
            Ok(()) => Err("this replica acknowledges commits"),
            Err(_) => Ok(()),
        }
    }

    /// `/read-only-sync`: a primary, or a replica that acknowledges commits.
    ///
    /// # Errors
    /// Why not, as a replica.
    pub fn readable_sync(&self, now: Millis, demand: &ReplicaDemand) -> Answer {
        self.primary(now).or_else(|_| self.synchronous(demand))
    }

    /// `/readiness`: a primary, or a replica that streams and lacks at most `max_lag` bytes.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self, now: Millis, max_lag: Option<u64>, measure: Measure) -> Answer {
        if self.primary(now).is_ok() {
            return Ok(());
        }
        self.healthy()?;
        let standby = self.own_standby().ok_or("this member neither leads nor streams")?;
        if !standby.streaming {
            return Err("this replica does not stream");
        }
        let reached: Lsn = match measure {
            Measure::Applied => standby.replayed,
            Measure::Written => standby.position.lsn,
        };
        let limit = max_lag.unwrap_or(self.settings.maximum_lag_on_failover);
        match self.lag(reached) {
            None => Err("this replica's lag is not known"),
            Some(lag) if lag > limit => Err("this replica lags more than allowed"),
            Some(_) => Ok(()),
        }
    }

    /// Whether an acknowledged commit may rest on this replica. In `async` it rests on the primary alone.
    fn acknowledges(&self) -> Answer {
        match &self.sync {
            Some(sync) if sync.durability == Durability::Async => {
                Err("durability is async: no replica acknowledges commits")
            }
            Some(sync)
                if sync.primary != self.me && sync.has_voter(&self.me, self.record.incarnation) =>
            {
                Ok(())
            }
            Some(_) => Err("this replica does not acknowledge commits"),
            None => Err("no replica acknowledges commits yet"),
        }
    }
}
