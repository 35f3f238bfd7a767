//! The accidents that are timed. Each strikes the member that leads, leaves a trace that shows it, and heals.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;
use tokio::time::sleep;

use haa::playground::Process;

use crate::hosts::net::between;
use crate::hosts::stat::stands_still;
use crate::hosts::{Lab, Quality, Slow, Watch};
use crate::matrix::word;
use crate::workloads::Recorder;

/// For how long an accident that ends by itself lasts.
pub type Length = Duration;

/// What happens to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accident {
    /// The primary's postmaster is killed; its agent lives
    Postmaster,
    /// The primary's host vanishes: silence, and everything on it is killed
    Host,
    /// The primary is cut off from everybody
    Partition,
    /// The primary is cut off from everybody but its clients
    PartitionOpen,
    /// The primary's host is frozen, and goes on later
    Freeze,
    /// The primary's agent is frozen; Postgres lives
    FreezeAgent,
    /// The primary's agent is killed and stays away for a while; Postgres lives
    KillAgent,
    /// A planned switchover
    Switchover,
    /// The etcd that leads is killed and comes back
    EtcdLeader,
    /// All of etcd is killed and comes back
    EtcdAway,
    /// What members and etcd send is up to 50 ms late, and 5 % of it is lost
    PoorNetwork,
}

/// What has to be healed.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken {
    member: &'static str,
    postmaster: Option<Process>,
    etcds: Vec<String>,
    swallowed: u64,
    slow: Vec<Arc<Slow>>,
}

impl Broken {
    /// Whether the killed postmaster has a successor on the same member.
    pub(super) fn runs_again(&self, lab: &Lab) -> bool {
        let now = lab.postmaster(self.member).filter(|now| now.alive());
        now.is_some_and(|now| self.postmaster.as_ref().is_some_and(|killed| *killed != now))
    }
}

impl Accident {
    /// As it is asked for.
    #[must_use]
    pub fn name(self) -> String {
        word(self)
    }

    /// Whether writes end, until another member leads or this one does anew.
    #[must_use]
    pub fn ends_the_leadership(self) -> bool {
        !matches!(self, Self::EtcdLeader | Self::EtcdAway | Self::PoorNetwork)
    }

    /// For how long it lasts unless said otherwise; some last until another leads.
    #[must_use]
    pub fn usual_length(self) -> Length {
        match self {
            Self::Postmaster | Self::Host | Self::Switchover => Duration::ZERO,
            Self::EtcdLeader => Duration::from_secs(10),
            Self::EtcdAway => Duration::from_secs(40),
            Self::PoorNetwork => Duration::from_secs(120),
            Self::Partition
            | Self::PartitionOpen
            | Self::Freeze
            | Self::FreezeAgent
            | Self::KillAgent => Duration::from_secs(12),
        }
    }

    /// Lets it happen to the member that leads.
    pub(super) async fn strike(
        self,
        lab: &mut Lab,
        watch: &Watch,
        leader: &'static str,
    ) -> anyhow::Result<Broken> {
        let swallowed = lab.net.swallowed()?;
        let mut broken = Broken { member: leader, swallowed, ..Broken::default() };
        match self {
            Self::Postmaster => {
                let postmaster = lab.postmaster(leader).context("the leader has no postmaster")?;
                postmaster.signal(Signal::KILL)?;
                broken.postmaster = Some(postmaster);
            }
            Self::Host => {
                // First the cable, or the kernel would tell everybody that the sockets are closed.
                lab.unplug(leader)?;
                lab.host(leader)?.group.kill()?;
            }
            Self::Partition => lab.unplug(leader)?,
            Self::PartitionOpen => {
                let own = lab.addresses(&[leader]);
                let others: Vec<&str> =
                    lab.names().into_iter().filter(|name| *name != "clients").collect();
                let ways = between(&own, &lab.addresses(&others));
                lab.net.cut(&ways)?;
            }
            Self::Freeze => lab.host(leader)?.group.freeze()?,
            Self::FreezeAgent | Self::KillAgent => {
                let agent = lab.agent(leader).context("the leader has no agent")?;
                let signal = if self == Self::KillAgent { Signal::KILL } else { Signal::STOP };
                agent.signal(signal)?;
            }
            Self::Switchover => watch.switch_over(leader).await?,
            Self::EtcdLeader => {
                let etcd = watch.etcd_leader().await?;
                lab.host(&etcd)?.group.kill()?;
                broken.etcds.push(etcd);
            }
            Self::PoorNetwork => {
                let quality = Quality { delay_ms: 0, jitter_ms: 50, loss_permille: 50 };
                for name in lab.names().into_iter().filter(|name| *name != "clients") {
                    let seed = lab.draw();
                    let slow = Slow::begin(lab.host(name)?, quality, seed)?;
                    broken.slow.push(Arc::new(slow));
                }
            }
            Self::EtcdAway => {
                let all: Vec<String> = lab.etcds().iter().map(|host| host.name.clone()).collect();
                for etcd in &all {
                    lab.host(etcd)?.group.kill()?;
                }
                broken.etcds = all;
            }
        }
        Ok(broken)
    }

    /// Lets it last.
    pub(super) async fn last(self, length: Length, began: u64, recorder: &Recorder) {
        let passed = Duration::from_nanos(recorder.now().saturating_sub(began));
        sleep(length.saturating_sub(passed)).await;
    }

    /// Ends it; says whether there is a trace of it.
    pub(super) async fn heal(
        self,
        lab: &mut Lab,
        watch: &Watch,
        broken: Broken,
    ) -> anyhow::Result<bool> {
        let member = broken.member;
        let acted = match self {
            Self::Postmaster => broken.postmaster.is_some_and(|postmaster| !postmaster.alive()),
            Self::Switchover => watch.primaries().await != [member],
            Self::Host => lab.host(member)?.group.members().is_empty(),
            Self::Partition | Self::PartitionOpen => lab.net.swallowed()? > broken.swallowed,
            Self::Freeze => lab.host(member)?.group.is_frozen(),
            Self::FreezeAgent => lab.agent(member).is_some_and(|agent| stands_still(agent.pid)),
            Self::KillAgent => lab.agent(member).is_none(),
            Self::PoorNetwork => broken.slow.iter().all(|slow| slow.handled() > 0),
            Self::EtcdLeader | Self::EtcdAway => broken
                .etcds
                .iter()
                .all(|etcd| lab.host(etcd).is_ok_and(|host| host.group.members().is_empty())),
        };
        match self {
            Self::Postmaster | Self::Switchover => {}
            Self::PoorNetwork => drop(broken.slow),
            Self::Host => {
                lab.plug(member)?;
                lab.start_member(member)?;
            }
            Self::Partition | Self::PartitionOpen => lab.plug(member)?,
            Self::Freeze => lab.host(member)?.group.thaw()?,
            Self::FreezeAgent => {
                if let Some(agent) = lab.agent(member) {
                    agent.signal(Signal::CONT)?;
                }
            }
            Self::KillAgent => lab.start_member(member)?,
            Self::EtcdLeader | Self::EtcdAway => {
                broken.etcds.iter().try_for_each(|etcd| lab.start_etcd(etcd))?;
                watch.etcd_healthy(Duration::from_secs(60)).await?;
            }
        }
        Ok(acted)
    }
}
