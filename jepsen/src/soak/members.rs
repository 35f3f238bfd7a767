//! Members cloned anew, taken out of use and back, stopped, forgotten and added again. Touches data only where the
//! verb says so.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tokio::time::sleep;

use haa::ctl::documents::ClusterView;

use super::step::{Fate, SEEN, Step, streams, until, votes};

/// A stop in order, and then a voter that is removed.
const STOP: Duration = Duration::from_secs(60);
/// A member that begins anew is copied meanwhile.
const JOIN: Duration = Duration::from_secs(90);
/// Out of use for so long at most, in milliseconds.
const DRAINED_MS: u64 = 3_000;

/// What a member finds that is added again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Find {
    /// What it had.
    Kept,
    /// An empty directory.
    Emptied,
}

pub(super) async fn reinit(step: &mut Step<'_>) -> anyhow::Result<()> {
    let member = step.replica();
    let data = step.lab.data(member);
    let before = number(&data)?;
    step.done(&["reinit", member, "--yes"]).await?;
    step.restarted(member, Fate::Another);
    let now = number(&data)?;
    let anew = if now == before { Err("they are what they were".to_owned()) } else { Ok(()) };
    step.demand(anew, "the data of a member that was cloned anew are new");
    let what = format!("{member}, which was cloned anew, streams");
    step.all_see(&what, SEEN, |view| streams(view, member)).await;
    forget_old(&data)
}

/// What tells one directory from another.
fn number(data: &Path) -> anyhow::Result<u64> {
    let tell = || format!("cannot look at {}", data.display());
    fs::metadata(data).with_context(tell).map(|found| found.ino())
}

/// As an operator does who is content with the new data: a long soak would fill the disk.
fn forget_old(data: &Path) -> anyhow::Result<()> {
    let folder = data.parent().context("data are in a directory")?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("data.old-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

pub(super) async fn drain(step: &mut Step<'_>, member: &'static str) -> anyhow::Result<()> {
    let leader = step.leader();
    let drained =
        |view: &ClusterView| view.members.iter().any(|one| one.name == member && one.drained);
    step.done(&["drain", member, "--yes"]).await?;
    let what = format!("{member}, which was drained, is shown so, and is no voter");
    step.all_see(&what, SEEN, |view| drained(view) && !votes(view, member)).await;
    let what =
        if member == leader { "a drained primary hands over" } else { "the leader leads on" };
    step.leads(what, |now| (now != leader) == (member == leader)).await;
    let watch = step.watch;
    let read = until(SEEN, async || {
        let views = watch.asked("/routes").await;
        let leads = |value: &serde_json::Value| {
            let replicas = value["replicas"].as_array().cloned().unwrap_or_default();
            replicas.iter().any(|route| route["member"] == *member)
        };
        let by: Vec<&str> = views
            .iter()
            .filter(|(_, routes)| routes.as_ref().is_none_or(leads))
            .map(|(by, _)| *by)
            .collect();
        if by.is_empty() { Ok(()) } else { Err(format!("the routes of {} do", by.join(" "))) }
    })
    .await;
    step.demand(read, "no route leads readers to a drained member");
    // The verdict says that a member is out of use, and not that all is well.
    step.refused(&["status"], (1, &format!("{member} is drained"))).await?;
    let pause = step.draw(DRAINED_MS);
    sleep(Duration::from_millis(pause)).await;
    step.done(&["undrain", member]).await?;
    let what = format!("{member}, which was taken back, is drained no more");
    step.all_see(&what, SEEN, |view| !drained(view)).await;
    Ok(())
}

/// With its data it follows again; without, it is cloned.
pub(super) async fn remove(step: &mut Step<'_>, find: Find) -> anyhow::Result<()> {
    let (member, leader) = (step.replica(), step.leader());
    step.refused(&["remove", member, "--yes"], (1, "stop its agent first")).await?;
    stop(step, member).await?;
    let watch = step.watch;
    let gone = until(STOP, async || {
        let Some(view) = watch.cluster().await else { return Err("nobody answers".to_owned()) };
        let there = view.members.iter().any(|one| one.name == member) || votes(&view, member);
        if there { Err(format!("{member} is there")) } else { Ok(()) }
    })
    .await;
    step.demand(gone, "a member whose agent was stopped leaves list and voters");
    step.done(&["remove", member, "--yes"]).await?;
    let kept = step.lab.has_slot(leader, member).await?;
    step.demand(if kept { Err("it is there".to_owned()) } else { Ok(()) }, "its slot is dropped");
    step.refused(&["remove", member, "--yes"], (1, "there was no member")).await?;
    if find == Find::Emptied {
        empty(&step.lab.data(member))?;
    }
    step.lab.start_member(member)?;
    let what = format!("{member}, which was added again, streams");
    let view = |view: &ClusterView| streams(view, member);
    step.all_see(&what, JOIN, view).await;
    let kept = step.lab.has_slot(leader, member).await?;
    step.demand(if kept { Ok(()) } else { Err("there is none".to_owned()) }, "it has a slot again");
    Ok(())
}

/// In order, its Postgres too.
pub(super) async fn stop(step: &mut Step<'_>, member: &'static str) -> anyhow::Result<()> {
    let agent = step.lab.agent(member).with_context(|| format!("{member} has no agent"))?;
    agent.signal(Signal::TERM)?;
    let ended = tokio::task::spawn_blocking(move || agent.wait_gone(STOP)).await?;
    ensure!(ended, "the agent of {member} does not end within {STOP:?}");
    let left = step.lab.postmaster(member);
    let gone = left.map_or(Ok(()), |left| Err(format!("process {}", left.pid)));
    step.demand(gone, "an agent that was stopped in order has stopped its Postgres");
    Ok(())
}

fn empty(data: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}
