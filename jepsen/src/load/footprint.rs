//! What an idle agent costs its host and etcd, and how fast it answers `/primary`. Breaks nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::time::sleep;

use haa::playground::Process;

use super::asking;
use super::etcd::Seen;
use super::proc::Look;
use crate::hosts::{Lab, MEMBERS, PATIENCE, Plan, System, places};
use crate::report::load::{Footprint, Part};

/// After a cluster became whole: what it still does then is part of its beginning.
const CALM: Duration = Duration::from_secs(10);
/// So many questions are under way at once.
const CONNECTIONS: usize = 16;

/// How, and for how long.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What to make.
    pub plan: Plan,
    /// For how long it is watched, and how long it is asked at most.
    pub length: Duration,
    /// Where a failed run's logs go.
    pub keep: PathBuf,
}

/// Makes a cluster, watches it while nobody uses it, and asks its leader.
///
/// # Errors
/// When the cluster did not begin; its logs are kept then.
pub fn run(wish: &Wish, mut say: impl FnMut(&str) + Send) -> anyhow::Result<Footprint> {
    Lab::once(&wish.plan, &wish.keep, async |lab, clients| {
        measured(lab, clients, wish, &mut say).await
    })
}

async fn measured(
    lab: &mut Lab,
    clients: &Handle,
    wish: &Wish,
    say: &mut (impl FnMut(&str) + Send),
) -> anyhow::Result<Footprint> {
    let system = wish.plan.system;
    lab.begin("").await?;
    sleep(CALM).await;
    let leader = lab.watch().whole(PATIENCE).await?;
    say(&format!("{system:?}: {leader} leads; {:?} of calm", wish.length));
    let processes = processes(lab, leader);
    let etcd = Seen::now(lab).await?;
    let before = looks(&processes)?;
    sleep(wish.length).await;
    let after = looks(&processes)?;
    let etcd = Seen::now(lab).await?.since(&etcd);
    let parts = processes.iter().zip(before.iter().zip(&after));
    let parts = parts.map(|(one, (before, after))| one.cost(before, after)).collect();
    say(&format!("{system:?}: {CONNECTIONS} connections ask {leader} for /primary"));
    let place = places().into_iter().find(|place| place.member == leader);
    let api = place.context("a leader has a place")?.api;
    let asked = asking::ask(clients, &api, CONNECTIONS, wish.length.min(CALM));
    let before = looks(&processes)?;
    let mut asked = asked.await?;
    let after = looks(&processes)?;
    let agents = processes.iter().zip(before.iter().zip(&after));
    let agents = agents.filter(|(one, _)| one.member == leader && one.what == AGENT);
    asked.agent_cpu_percent = agents.map(|(_, (before, after))| after.since(before).0).sum();
    let system = serde_json::to_value(system)?.as_str().unwrap_or_default().to_owned();
    Ok(Footprint { system, seconds: wish.length.as_secs(), parts, etcd, asked })
}

const AGENT: &str = "agent";
const GUARD: &str = "guard";

/// A process that is watched.
struct Watched {
    member: &'static str,
    role: &'static str,
    what: &'static str,
    process: Process,
}

impl Watched {
    fn cost(&self, before: &Look, after: &Look) -> Part {
        let (cpu, children) = after.since(before);
        Part {
            member: self.member.to_owned(),
            role: self.role.to_owned(),
            what: self.what.to_owned(),
            rss_kb: after.memory.rss_kb,
            pss_kb: after.memory.pss_kb,
            cpu_percent: cpu,
            children_cpu_percent: children,
        }
    }
}

/// Every agent, and what stands beside it; Postgres and its sessions are not theirs.
fn processes(lab: &Lab, leader: &str) -> Vec<Watched> {
    let of = |member: &'static str| {
        let role = if member == leader { "leader" } else { "replica" };
        let watched = move |what, process| Watched { member, role, what, process };
        let agent = lab.agent(member).map(|process| watched(AGENT, process));
        let beside = match lab.plan.system {
            System::Haa => lab.guards(member),
            System::Patroni => Vec::new(),
        };
        agent.into_iter().chain(beside.into_iter().map(move |process| watched(GUARD, process)))
    };
    MEMBERS.into_iter().flat_map(of).collect()
}

fn looks(processes: &[Watched]) -> anyhow::Result<Vec<Look>> {
    let look = |one: &Watched| {
        Look::at(one.process.pid).with_context(|| format!("the {} of {}", one.what, one.member))
    };
    processes.iter().map(look).collect()
}
