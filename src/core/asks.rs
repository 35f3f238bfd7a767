//! What operators ask for, and what came of it. Decides nothing.

use serde::{Deserialize, Serialize};

use crate::site::Site;
use crate::units::{Incarnation, MemberName, Position, Term};

/// The name of a request: random, drawn by the agent that took it.
pub type RequestId = String;

/// `requests/<id>`: what an operator asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestRecord {
    /// What.
    pub ask: Ask,
    /// Who asked, and from where.
    pub by: String,
    /// Wall clock of the agent that took it, milliseconds since 1970.
    pub asked_unix_ms: u64,
    /// When it is to begin; nothing where it was to begin at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// When it came to its end, milliseconds since 1970; stamped by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_unix_ms: Option<u64>,
    /// How it stands.
    pub state: RequestState,
}

impl RequestRecord {
    /// When it was to begin.
    pub(crate) fn began_unix_ms(&self) -> u64 {
        self.due.as_ref().map_or(self.asked_unix_ms, |due| due.at_unix_ms)
    }

    /// Whether it has not come to its end.
    pub(crate) const fn is_open(&self) -> bool {
        match self.state {
            RequestState::Scheduled | RequestState::Pending | RequestState::Accepted { .. } => true,
            RequestState::Done { .. } | RequestState::Refused { .. } => false,
        }
    }

    /// What is told and was never asked for: it comes to its end as it is told.
    #[must_use]
    pub const fn told(ask: Ask, by: String, at_unix_ms: u64, state: RequestState) -> Self {
        let ended_unix_ms = Some(at_unix_ms);
        Self { ask, by, asked_unix_ms: at_unix_ms, due: None, ended_unix_ms, state }
    }
}

/// When a command is to begin that was asked for in advance. Wall clocks say only when, never whether it may.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Due {
    /// Not before this, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Nor after this: nobody expects it any more.
    pub until_unix_ms: u64,
    /// Nor unless this one was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RequestId>,
    /// Of a switchover: who is to lead until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<MemberName>,
}

/// What can be asked of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Ask {
    /// Hand the leadership over in order; refused if the target is not fit.
    Switchover {
        /// To whom; the best replica if not said.
        to: Option<MemberName>,
    },
    /// Make a member lead though no leader is there, however far it is behind.
    Failover {
        /// Whom; the best replica if not said.
        to: Option<MemberName>,
        /// At what cost.
        #[serde(default)]
        loss: Loss,
    },
    /// Take a member out of use: no voter, never elected, not read from. If it leads, it hands over first.
    Drain {
        /// Whom.
        member: MemberName,
    },
    /// Take it back.
    Undrain {
        /// Whom.
        member: MemberName,
    },
    /// Restart a member's Postgres; its agent goes on.
    Restart {
        /// Whose.
        member: MemberName,
        /// How.
        #[serde(default)]
        manner: Manner,
    },
    /// Throw a replica's data away, and clone it anew.
    Reinit {
        /// Whose.
        member: MemberName,
        /// Which data: named by the leader that admits it, so that it is done once.
        #[serde(default)]
        data: Option<Incarnation>,
        /// From whom; as any clone if not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<MemberName>,
    },
    /// Forget a member that is gone for good.
    Remove {
        /// Whom.
        member: MemberName,
    },
    /// Make a standby cluster one that accepts writes.
    PromoteCluster {
        /// Not before it has replayed this much of the other cluster's WAL, of that very timeline.
        at_least: Option<Position>,
    },
    /// Stop writes for good, and follow another cluster, which follows this one until then.
    DemoteCluster {
        /// Which.
        to: Site,
    },
    /// Promote a member that was elected. Never asked: it is told where the operator's own program was against it.
    Promote {
        /// Whom.
        member: MemberName,
        /// In which term.
        term: Term,
    },
    /// Keep a slot of the operator's. Never asked: it is told where one was lost.
    KeepSlot {
        /// On whose server it is missing.
        member: MemberName,
        /// Its name.
        slot: String,
    },
    /// Read `haad.toml` again. Asked in advance; at once the member does it unasked, and it is told.
    Reload {
        /// Whose.
        member: MemberName,
    },
    /// A command that an agent refused by itself. Never asked: it is told.
    Command {
        /// Whose agent.
        member: MemberName,
        /// Method and path.
        what: String,
    },
    /// Other settings. At once they are written together with it, and it is done by that; in advance it says what they
    /// are to be.
    Settings {
        /// What changes.
        changes: Vec<Altered>,
    },
}

