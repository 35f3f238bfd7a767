//! What the agents and etcd say of the cluster, asked from a host that no fault touches, and the commands that an
//! operator has. Never looks into a process or a file.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::future::{join_all, select_ok};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use haa::ctl::documents::{ClusterView, MemberView};
use haa::ctl::http::Ask;
use haa_core::units::Address;

use super::plan::{MEMBERS, Place, Plan, System, places};

/// An agent answers from memory; one that takes longer is frozen or dead.
const ANSWER: Duration = Duration::from_millis(500);
/// Between two questions.
const LOOK: Duration = Duration::from_millis(20);
/// Agents wait 5 s for one another to go by new settings.
const SET: Duration = Duration::from_secs(8);

/// Where to ask.
#[derive(Clone, Debug)]
pub struct Watch {
    system: System,
    /// How many vote when all is well; none in `async`.
    voters: usize,
    places: Vec<Place>,
    etcds: Vec<(String, Address)>,
    token: String,
}

impl Watch {
    /// Of a cluster as planned, with these etcds.
    #[must_use]
    pub fn new(plan: &Plan, etcds: Vec<(String, Address)>, token: &str) -> Self {
        let durability = plan.settings.get("durability").and_then(toml::Value::as_str);
        let voters = if durability == Some("async") { 0 } else { MEMBERS.len() };
        Self { system: plan.system, voters, places: places(), etcds, token: token.to_owned() }
    }

    /// What the first agent that answers says of the cluster.
    pub async fn cluster(&self) -> Option<ClusterView> {
        let asked = self.places.iter().map(|place| {
            Box::pin(async move {
                let answer = Ask::get("/cluster").within(ANSWER).send(&place.api).await;
                let answer = answer.ok().filter(|answer| answer.status == 200).ok_or(())?;
                serde_json::from_slice(&answer.body).map_err(drop)
            })
        });
        select_ok(asked).await.ok().map(|(view, _)| view)
    }

    /// What each agent says to this question; nothing where none answers, or not with 200.
    pub async fn asked(&self, path: &str) -> Vec<(&'static str, Option<Value>)> {
        let asked = self.places.iter().map(|place| async move {
            let answer = Ask::get(path).within(ANSWER).send(&place.api).await;
            let answer = answer.ok().filter(|answer| answer.status == 200);
            let read = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
            (place.member, read)
        });
        join_all(asked).await
    }

