//! What an operator does in the middle of everything: restarts an agent in order, hands over.

use std::time::Duration;

use rustix::process::Signal;

use crate::hosts::{Lab, Watch};

use super::{Cure, Wound};

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
    let answer = match watch.switch_over(leader).await {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    Ok(Wound::new(format!("switchover from {leader}"), Some(answer), Cure::None))
}
