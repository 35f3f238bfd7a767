//! A rewind is broken off half-way: a primary is cut off, writes what nobody receives, comes back when another one
//! leads, and is hit while pg_rewind writes into its data. Only while both others are whole.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use haa::playground::Process;

use crate::hosts::{Group, Lab, Watch};

use super::kill::serde_word;
use super::{Cure, Wound};

/// What is hit while pg_rewind is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// pg_rewind itself, by SIGKILL.
    Tool,
    /// The agent, by SIGKILL; pg_rewind stands still half-way, and goes on when the next agent is there.
    Agent,
    /// All of the host.
    Host,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Tool, Self::Agent, Self::Host];
}

/// A takeover, or the end of a lease and an election.
const TAKEOVER: Duration = Duration::from_secs(30);
/// The old primary stops, asks what there is to take back, and keeps its WAL aside before that.
const REWIND: Duration = Duration::from_secs(40);
/// pg_rewind is short: it is looked for without a pause.
const LOOK: Duration = Duration::from_micros(200);
/// What nobody receives: some 2 MB of WAL, in its own transactions.
const WRITE: &str = "SET synchronous_commit = off; \
     CREATE TABLE IF NOT EXISTS haa_jepsen_apart AS SELECT n, repeat('x', 200) FROM generate_series(1, 8000) n";

pub(super) async fn strike(
    part: Part,
    member: &'static str,
    lab: &mut Lab,
    watch: &Watch,
) -> anyhow::Result<Wound> {
    let name = format!("rewind of {member} broken off: {}", serde_word(&part));
    if watch.primaries().await != [member] || !watch.can_spare(member).await {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let Ok(client) = lab.superuser(member).await else {
        return Ok(Wound::new(name, None, Cure::None));
    };
    lab.unplug(member)?;
    // Its clients are gone with the cable; ours is not.
    let wrote = tokio::time::timeout(TAKEOVER, client.batch_execute(WRITE)).await;
    let another = another_leads(member, watch).await;
    lab.plug(member)?;
    // Where it was closed before it wrote, or nobody took over, there is nothing to take back.
    if !matches!(wrote, Ok(Ok(()))) || !another {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    }
    lab.start_member(member)?;
    let group = lab.host(member)?.group.clone();
    let caught = tokio::task::spawn_blocking(move || catch(&group)).await?;
    let Some((tool, written)) = caught else {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    };
    let gone = match part {
        Part::Tool => {
            tool.signal(Signal::KILL)?;
            ended(tool).await?
        }
        Part::Agent => {
            let agent = lab.agent(member);
            agent.into_iter().try_for_each(|agent| agent.signal(Signal::KILL))?;
            let gone = match agent {
                Some(agent) => ended(agent).await?,
                None => false,
            };
            lab.start_member(member)?;
            tool.signal(Signal::CONT)?;
            gone
        }
        Part::Host => {
            lab.unplug(member)?;
            lab.host(member)?.group.kill()?;
            ended(tool).await?
        }
    };
    let proof =
        format!("process {} was stopped after pg_rewind had written {written} bytes", tool.pid);
    let cure = match part {
        Part::Tool | Part::Agent => Cure::Start(member),
        Part::Host => Cure::Reboot(member),
    };
    Ok(Wound::new(name, gone.then_some(proof), cure))
}

async fn another_leads(than: &str, watch: &Watch) -> bool {
    let began = Instant::now();
    while began.elapsed() < TAKEOVER {
        if matches!(watch.primaries().await[..], [only] if only != than) {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn ended(process: Process) -> anyhow::Result<bool> {
    Ok(tokio::task::spawn_blocking(move || process.wait_gone(Duration::from_secs(5))).await?)
}

/// pg_rewind standing still (SIGSTOP) after it has written into the data, and how much it had; not its dry run.
fn catch(group: &Group) -> Option<(Process, u64)> {
    let began = Instant::now();
    while began.elapsed() < REWIND {
        let tool = group.members().into_iter().find(|pid| is_rewind(*pid)).and_then(Process::find);
        let Some(tool) = tool else {
            std::thread::sleep(LOOK);
            continue;
        };
        while tool.alive() {
            let written = written(tool.pid);
            if written > 0 && tool.signal(Signal::STOP).is_ok() && tool.alive() {
                return Some((tool, written));
            }
        }
        return None;
    }
    None
}

fn is_rewind(pid: i32) -> bool {
    let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = told.split(|byte| *byte == 0);
    words.next().is_some_and(|program| program.ends_with(b"pg_rewind"))
        && words.any(|word| word == b"--progress")
}

/// Bytes that reached a file system; what it says to its pipe is not among them.
fn written(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}
