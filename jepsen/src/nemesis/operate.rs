//! What an operator does in the middle of everything: restarts an agent in order, hands over, has a replica cloned
//! anew, takes a member out of use and back. A refusal is an answer, and no fault of anybody.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::hosts::{Lab, MEMBERS, Watch};

use super::{Cure, Wound};

/// Other faults do not wait for an operator.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an answer begins with that is no refusal.
pub(super) const DONE: &str = "done: ";
/// So often a member is taken back, with a pause between: nobody may lead at first.
const UNDRAINS: usize = 60;
const AGAIN: Duration = Duration::from_millis(500);

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

/// Whatever becomes of it: a clone that a fault ends is begun again by the member itself.
pub(super) async fn reinit(member: &'static str, watch: &Watch) -> anyhow::Result<Wound> {
    let said = ordered(watch, "/reinitialize", member).await;
    Ok(Wound::new(format!("reinit of {member}"), Some(said), Cure::None))
}

pub(super) async fn drain(member: &'static str, watch: &Watch) -> anyhow::Result<Wound> {
    let said = ordered(watch, "/drain", member).await;
    Ok(Wound::new(format!("drain of {member}"), Some(said), Cure::Undrain(member)))
}

/// Until it is done: a cluster without a voter that an operator took away is not whole.
pub(super) async fn undrain(member: &'static str, watch: &Watch) -> anyhow::Result<Option<String>> {
    let mut said = String::new();
    for _ in 0..UNDRAINS {
        said = ordered(watch, "/undrain", member).await;
        if said.starts_with(DONE) {
            return Ok(None);
        }
        sleep(AGAIN).await;
    }
    anyhow::bail!("{member} is drained still: {said}")
}

/// Of whoever leads, or of the first agent.
pub(super) async fn ordered(watch: &Watch, path: &str, member: &'static str) -> String {
    let asked = watch.primaries().await.first().copied().unwrap_or(MEMBERS[0]);
    match timeout(PATIENCE, watch.order(asked, path, &json!({ "member": member }))).await {
        Ok(Ok(said)) => format!("{DONE}{said}"),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer in {PATIENCE:?}; it may be under way"),
    }
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
