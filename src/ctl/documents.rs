//! The agents' documents as haactl reads them. Tolerant: a field that an agent does not send is unknown.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use haa_core::parameters::{Own, Pending};
use haa_core::units::Address;
use serde::{Deserialize, Serialize};

use crate::verdict::Planned;

/// `GET /cluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's name.
    #[serde(default)]
    pub scope: String,
    /// Its members.
    #[serde(default)]
    pub members: Vec<MemberView>,
    /// What an acknowledgement means.
    #[serde(default)]
    pub commits: Option<CommitsView>,
    /// The cluster that this one follows.
    #[serde(default)]
    pub standby_of: Option<String>,
    /// Nothing begins by itself.
    #[serde(default)]
    pub pause: bool,
    /// Why the agent that answered does not stand while nobody leads.
    #[serde(default)]
    pub waits: Option<String>,
    /// What waits for its time.
    #[serde(default)]
    pub scheduled: Vec<Planned>,
}

/// What an acknowledgement means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitsView {
    /// `quorum` or `async`.
    #[serde(default)]
    pub durability: String,
    /// How many voters beside the primary have an acknowledged commit.
    #[serde(default)]
    pub k: usize,
    /// The primary among them.
    #[serde(default)]
    pub voters: Vec<String>,
    /// In `quorum`, on the primary alone.
    #[serde(default)]
    pub alone: bool,
}

/// One member of `GET /cluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// `leader` or `replica`.
    #[serde(default)]
    pub role: String,
    /// `running`, `streaming`, ...
    #[serde(default)]
    pub state: String,
    /// How far it is with being cloned or rewound, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<u8>,
    /// Its Postgres' host.
    #[serde(default)]
    pub host: String,
    /// Its Postgres' port.
    #[serde(default)]
    pub port: u16,
    /// Its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// The timeline of its Postgres.
    #[serde(default)]
    pub timeline: Option<u64>,
    /// Whom it streams from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Bytes that it has not replayed.
    #[serde(default)]
    pub lag: Option<Lag>,
    /// Nothing was heard of it lately: its agent or its host is gone, or cut off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// An operator has taken it out of use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// The operator's tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, serde_json::Value>,
    /// Its Postgres waits for a restart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending_restart: bool,
    /// For which parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending_restart_reason: BTreeMap<String, ChangeView>,
    /// Parameters of the settings that are others there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_parameters: Vec<Own>,
}

/// A parameter that waits for a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// What Postgres goes by.
    pub old_value: String,
    /// What it will go by.
    pub new_value: String,
}

/// A lag, or the word `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lag {
    /// Bytes.
    Bytes(u64),
    /// Not known.
    Word(String),
}

impl CommitsView {
    /// In words.
    #[must_use]
    pub fn sentence(&self) -> String {
        match (self.durability.as_str(), self.alone) {
            ("quorum", true) => "ALONE: a commit is on the primary only".to_owned(),
            ("quorum", false) => {
                format!("a commit is on {} of {} voters", self.k + 1, self.voters.len())
            }
            _ => "a commit waits for no replica".to_owned(),
        }
    }
}

impl ClusterView {
    /// How many members vote, the primary among them; none in `async`.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.commits.as_ref().map_or(0, |commits| commits.voters.len())
    }

    /// The leader, if there is one.
    #[must_use]
    pub fn leader(&self) -> Option<&MemberView> {
        self.members.iter().find(|member| member.leads())
    }

    /// How many replicas stream.
    #[must_use]
    pub fn streaming(&self) -> usize {
        self.members.iter().filter(|member| member.streams()).count()
    }
}

impl MemberView {
    /// Where its agent answers, if that is known.
    #[must_use]
    pub fn agent(&self) -> Option<Address> {
        let url = self.api_url.as_deref()?;
        let authority = url.split("://").last()?.split('/').next()?;
        authority.parse().ok()
    }

