//! An agent is stopped in order, and started again from another file: another release, or the same one elsewhere.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use haa::playground::Process;

use crate::hosts::Lab;

use super::{Cure, Wound};

/// A stop in order.
const STOP: Duration = Duration::from_secs(30);
/// It becomes the program step by step.
const BECOMES: Duration = Duration::from_secs(5);

pub(super) async fn strike(member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let name = format!("upgrade of the agent of {member}");
    let (Some(agent), Some(next)) = (lab.agent(member), lab.next_program(member)) else {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    };
    agent.signal(Signal::TERM)?;
    let ended = tokio::task::spawn_blocking(move || agent.wait_gone(STOP)).await?;
    if !ended {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    }
    lab.start_from(member, &next)?;
    let Some(new) = lab.agent(member) else {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    };
    let file = next.clone();
    let runs = tokio::task::spawn_blocking(move || runs(new, &file)).await?;
    let proof = format!("process {} ended, process {} runs {}", agent.pid, new.pid, next.display());
    Ok(Wound::new(name, runs.then_some(proof), Cure::Start(member)))
}

/// By the kernel's word.
fn runs(process: Process, file: &Path) -> bool {
    let began = Instant::now();
    while began.elapsed() < BECOMES {
        if fs::read_link(format!("/proc/{}/exe", process.pid)).is_ok_and(|exe| exe == file) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
