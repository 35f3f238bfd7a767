//! Wrong on purpose: what a careless operator does, or a broken release. Each must fail its run; a judge that lets one
//! pass is no judge.

use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::checkers::Isolation;
use crate::hosts::{Fsync, Lab, MEMBERS, Watch};
use crate::nemesis::Struck;
use crate::workloads::{Recorder, Sort, Work};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sabotage {
    /// `async`, replicas that receive late, and a primary whose host vanishes
    AsyncKill,
    /// Somebody promotes a replica by hand that was cut off before, and lets clients write there
    PromoteStale,
    /// Acknowledged rows are deleted or changed behind the clients' backs
    Delete,
    /// Disks say that they synced and did not, and all members lose their power at once
    LyingDisks,
    /// `async`, no guard, a frozen agent, and a primary cut off from all but its clients
    NoFence,
    /// A script empties `synchronous_standby_names` again and again, replicas stand still, the primary is lost
    EmptiedList,
    /// Clients try again what they do not know the outcome of
    Retries,
}

impl Sabotage {
    /// What it needs of a new cluster's settings.
    #[must_use]
    pub fn settings(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::AsyncKill | Self::NoFence => Some(("durability", "async")),
            Self::PromoteStale
            | Self::Delete
            | Self::LyingDisks
            | Self::EmptiedList
            | Self::Retries => None,
        }
    }

    /// Whether its disks lie.
    #[must_use]
    pub fn loses_power(self) -> bool {
        self == Self::LyingDisks
    }

    /// Whether the guard is there.
    #[must_use]
    pub fn leaves_the_guard(self) -> bool {
        self != Self::NoFence
    }

    /// Whether its clients try again what they do not know the outcome of.
    #[must_use]
    pub fn retries(self) -> bool {
        self == Self::Retries
    }

    pub(super) async fn prepare(self, _lab: &mut Lab, _watch: &Watch) -> anyhow::Result<()> {
        Ok(())
    }

    /// Does it, under the clients' load.
    pub(super) async fn commit(
        self,
        lab: &mut Lab,
        watch: &Watch,
        (recorder, workloads): (&Recorder, &[Work]),
    ) -> anyhow::Result<Vec<Struck>> {
        sleep(Duration::from_secs(5)).await;
        let from = recorder.now();
        let primary = watch.primary(Duration::from_secs(30)).await?;
        let (name, proof) = match self {
            Self::AsyncKill => kill_unreplicated(primary, lab, None).await?,
            Self::LyingDisks => lie_and_lose_power(lab).await?,
            Self::NoFence => leave_unfenced(primary, lab).await?,
            Self::EmptiedList => {
                let client = lab.superuser(primary).await?;
                kill_unreplicated(primary, lab, Some(&client)).await?
            }
            Self::Retries => make_doubts(lab).await?,
            Self::PromoteStale => promote_by_hand(primary, lab).await?,
            Self::Delete => {
                let client = lab.superuser(primary).await?;
                let mut all = 0;
                for work in workloads {
                    let gone = client.execute(harm(*work), &[]).await?;
                    anyhow::ensure!(gone > 0, "there was nothing to harm");
                    all += gone;
                }
                (format!("rows harmed on {primary}"), format!("{all} rows"))
            }
        };
        let to = Some(recorder.now());
        Ok(vec![Struck { name, from, to, proof: Some(proof), loss: None }])
    }
}

/// What no client asked for, to what clients were told is there.
fn harm(work: Work) -> &'static str {
    match (work.sort, work.isolation) {
        (Sort::Set, _) => {
            "DELETE FROM elements WHERE id IN (SELECT id FROM elements ORDER BY id LIMIT 3)"
        }
        (Sort::Append, Isolation::Serializable) => {
            "UPDATE lists SET list = list[1:cardinality(list) - 1] WHERE cardinality(list) > 0"
        }
        (Sort::Append, Isolation::ReadCommitted) => {
            "UPDATE lists_read_committed SET list = list[1:cardinality(list) - 1] \
             WHERE cardinality(list) > 0"
        }
        (Sort::Register, _) => "UPDATE registers SET value = 0 WHERE value <> 0",
        (Sort::Bank, _) => "UPDATE accounts SET balance = balance + 1 WHERE id = 0",
    }
}

