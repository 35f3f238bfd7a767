//! Why a member that could lead does not stand, for people who look at a cluster without a leader.

use serde::{Deserialize, Serialize};

use crate::line::Beside;
use crate::off::Mechanism;
use crate::units::Millis;

use super::Node;
use super::election::Wish;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Waits {
    /// The last leader's lease ended without its word, in an etcd that may end leases early.
    LastLeaderMayWrite,
    /// Another member was named, or stands.
    Another,
    /// Its own tags.
    NoFailover,
    /// An operator took it out of use.
    Drained,
    /// It failed to be promoted.
    Unfit,
    /// Its recovery is bound for a timeline that came to nothing.
    BoundElsewhere,
    /// It is not on the list in `sync`.
    NotListed,
    /// It has no lease: etcd does not answer.
    NoLease,
    /// Its name is not in the store yet.
    NotRegistered,
    /// Its timeline is not one of the last leader's.
    Elsewhere,
    /// Nobody told where the last primary's WAL ended, and not everybody has told where his own does.
    Gathering,
    /// It is further behind than the settings allow.
    TooFarBehind,
    /// It was named and does not have all of the last leader's WAL yet.
    NotThereYet,
    /// etcd shows less than it did.
    StoreWentBack,
    /// The primary is silent, and its lease is renewed, or etcd has not said otherwise yet.
    Renews,
    /// It let the primary go on without etcd, and that promise runs.
    Consented,
    /// The cluster is paused.
    Paused,
}

impl Waits {
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::LastLeaderMayWrite => {
                "no leader: the last one's lease ended without its word, and an etcd before 3.5.13 may have \
                 ended it early; waiting one ttl, in which it must have stopped"
            }
            Self::Another => "no leader: another member stands or was named to",
            Self::NoFailover => "no leader: this member is tagged nofailover",
            Self::Drained => {
                "no leader: this member is drained; bring another one back, or haactl undrain this one"
            }
            Self::Unfit => {
                "no leader: this member could not be promoted and waits before it tries again"
            }
            Self::BoundElsewhere => {
                "no leader: this member was sent the history of a timeline, and none of its WAL; its Postgres is \
                 restarted for that by itself, within seconds; if it is so after that, see postgres.log here, and \
                 bring another member back"
            }
            Self::NotListed => {
                "no leader: this member's data are not on the list in sync: it had not streamed since it was \
                 made or copied, was too far behind the last leader, or never votes by its tags; bring a listed member \
                 back, or haactl failover --to this member, in quorum with --accept-loss, and lose what it lacks"
            }
            Self::NoLease => "no leader: etcd gave this member no lease",
            Self::NotRegistered => "no leader: this member is not in etcd yet",
            Self::Elsewhere => {
                "no leader: this member's timeline is not one of the last leader's: somebody promoted it by hand. \
                 Bring another member back, or haactl failover --to this member and lose what the others have"
            }
            Self::Gathering => {
                "no leader: nobody heard where the last primary's WAL ended; waiting for the other members to say \
                 where theirs does"
            }
            Self::TooFarBehind => {
                "no leader: this member is further behind the last primary than maximum_lag_on_failover; \
                 bring the old primary back, or haactl failover --to this member and lose what it lacks"
            }
            Self::StoreWentBack => {
                "etcd shows an older state than this member has seen: was it restored, or replaced? Nothing is \
                 decided on it. Make sure that no other member accepts writes, then restart the agents"
            }
            Self::Renews => {
                "the primary is silent, but etcd does not say that it stopped renewing its lease: it lives, and the \
                 link between the members is cut. Nobody takes over on its own word alone: mend the link"
            }
            Self::Consented => {
                "this member promised the primary not to stand while etcd was away; it waits for the end of that \
                 promise, one ttl at most"
            }
            Self::Paused => {
                "the cluster is paused: nothing begins by itself, here an election, or the start of this member's \
                 Postgres. haactl resume ends that; haactl failover makes a member lead meanwhile"
            }
            Self::NotThereYet => {
                "no leader: this member was named and waits for the last of the WAL"
            }
        }
    }
}

impl Node {
    /// What a person is to know.
    pub(super) fn waiting(&self) -> Option<Waits> {
        if self.belief.store_went_back { Some(Waits::StoreWentBack) } else { self.waits }
    }

    /// Somebody leads or stands, and we do not stand against that.
    pub(super) fn why_not_yet(&self, now: Millis) -> Waits {
        if self.is_paused() {
            return Waits::Paused;
        }
        let lost =
            self.suspects(now).is_some_and(|(_, since)| self.unrenewed(now, since).is_none());
        if lost { Waits::Renews } else { Waits::Another }
    }

    /// Why we may not lead at all.
    pub(super) fn bar(&self, now: Millis) -> Option<Waits> {
        if self.config.tags.nofailover {
            return Some(Waits::NoFailover);
        }
        if self.belief.is_drained(&self.config.name) {
            return Some(Waits::Drained);
        }
        if self.consented(now).is_some() {
            return Some(Waits::Consented);
        }
        if now < self.unfit.0 {
            return Some(Waits::Unfit);
        }
        if self.is_bound_elsewhere() {
            return Some(Waits::BoundElsewhere);
        }
        if self.belief.lease.is_none() {
            return Some(Waits::NoLease);
        }
        if !self.belief.registered() {
            return Some(Waits::NotRegistered);
        }
        let quorum = self.belief.quorum().is_some();
        if quorum && self.store_is_behind() {
            return Some(Waits::StoreWentBack);
        }
        if self.wish() == Wish::Us && !quorum {
            return None;
        }
        if !self.belief.listed(&self.config.name) {
            return Some(Waits::NotListed);
        }
        self.is_elsewhere().then_some(Waits::Elsewhere)
    }

    /// Somebody promoted our Postgres by hand: a timeline that no leadership made would win by its number.
    fn is_elsewhere(&self) -> bool {
        if self.off.is(Mechanism::Elsewhere) {
            return false;
        }
        let (Some(own), Some(line)) = (self.belief.standby(), self.belief.newest_line()) else {
            return false;
        };
        // A standby cluster's goes on with the other cluster's, whether its leader came to say so or not.
        if self.belief.site().is_some() && own.position.timeline > line.timeline {
            return self.belief.primary_position.is_some_and(|end| own.left_before(end));
        }
        line.beside(&own.line(), own.position.lsn) == Beside::Elsewhere
    }

    /// Whether we may lead at all: allowed, fit, listed, with a lease to lead on. An operator who names us goes
    /// over the list.
    pub(super) fn may_lead(&self, now: Millis) -> bool {
        self.leaving.is_none() && self.bar(now).is_none()
    }
}
