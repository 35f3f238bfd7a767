//! What an operator does in the middle of everything: restarts an agent in order, hands over.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use crate::hosts::{Lab, Watch};

use super::{Cure, Wound};

/// Other faults do not wait for an operator.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn restart(member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let name = format!("restart the agent of {member}");
    let Some(agent) = lab.agent(member) else {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    };
    agent.signal(Signal::TERM)?;
    let ended =
        tokio::task::spawn_blocking(move || agent.wait_gone(Duration::from_secs(30))).await?;
    let proof = ended.then(|| format!("process {} ended in order", agent.pid));
    lab.start_member(member)?;
    Ok(Wound::new(name, proof, Cure::Start(member)))
}

pub(super) async fn switch_over(watch: &Watch) -> anyhow::Result<Wound> {
    let before = watch.primaries().await.first().copied();
    let Some(leader) = before else {
        let why = "switchover: nobody led, nothing was asked".to_owned();
        return Ok(Wound::new(why.clone(), Some(why), Cure::None));
    };
    // A refusal is an answer: another fault may be at work.
    let answer = match timeout(PATIENCE, watch.switch_over(leader)).await {
        Ok(Ok(())) => "done".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer in {PATIENCE:?}; it may be under way"),
    };
    Ok(Wound::new(format!("switchover from {leader}"), Some(answer), Cure::None))
}