    /// The members whose `/primary` says 200 now.
    pub async fn primaries(&self) -> Vec<&'static str> {
        let asked = self.places.iter().map(|place| async move {
            let answer = Ask::get("/primary").within(ANSWER).send(&place.api).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(place.member)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Waits for one member that accepts writes.
    ///
    /// # Errors
    /// When there is none, or there are two, when the time is over.
    pub async fn primary(&self, at_most: Duration) -> anyhow::Result<&'static str> {
        let began = Instant::now();
        loop {
            let seen = self.primaries().await;
            if let [only] = seen[..] {
                return Ok(only);
            }
            if began.elapsed() > at_most {
                bail!("not one primary within {at_most:?}, but {seen:?}: {}", self.summary().await);
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until every member follows and acknowledges; answers who leads.
    ///
    /// # Errors
    /// When that does not come about within the time.
    pub async fn whole(&self, at_most: Duration) -> anyhow::Result<&'static str> {
        let began = Instant::now();
        loop {
            let view = self.cluster().await;
            let leader = view.as_ref().filter(|view| self.is_whole(view)).and_then(leader_of);
            if let Some(leader) = leader
                && self.primaries().await == [leader]
            {
                return Ok(leader);
            }
            if began.elapsed() > at_most {
                let seen = self.summary().await;
                bail!("the cluster is not whole within {at_most:?}: {seen}");
            }
            sleep(LOOK).await;
        }
    }

    fn is_whole(&self, view: &ClusterView) -> bool {
        let all = MEMBERS.len();
        match self.system {
            System::Haa => view.streaming() == all - 1 && view.voters() == self.voters,
            System::Patroni => {
                let syncs = |member: &&MemberView| {
                    matches!(member.role.as_str(), "quorum_standby" | "sync_standby")
                        && member.state == "streaming"
                };
                view.members.iter().filter(syncs).count() == all - 1
            }
        }
    }

    /// The cluster in one line.
    pub async fn summary(&self) -> String {
        let Some(view) = self.cluster().await else { return "no agent answers".to_owned() };
        let one = |member: &MemberView| {
            format!("{} {} {}", member.name, member.role_word(), member.state)
        };
        let members: Vec<String> = view.members.iter().map(one).collect();
        let commits = view.commits.as_ref().map_or_else(String::new, |commits| {
            format!("; voters {}, k {}", commits.voters.join(" "), commits.k)
        });
        format!("{}{commits}", members.join(", "))
    }

    /// Asks for a planned switchover away from `leader`.
    ///
    /// # Errors
    /// When it is refused, or no answer comes.
    pub async fn switch_over(&self, leader: &str) -> anyhow::Result<()> {
        self.order(leader, "/switchover", &json!({ "leader": leader })).await.map(drop)
    }

    /// Asks this member's agent for what an operator asks; its answer in a sentence.
    ///
    /// # Errors
    /// When it is refused, or no answer comes.
    pub async fn order(&self, asked: &str, path: &str, body: &Value) -> anyhow::Result<String> {
        let place = self.places.iter().find(|place| place.member == asked);
        let place = place.with_context(|| format!("no member {asked}"))?;
        let ask = Ask::post(path, self.token.clone(), body);
        let answer = ask.send(&place.api).await;
        let answer = answer.with_context(|| format!("{asked} does not answer {path}"))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.sentence().to_owned());
        }
        bail!("{asked} refused {path} with {}: {}", answer.status, answer.sentence())
    }

    /// Changes settings of the cluster, `null` back to their defaults; answers what shows it.
    ///
    /// # Errors
    /// When no agent has it done.
    pub async fn set(&self, settings: &Value) -> anyhow::Result<String> {
        let mut last = anyhow::anyhow!("there are no agents");
        for place in &self.places {
            let ask = Ask::command(Method::PATCH, "/config", self.token.clone(), settings);
            match ask.within(SET).send(&place.api).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return Ok(format!("{} answers {}", place.member, answer.status));
                }
                Ok(answer) => last = anyhow::anyhow!("{}", answer.sentence()),
                Err(error) => last = error.into(),
            }
        }
        Err(last.context(format!("the settings {settings} were not taken")))
    }

    /// Whether both others of this member have what an acknowledged commit needs without it.
    pub async fn can_spare(&self, member: &str) -> bool {
        let Some(view) = self.cluster().await else { return false };
        let whole = |other: &&MemberView| {
            other.role.as_str() == "leader"
                || (other.role.as_str() == "quorum_standby" && other.state == "streaming")
        };
        let others = view.members.iter().filter(|other| other.name != member);
        others.filter(whole).count() == MEMBERS.len() - 1
    }

    /// The host of the etcd that leads.
    ///
    /// # Errors
    /// When none says so.
    pub async fn etcd_leader(&self) -> anyhow::Result<String> {
        for (name, address) in &self.etcds {
            let ask = Ask::post("/v3/maintenance/status", String::new(), &json!({}));
            let Ok(answer) = ask.within(ANSWER).send(address).await else { continue };
            let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let leader = &status["leader"];
            if !leader.is_null() && *leader == status["header"]["member_id"] {
                return Ok(name.clone());
            }
        }
        bail!("no etcd says that it leads")
    }

    /// Waits until every etcd of these hosts is healthy.
    ///
    /// # Errors
    /// When one is not within the time.
    pub async fn etcd_healthy(&self, at_most: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        for (name, address) in &self.etcds {
            loop {
                let answer = Ask::get("/health").within(ANSWER).send(address).await;
                if answer.is_ok_and(|answer| answer.text().contains("\"true\"")) {
                    break;
                }
                if began.elapsed() > at_most {
                    bail!("etcd on {name} is not healthy within {at_most:?}");
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

fn leader_of(view: &ClusterView) -> Option<&'static str> {
    let leader = view.leader()?;
    MEMBERS.into_iter().find(|name| *name == leader.name)
}