/// Replicas stand still for two seconds, in which the primary acknowledges; then it is gone. A script may see to it
/// that it does acknowledge.
async fn kill_unreplicated(
    primary: &'static str,
    lab: &mut Lab,
    script: Option<&Client>,
) -> anyhow::Result<(String, String)> {
    let others: Vec<&str> = MEMBERS.into_iter().filter(|name| *name != primary).collect();
    let receivers: Vec<_> =
        others.iter().flat_map(|name| lab.titled(name, "walreceiver")).collect();
    for receiver in &receivers {
        receiver.signal(Signal::STOP)?;
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        if let Some(client) = script {
            client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await?;
            client.batch_execute("SELECT pg_reload_conf()").await?;
        }
        sleep(Duration::from_millis(50)).await;
    }
    lab.unplug(primary)?;
    lab.host(primary)?.group.kill()?;
    for receiver in &receivers {
        receiver.signal(Signal::KILL)?;
    }
    sleep(Duration::from_secs(25)).await;
    lab.plug(primary)?;
    lab.start_member(primary)?;
    let proof = format!("{} receivers stood still", receivers.len());
    Ok((format!("{primary} lost with what only it had"), proof))
}

/// What was written before the lie is on the disks, so that everybody comes back.
async fn lie_and_lose_power(lab: &mut Lab) -> anyhow::Result<(String, String)> {
    let lies = Fsync { lies: true, ..Fsync::default() };
    MEMBERS.into_iter().try_for_each(|name| lab.set_fsync(name, lies))?;
    sleep(Duration::from_secs(3)).await;
    let met: Vec<u64> = MEMBERS.into_iter().map(|name| lab.fsyncs_met(name)).collect();
    lab.cut_power(&MEMBERS)?;
    for name in MEMBERS {
        lab.restore_power(name)?;
        lab.set_fsync(name, Fsync::default())?;
    }
    Ok(("all power lost on disks that lie".to_owned(), format!("{met:?} fsyncs were not done")))
}

/// The primary's agent stands still longer than the lease, and nobody closes its Postgres.
async fn leave_unfenced(primary: &'static str, lab: &mut Lab) -> anyhow::Result<(String, String)> {
    let everybody: Vec<&str> = lab.names().into_iter().filter(|name| *name != "clients").collect();
    let ways = crate::hosts::net::between(&lab.addresses(&[primary]), &lab.addresses(&everybody));
    let agent = lab.agent(primary).context("the primary has an agent")?;
    agent.signal(Signal::STOP)?;
    lab.net.cut(&ways)?;
    sleep(Duration::from_secs(25)).await;
    lab.net.mend(&ways)?;
    agent.signal(Signal::CONT)?;
    Ok((format!("{primary} left unfenced"), format!("process {} stood still", agent.pid)))
}

/// Commits wait for longer than clients do, and then take place.
async fn make_doubts(lab: &mut Lab) -> anyhow::Result<(String, String)> {
    let receivers: Vec<_> =
        MEMBERS.iter().flat_map(|name| lab.titled(name, "walreceiver")).collect();
    for receiver in &receivers {
        receiver.signal(Signal::STOP)?;
    }
    sleep(Duration::from_millis(2_400)).await;
    for receiver in &receivers {
        receiver.signal(Signal::CONT)?;
    }
    let proof = format!("{} receivers stood still", receivers.len());
    Ok(("commits that wait longer than clients".to_owned(), proof))
}

/// A replica is cut off, its agent killed with its guard, and its Postgres promoted and opened by hand.
async fn promote_by_hand(primary: &'static str, lab: &mut Lab) -> anyhow::Result<(String, String)> {
    let replica = MEMBERS.into_iter().find(|name| *name != primary).context("a replica")?;
    let everybody: Vec<&str> = lab.names().into_iter().filter(|name| *name != "clients").collect();
    let ways = crate::hosts::net::between(&lab.addresses(&[replica]), &lab.addresses(&everybody));
    lab.net.cut(&ways)?;
    for process in lab.agent(replica).into_iter().chain(lab.guards(replica)) {
        process.signal(Signal::KILL)?;
    }
    sleep(Duration::from_millis(500)).await;
    let client = lab.superuser(replica).await?;
    client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''").await?;
    client.batch_execute("SELECT pg_reload_conf()").await?;
    client.batch_execute("SELECT pg_promote()").await?;
    let file = lab.data(replica).join("postgresql.auto.conf");
    sleep(Duration::from_secs(8)).await;
    client.batch_execute("ALTER SYSTEM RESET ALL").await?;
    lab.net.mend(&ways)?;
    lab.start_member(replica)?;
    let proof = format!("promoted, with {} in force", file.display());
    Ok((format!("{replica} promoted by hand"), proof))
}