    /// Its state, with how far it is: `cloning 43%`; or from whom it streams, if it is to from a certain one.
    #[must_use]
    pub fn shown_state(&self) -> String {
        let from = self.upstream.as_ref().filter(|_| self.tags.contains_key("replicatefrom"));
        if self.silent {
            return "silent".to_owned();
        }
        match (self.progress, from) {
            (Some(percent), _) => format!("{} {percent}%", self.state),
            (None, Some(from)) => format!("{} from {from}", self.state),
            (None, None) => self.state.clone(),
        }
    }

    /// What its Postgres waits for, and where it goes by something else than the others, a line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let name = &self.name;
        let pending = self.pending_restart_reason.iter().map(|(parameter, change)| {
            let ChangeView { old_value, new_value } = change;
            format!("{name}: pending restart: {parameter} {old_value} -> {new_value}")
        });
        let own = self
            .own_parameters
            .iter()
            .map(|own| format!("{name}: its own {} = {} ({})", own.name, own.value, own.from));
        pending.chain(own).collect()
    }

    /// The parameter that is to be lower and of which no standby may have less than its primary had, if one waits.
    #[must_use]
    pub fn lowers(&self) -> Option<&str> {
        self.limit(Ordering::Less)
    }

    /// The same of one that is to be higher.
    #[must_use]
    pub fn raises(&self) -> Option<&str> {
        self.limit(Ordering::Greater)
    }

    fn limit(&self, wanted: Ordering) -> Option<&str> {
        let mut all = self.pending_restart_reason.iter().filter(|(name, change)| {
            let ChangeView { old_value, new_value } = (*change).clone();
            let name = (*name).clone();
            let pending = Pending { name, running: old_value, written: Some(new_value) };
            pending.limit() == Some(wanted)
        });
        all.next().map(|(name, _)| name.as_str())
    }

    /// WAL comes to it, in whichever way is its.
    #[must_use]
    pub fn is_supplied(&self) -> bool {
        self.streams() || self.lives_on_archive()
    }

    /// Its Postgres is being worked on, however long that takes.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        matches!(self.state.as_str(), "starting" | "stopping" | "rewinding" | "creating replica")
    }

    /// It leads, in any kind of cluster.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self.role.as_str(), "leader" | "standby_leader")
    }

    /// It leads a standby cluster.
    #[must_use]
    pub fn leads_standby(&self) -> bool {
        self.role == "standby_leader"
    }

    /// It is a replica that streams.
    #[must_use]
    pub fn streams(&self) -> bool {
        !self.leads() && self.state == "streaming"
    }

    /// It is a replica that is tagged `nostream`, and asks the archive.
    #[must_use]
    pub fn lives_on_archive(&self) -> bool {
        !self.leads() && self.state == "in archive recovery"
    }

    /// The role as haa calls it.
    #[must_use]
    pub fn role_word(&self) -> &str {
        match self.role.as_str() {
            "leader" => "primary",
            "quorum_standby" | "sync_standby" => "replica",
            other => other,
        }
    }
}

/// `GET /routes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutesView {
    /// The newest term that the agent knows.
    #[serde(default)]
    pub term: Option<u64>,
    /// How old the answer is, in milliseconds.
    #[serde(default)]
    pub age_ms: u64,
    /// Where to write.
    pub primary: Option<RouteView>,
    /// Where to read.
    #[serde(default)]
    pub replicas: Vec<RouteView>,
}

/// One server of `GET /routes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// Whose.
    pub member: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Bytes that it has not replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// Sessions of clients that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_with_an_unknown_lag_is_read() {
        let text = r#"{"scope":"shop","pause":false,"members":[
            {"name":"n1","role":"leader","state":"running","host":"a","port":5432,"timeline":3},
            {"name":"n2","role":"replica","state":"streaming","host":"b","port":5432,"lag":0},
            {"name":"n3","role":"replica","state":"stopped","host":"c","port":1,"lag":"unknown"}]}"#;
        let view: ClusterView = serde_json::from_str(text).expect("a cluster document");
        assert_eq!(view.leader().map(|leader| leader.name.as_str()), Some("n1"));
        assert_eq!(view.streaming(), 1);
        assert_eq!(view.members[2].lag, Some(Lag::Word("unknown".to_owned())));
    }
}
