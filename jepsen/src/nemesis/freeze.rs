//! Processes and hosts stand still and go on later: they keep their sockets, and know nothing of the time between.

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use haa::playground::{Process, postgres_of};

use crate::hosts::Lab;
use crate::hosts::stat::stands_still;

use super::kill::{numbers, serde_word};
use super::{Cure, Target, Wound};

/// What of a member stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The agent; Postgres and the guard live on.
    Agent,
    /// The guard; the agent lives on.
    Guard,
    /// The postmaster alone: its backends go on.
    Postmaster,
    /// All of Postgres.
    Postgres,
    /// The process that receives WAL.
    Walreceiver,
    /// The process that replays it.
    Startup,
    /// One client's backend.
    Backend,
    /// The checkpointer.
    Checkpointer,
    /// A process that sends WAL.
    Walsender,
    /// The whole host.
    Host,
}

impl Part {
    pub(super) const ALL: [Self; 10] = [
        Self::Agent,
        Self::Guard,
        Self::Postmaster,
        Self::Postgres,
        Self::Walreceiver,
        Self::Startup,
        Self::Backend,
        Self::Checkpointer,
        Self::Walsender,
        Self::Host,
    ];

    /// Whom it is found on, if not on everybody.
    pub(super) fn only_of(self) -> Option<Target> {
        match self {
            Self::Walreceiver | Self::Startup => Some(Target::Replica),
            Self::Walsender => Some(Target::Primary),
            Self::Agent
            | Self::Guard
            | Self::Postmaster
            | Self::Postgres
            | Self::Backend
            | Self::Checkpointer
            | Self::Host => None,
        }
    }
}

pub(super) fn strike(part: Part, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let name = format!("freeze {} of {member}", serde_word(&part));
    if part == Part::Host {
        let group = &lab.host(member)?.group;
        group.freeze()?;
        let proof = format!("frozen: {} processes", group.members().len());
        return Ok(Wound::new(name, Some(proof), Cure::Thaw(member)));
    }
    let victims: Vec<Process> = match part {
        Part::Agent => lab.agent(member).into_iter().collect(),
        Part::Postmaster => lab.postmaster(member).into_iter().collect(),
        Part::Postgres => postgres_of(&lab.data(member)),
        Part::Guard => lab.guards(member),
        Part::Backend => lab.backends(member).into_iter().take(1).collect(),
        Part::Checkpointer => lab.titled(member, "checkpointer"),
        Part::Walsender => lab.titled(member, "walsender").into_iter().take(1).collect(),
        Part::Walreceiver => lab.titled(member, "walreceiver"),
        Part::Startup => lab.titled(member, "startup recovering"),
        Part::Host => Vec::new(),
    };
    for victim in &victims {
        victim.signal(Signal::STOP)?;
    }
    let stopped: Vec<Process> = victims.iter().copied().filter(|victim| stopped(*victim)).collect();
    let proof = (!stopped.is_empty()).then(|| format!("{} in state T", numbers(&stopped)));
    Ok(Wound::new(name, proof, Cure::Continue(victims)))
}

pub(super) fn thaw(host: &str, lab: &Lab) -> anyhow::Result<Option<String>> {
    lab.host(host)?.group.thaw().map(|()| None)
}

pub(super) fn go_on(processes: &[Process]) -> anyhow::Result<Option<String>> {
    for process in processes {
        process.signal(Signal::CONT)?;
    }
    Ok(None)
}

/// By the kernel's word, given a moment to say so.
pub(crate) fn stopped(process: Process) -> bool {
    (0..50).any(|_| {
        stands_still(process.pid) || {
            std::thread::sleep(std::time::Duration::from_millis(1));
            false
        }
    })
}
