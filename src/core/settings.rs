//! Cluster-wide settings and the timings that follow from them. Checked when parsed, never again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// What an acknowledged commit means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Flushed by the primary alone; a failover may lose the last ones.
    #[default]
    Async,
    /// Flushed by the primary and `k` other voters; a failover loses none.
    Quorum,
}

/// `settings`: kept in etcd, the same for every member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What an acknowledged commit means; `None`: `quorum` as soon as two replicas can acknowledge, and from then on.
    pub durability: Option<Durability>,
    /// In `quorum`: how many replicas flush a commit before it is acknowledged; half of the voters if not said.
    pub k: Option<u32>,
    /// In `quorum`: a primary that lost every other voter waits for one, rather than going on alone.
    pub strict: bool,
    /// In `quorum`: a primary that cannot reach etcd goes on while every member lets it. Without effect in `async`.
    pub failsafe: bool,
    /// In `async`: a replica further behind the last position heard of the primary than this many bytes does not stand.
    pub maximum_lag_on_failover: u64,
    /// Nothing begins by itself: no election, no takeover, no start, rewind or clone. Among the settings, and no key of
    /// its own: no member can see the one without the other, it is written by the same comparison, and what pauses
    /// other clusters of Postgres by `PATCH /config` pauses this one.
    pub pause: bool,
    /// The timings.
    pub timing: Timing,
    /// What every member's Postgres is told.
    pub postgres: PostgresSettings,
    /// The operator's replication slots that are to be there whoever leads, by name.
    pub slots: BTreeMap<String, KeptSlot>,
}

/// What a replication slot of the operator's is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum KeptSlot {
    /// Of WAL as it is.
    Physical,
    /// Of changes, decoded.
    Logical {
        /// Whose changes.
        database: String,
        /// Who decodes them.
        plugin: String,
    },
}

/// What every member's Postgres is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct PostgresSettings {
    /// Parameters by their names in small letters. A member's own file may say otherwise for itself. What they mean is
    /// not known here, and nothing is decided by them.
    pub parameters: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: None,
            k: None,
            strict: false,
            failsafe: true,
            maximum_lag_on_failover: 1 << 20,
            pause: false,
            timing: Timing::default(),
            postgres: PostgresSettings::default(),
            slots: BTreeMap::new(),
        }
    }
}

/// Closing writes takes up to 150 ms where the kernel does as asked (`SIGQUIT`, then `SIGKILL`), and an agent that is
/// kept from its core a little longer.
const TO_CLOSE: Millis = Millis(500);
/// Clocks may differ by one part in this many: 2 %, forty times what a bad quartz does.
const CLOCKS_DIFFER: u64 = 50;

/// Spans of the protocol, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// How long etcd keeps a lease that is not renewed. etcd counts whole seconds.
    pub ttl: Millis,
    /// Between two renewals.
    pub round: Millis,
    /// Pays for clock rates and for closing writes: leadership ends this long before the lease can.
    pub margin: Millis,
    /// Between two heartbeats to a peer.
    pub heartbeat: Millis,
    /// A peer that was not heard for this long is not counted on.
    pub suspect_after: Millis,
    /// The second-best candidate waits this long for the best, the third twice.
    pub stagger: Millis,
    /// A candidate waits at most this long for the others' positions.
    pub report_timeout: Millis,
    /// Nobody stands while another's attempt is younger.
    pub attempt_timeout: Millis,
    /// A leader that has not come out of recovery by then gives way.
    pub promote_timeout: Millis,
    /// A primary that answers no query, or lets nobody in, for this long counts as dead.
    pub stall_timeout: Millis,
    /// An orderly stop that takes longer becomes an immediate one.
    pub stop_timeout: Millis,
    /// A member that has not been seen for this long is gone for good: it leaves the list, and its slot goes.
    pub forget_after: Millis,
    /// After the loss of all: without a word of where the last primary's WAL ended, an election waits at most this
    /// long for every member that may stand to say where its own ends.
    pub gather_timeout: Millis,
    /// A leader is not taken over from, on silence, in the first so long after its election.
    pub settle: Millis,
    /// A leader whose WAL still streams counts as lost when its agent was not heard for this long.
    pub agent_silent_after: Millis,
    /// A voter that does not stream, or whose agent is silent, for this long is no voter any more.
    pub voter_timeout: Millis,
    /// It streams without a break for this long before it is one again; doubled for each removal within an hour.
    pub voter_return: Millis,
    /// A primary without enough living voters for this long goes on alone, unless `strict`.
    pub alone_after: Millis,
    /// The named successor of a switchover has this long to stand before anyone may.
    pub successor_timeout: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Millis(10_000),
            round: Millis(3_000),
            margin: Millis(2_000),
            heartbeat: Millis(100),
            suspect_after: Millis(1_000),
            stagger: Millis(150),
            report_timeout: Millis(500),
            attempt_timeout: Millis(1_000),
            promote_timeout: Millis(5_000),
            stall_timeout: Millis(5_000),
            stop_timeout: Millis(10_000),
            forget_after: Millis(24 * 3_600_000),
            gather_timeout: Millis(30_000),
            successor_timeout: Millis(3_000),
            settle: Millis(3_000),
            agent_silent_after: Millis(5_000),
            voter_timeout: Millis(3_000),
            voter_return: Millis(10_000),
            alone_after: Millis(10_000),
        }
    }
}