impl Ask {
    /// A clone of these data, whatever else is asked stays.
    #[must_use]
    pub(crate) fn of_data(&self, found: Option<Incarnation>) -> Self {
        let mut ask = self.clone();
        if let Self::Reinit { data, .. } = &mut ask {
            *data = found;
        }
        ask
    }

    /// Whose agent carries it out by itself, in the term of this leader: no Postgres stops, and nobody hands over.
    pub(crate) fn errand_of<'a>(&'a self, leader: &'a MemberName) -> Option<&'a MemberName> {
        if let Self::Reload { member } = self {
            return Some(member);
        }
        matches!(self, Self::Settings { .. }).then_some(leader)
    }

    /// Whether the leadership of this member ends by it: of these there is one at a time.
    pub(crate) fn hands_over_from(&self, leader: &MemberName) -> bool {
        match self {
            Self::Switchover { .. } | Self::Failover { .. } | Self::DemoteCluster { .. } => true,
            Self::Drain { member } | Self::Restart { member, .. } => member == leader,
            Self::Undrain { .. }
            | Self::Reinit { .. }
            | Self::Remove { .. }
            | Self::PromoteCluster { .. }
            | Self::Promote { .. }
            | Self::KeepSlot { .. }
            | Self::Reload { .. }
            | Self::Command { .. }
            | Self::Settings { .. } => false,
        }
    }

    /// What was asked, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let to = |to: &Option<MemberName>| {
            to.as_ref().map_or("the best replica".to_owned(), MemberName::to_string)
        };
        match self {
            Self::Switchover { to: name } => format!("switchover to {}", to(name)),
            Self::Failover { to: name, loss: Loss::Allowed } => {
                format!("failover to {}", to(name))
            }
            Self::Failover { to: name, loss: Loss::Accepted } => {
                format!("failover to {}, accepting the loss of acknowledged commits", to(name))
            }
            Self::Drain { member } => format!("drain {member}"),
            Self::Undrain { member } => format!("undrain {member}"),
            Self::Restart { member, manner } => match manner {
                Manner::Alone => format!("restart {member}"),
                Manner::Rolling => format!("restart {member}, one after the other"),
                Manner::InPlace => format!("restart {member} in place"),
            },
            Self::Remove { member } => format!("remove {member}"),
            Self::Reinit { member, from: None, .. } => format!("reinit {member}"),
            Self::Reinit { member, from: Some(from), .. } => format!("reinit {member} from {from}"),
            Self::PromoteCluster { at_least: None } => "promote the cluster".to_owned(),
            Self::PromoteCluster { at_least: Some(at) } => {
                format!("promote the cluster once it has replayed {at}")
            }
            Self::DemoteCluster { to } => format!("have the cluster follow {to}"),
            Self::Promote { member, term } => format!("promote {member} in term {term}"),
            Self::KeepSlot { member, slot } => format!("keep the slot {slot} on {member}"),
            Self::Reload { member } => format!("reload {member}"),
            Self::Command { member, what } => format!("{what}, asked of {member}"),
            Self::Settings { changes } => {
                let all: Vec<String> = changes.iter().map(Altered::sentence).collect();
                format!("set {}", all.join(", "))
            }
        }
    }
}

/// What a failover may lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// What `durability` lets it lose: in `quorum` nothing.
    #[default]
    Allowed,
    /// Acknowledged commits, where the voters that hold them are gone for good.
    Accepted,
}

/// How a Postgres is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// A replica's, unless too few would be left.
    #[default]
    Alone,
    /// A replica's, if every other one streams.
    Rolling,
    /// The primary's too: it closes, and leads again.
    InPlace,
}

/// A setting that was changed, as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Altered {
    /// Which, such as `timing.ttl`.
    pub key: String,
    /// What it was; `None` where nothing was said.
    pub from: Option<String>,
    /// What it is from now on.
    pub to: Option<String>,
}

impl Altered {
    fn sentence(&self) -> String {
        let word = |said: &Option<String>| said.clone().unwrap_or_else(|| "not said".to_owned());
        format!("{} = {} (was {})", self.key, word(&self.to), word(&self.from))
    }
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for its time.
    Scheduled,
    /// Nobody has acted on it yet.
    Pending,
    /// The leader of this term is handing over.
    Accepted {
        /// Whose leadership ends by it.
        term: Term,
    },
    /// Done, and what is so now, in a sentence.
    Done {
        /// The sentence.
        what: String,
    },
    /// Not done, and why, in a sentence.
    Refused {
        /// The sentence.
        why: String,
    },
}
