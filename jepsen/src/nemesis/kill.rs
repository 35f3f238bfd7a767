//! Processes die by SIGKILL. Only those that this run started: found by their control group.

use anyhow::Context as _;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use haa::playground::Process;

use crate::hosts::Lab;

use super::{Cure, Wound};

/// What of a member dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The postmaster; its children may live a moment longer.
    Postmaster,
    /// One client's backend.
    Backend,
    /// A process that sends WAL.
    Walsender,
    /// The checkpointer.
    Checkpointer,
    /// The agent; Postgres lives on.
    Agent,
    /// The guard.
    Guard,
    /// Agent and guard together.
    AgentAndGuard,
    /// All of the host, in silence.
    Host,
}

impl Part {
    /// Every part that a default installation must survive.
    pub(super) const ALL: [Self; 8] = [
        Self::Postmaster,
        Self::Backend,
        Self::Walsender,
        Self::Checkpointer,
        Self::Agent,
        Self::Guard,
        Self::AgentAndGuard,
        Self::Host,
    ];
}

pub(super) fn strike(part: Part, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let name = format!("kill {} of {member}", serde_word(&part));
    if part == Part::Host {
        // First the cable, or the kernel would tell everybody that the sockets are closed.
        lab.unplug(member)?;
        let group = &lab.host(member)?.group;
        let were = group.members().len();
        group.kill()?;
        let proof = format!("{were} processes were there, none is left");
        return Ok(Wound::new(name, Some(proof), Cure::Reboot(member)));
    }
    let victims = victims(part, member, lab);
    for victim in &victims {
        victim.signal(Signal::KILL).with_context(|| name.clone())?;
    }
    let gone = victims.iter().all(|victim| victim.wait_gone(std::time::Duration::from_secs(5)));
    let proof = (!victims.is_empty() && gone).then(|| format!("{} ended", numbers(&victims)));
    Ok(Wound::new(name, proof, Cure::Start(member)))
}

fn victims(part: Part, member: &str, lab: &Lab) -> Vec<Process> {
    let titled = |title: &str| lab.titled(member, title);
    match part {
        Part::Postmaster => lab.postmaster(member).into_iter().collect(),
        Part::Backend => lab.backends(member).into_iter().take(1).collect(),
        Part::Walsender => titled("walsender").into_iter().take(1).collect(),
        Part::Checkpointer => titled("checkpointer"),
        Part::Agent => lab.agent(member).into_iter().collect(),
        Part::Guard => lab.guards(member),
        Part::AgentAndGuard => lab.agent(member).into_iter().chain(lab.guards(member)).collect(),
        Part::Host => Vec::new(),
    }
}

/// "process 12, 17"
pub(super) fn numbers(processes: &[Process]) -> String {
    let all: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
    format!("process {}", all.join(", "))
}

/// As it is written in a schedule.
pub(super) fn serde_word(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}