impl Timing {
    /// The profile `fast`: a primary that is gone is noticed after 300 ms instead of a second. The lease is as ever, as
    /// no takeover waits for it. For a quiet network, and for hosts that are never short of a core.
    #[must_use]
    pub fn fast() -> Self {
        Self {
            heartbeat: Millis(75),
            suspect_after: Millis(300),
            stagger: Millis(100),
            ..Self::default()
        }
    }

    /// How long a standby bears a connection that says nothing: a takeover waits for its end, a little longer than for
    /// the heartbeats.
    #[must_use]
    pub const fn receiver_timeout(&self) -> Millis {
        self.suspect_after.after(Millis(self.suspect_after.0 / 5))
    }

    /// What a lease of this length has to leave for closing writes and for clocks that differ.
    #[must_use]
    pub const fn least_margin(ttl: Millis) -> Millis {
        TO_CLOSE.after(Millis(ttl.0 / CLOCKS_DIFFER))
    }

    /// Whether the spans leave room for two missed renewals, for clocks that differ and for closing writes; else a
    /// sentence with both numbers.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(&self) -> Result<(), String> {
        if let Some((name, _)) = self.spans().into_iter().find(|(_, span)| *span == Millis(0)) {
            return Err(format!("{name} is 0s: give it a span above zero"));
        }
        let least = Self::least_margin(self.ttl);
        if self.margin < least {
            return Err(format!(
                "margin is {} but with a ttl of {} closing writes and clocks that differ need {least}: raise margin",
                self.margin, self.ttl
            ));
        }
        let need = self.round.times(2).after(self.margin);
        if self.ttl <= need {
            return Err(format!(
                "ttl is {} but two rounds of {} and a margin of {} need more than {need}: raise ttl or lower round",
                self.ttl, self.round, self.margin
            ));
        }
        if self.ttl < Millis(2_000) || !self.ttl.0.is_multiple_of(1_000) {
            return Err(format!(
                "ttl is {} but etcd counts leases in whole seconds, 2s at the least",
                self.ttl
            ));
        }
        if self.suspect_after < self.heartbeat.times(2) {
            return Err(format!(
                "suspect_after is {} but heartbeats come every {}: one late heartbeat would be a loss; use at least {}",
                self.suspect_after,
                self.heartbeat,
                self.heartbeat.times(2)
            ));
        }
        if self.agent_silent_after <= self.suspect_after {
            return Err(format!(
                "agent_silent_after is {} but a primary that sends WAL outlives a silence of its agent of \
                 suspect_after, {}: raise agent_silent_after",
                self.agent_silent_after, self.suspect_after
            ));
        }
        if self.voter_timeout <= self.suspect_after {
            return Err(format!(
                "voter_timeout is {} but a lost primary is noticed after suspect_after, {}: a takeover is to come \
                 before its voters are given up; raise voter_timeout",
                self.voter_timeout, self.suspect_after
            ));
        }
        if self.alone_after <= self.attempt_timeout.times(2) {
            return Err(format!(
                "alone_after is {} but an attempt to take over lasts {}: raise alone_after above twice that",
                self.alone_after, self.attempt_timeout
            ));
        }
        Ok(())
    }

    /// Each by its name.
    #[must_use]
    pub const fn spans(&self) -> [(&'static str, Millis); 19] {
        [
            ("ttl", self.ttl),
            ("round", self.round),
            ("margin", self.margin),
            ("heartbeat", self.heartbeat),
            ("suspect_after", self.suspect_after),
            ("stagger", self.stagger),
            ("report_timeout", self.report_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("promote_timeout", self.promote_timeout),
            ("stall_timeout", self.stall_timeout),
            ("stop_timeout", self.stop_timeout),
            ("forget_after", self.forget_after),
            ("gather_timeout", self.gather_timeout),
            ("successor_timeout", self.successor_timeout),
            ("settle", self.settle),
            ("agent_silent_after", self.agent_silent_after),
            ("voter_timeout", self.voter_timeout),
            ("voter_return", self.voter_return),
            ("alone_after", self.alone_after),
        ]
    }
}
