//! How the cost grows with the number of clusters: simulated agents in this process against one real etcd. Measures
//! each size, and stops where the machine has no more room.

mod agent;
mod postgres;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use haa::config;
use haa_core::units::Address;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::etcd::Seen;
use super::proc::Look;
use crate::hosts::{Lab, Plan};
use crate::report::load::{Etcd, Scale, Size};
use tally::{Counted, Tally};

/// Between the beginnings of two clusters: a site does not begin all of its clusters at once.
const APART: Duration = Duration::from_millis(30);
/// For the clusters that were added to become whole.
const PATIENCE: Duration = Duration::from_secs(90);
/// After that: voters that were let in are settled.
const CALM: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);
/// An etcd that was just started.
const BEGIN: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its etcd is used, its members are not.
    pub plan: Plan,
    /// How many clusters, growing.
    pub sizes: Vec<usize>,
    /// For how long each is measured.
    pub length: Duration,
    /// Where a failed run's logs go.
    pub keep: PathBuf,
}

/// Starts etcd and one cluster after the other.
///
/// # Errors
/// When etcd does not begin, or does not answer any more.
pub fn run(wish: &Wish, mut say: impl FnMut(&str) + Send) -> anyhow::Result<Scale> {
    Lab::once(&wish.plan, &wish.keep, async |lab, clients| {
        grown(lab, clients, wish, &mut say).await
    })
}

async fn grown(
    lab: &mut Lab,
    clients: &Handle,
    wish: &Wish,
    say: &mut (impl FnMut(&str) + Send),
) -> anyhow::Result<Scale> {
    let names: Vec<String> = lab.etcds().iter().map(|host| host.name.clone()).collect();
    names.iter().try_for_each(|name| lab.start_etcd(name))?;
    lab.watch().etcd_healthy(BEGIN).await?;
    let mut crowd = Crowd::new(lab);
    let mut scale = Scale::default();
    let empty = own()?;
    for size in &wish.sizes {
        say(&format!("{size} clusters, {} agents", size * agent::MEMBERS.len()));
        crowd.grow(*size, clients).await?;
        if let Err(whole) = crowd.whole(*size).await {
            let why =
                format!("of {size} clusters only {whole} had a primary and all voters in time");
            say(&why);
            scale.stopped = Some(why);
            break;
        }
        sleep(CALM).await;
        let measured = crowd.measure(lab, wish.length, &empty).await?;
        let lost = measured.leaderships_lost;
        scale.sizes.push(measured);
        if lost > 0 {
            let why =
                format!("with {size} clusters {lost} leaderships ended: there is no more room");
            say(&why);
            scale.stopped = Some(why);
            break;
        }
    }
    Ok(scale)
}

fn own() -> anyhow::Result<Look> {
    Look::at(i32::try_from(std::process::id()).context("our own number")?)
}

/// All simulated agents; they end when it is dropped.
struct Crowd {
    etcd: config::Etcd,
    clusters: usize,
    tasks: JoinSet<()>,
    tally: Arc<Tally>,
}

impl Crowd {
    fn new(lab: &Lab) -> Self {
        let url = |host: &crate::hosts::Host| {
            format!("http://{}", Address { host: host.address.to_string(), port: 2379 })
        };
        let endpoints = lab.etcds().into_iter().map(url).collect();
        let etcd = config::Etcd { endpoints, login: None, ca: None, identity: None };
        Self { etcd, clusters: 0, tasks: JoinSet::new(), tally: Arc::default() }
    }

    /// Adds clusters until there are so many.
    async fn grow(&mut self, to: usize, clients: &Handle) -> anyhow::Result<()> {
        while self.clusters < to {
            let entered = clients.enter();
            for agent in agent::cluster(self.clusters, &self.etcd, &self.tally)? {
                self.tasks.spawn_on(agent.run(), clients);
            }
            drop(entered);
            self.clusters += 1;
            sleep(APART).await;
        }
        Ok(())
    }

    /// Waits until so many clusters have a primary with all voters; else how many have.
    async fn whole(&self, size: usize) -> Result<(), usize> {
        let began = Instant::now();
        while self.tally.whole() < size {
            if began.elapsed() > PATIENCE {
                return Err(self.tally.whole());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn measure(&self, lab: &Lab, length: Duration, empty: &Look) -> anyhow::Result<Size> {
        self.tally.begin();
        let (before, etcd) = (own()?, Seen::now(lab).await?);
        sleep(length).await;
        let (after, counted) = (own()?, self.tally.counted());
        let etcd = Seen::now(lab).await?.since(&etcd);
        let cpu = after.since(&before).0;
        let grown = after.memory.rss_kb.saturating_sub(empty.memory.rss_kb);
        Ok(size(self.clusters, (cpu, grown), etcd, counted, length))
    }
}

fn size(
    clusters: usize,
    (cpu, rss_kb): (f64, u64),
    etcd: Etcd,
    counted: Counted,
    length: Duration,
) -> Size {
    let agents = clusters * agent::MEMBERS.len();
    let per = |amount: f64| amount / f64::from(u32::try_from(agents.max(1)).unwrap_or(u32::MAX));
    let rss_kb = f64::from(u32::try_from(rss_kb).unwrap_or(u32::MAX));
    Size {
        clusters,
        agents,
        seconds: length.as_secs(),
        etcd,
        agents_cpu_percent: cpu,
        cpu_percent_per_agent: per(cpu),
        rss_kb_per_agent: per(rss_kb),
        leaderships_lost: counted.lost,
        renewals: counted.renewals,
        renewals_missed: counted.missed,
        heartbeats_unheard: counted.deaf,
        renewal_p50_ms: counted.p50_ms,
        renewal_p99_ms: counted.p99_ms,
        renewal_max_ms: counted.max_ms,
    }
}

#[cfg(test)]
mod tests;
