//! Settings under load: set, looked at everywhere, and taken back; a pause with work in it. None of them changes what
//! an acknowledged commit is worth but for the better.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use haa::ctl::documents::ClusterView;

use crate::hosts::MEMBERS;

use super::step::{Fate, SEEN, Step, until};

/// What a new cluster begins with. Here it only goes up: a restart in place may hand over on a busy machine.
pub(super) const MAX_CONNECTIONS: i64 = 200;
const MORE: i64 = 10;
/// Raising `k` waits for a barrier.
const COPIES: Duration = Duration::from_secs(15);

pub(super) async fn pause(step: &mut Step<'_>) -> anyhow::Result<()> {
    let old = step.leader();
    step.done(&["pause"]).await?;
    step.all_see("every agent is paused", SEEN, |view| view.pause).await;
    step.refused(&["status"], (1, "PAUSED")).await?;
    // What is asked for goes on to its end.
    step.done(&["switchover", "--yes"]).await?;
    step.leads("a switchover in a pause is one", |now| now != old).await;
    step.done(&["resume"]).await?;
    step.all_see("no agent is paused any more", SEEN, |view| !view.pause).await;
    Ok(())
}

pub(super) async fn lease(step: &mut Step<'_>) -> anyhow::Result<()> {
    step.done(&["settings", "set", "timing.ttl=20s"]).await?;
    in_force(step, "/timing/ttl", &json!(20_000)).await;
    step.done(&["settings", "set", "timing.ttl="]).await?;
    in_force(step, "/timing/ttl", &json!(10_000)).await;
    Ok(())
}

pub(super) async fn copies(step: &mut Step<'_>) -> anyhow::Result<()> {
    let is = |k: usize| {
        move |view: &ClusterView| view.commits.as_ref().is_some_and(|commits| commits.k == k)
    };
    step.done(&["settings", "set", "k=2"]).await?;
    step.all_see("two replicas flush each commit", COPIES, is(2)).await;
    step.done(&["settings", "set", "k="]).await?;
    step.all_see("one replica flushes each commit", COPIES, is(1)).await;
    Ok(())
}

/// The answer comes when each has read it.
pub(super) async fn work_mem(step: &mut Step<'_>) -> anyhow::Result<()> {
    let value = format!("{}MB", 5 + step.draw(60));
    let word = format!("postgres.parameters.work_mem={value}");
    step.done(&["settings", "set", &word]).await?;
    for member in MEMBERS {
        is_shown(step, member, "work_mem", &value).await?;
        step.restarted(member, Fate::Same);
    }
    in_force(step, "/postgres/parameters/work_mem", &json!(value)).await;
    Ok(())
}

pub(super) async fn max_connections(step: &mut Step<'_>) -> anyhow::Result<()> {
    let now = step.shown(step.leader(), "max_connections").await?;
    let number: i64 = now.parse().context("max_connections is a number")?;
    let next = (number + MORE).to_string();
    let word = format!("postgres.parameters.max_connections={next}");
    step.done(&["settings", "set", &word]).await?;
    for member in MEMBERS {
        is_shown(step, member, "max_connections", &now).await?;
    }
    let waits = |view: &ClusterView| view.members.iter().all(|member| member.pending_restart);
    step.all_see("everybody waits for a restart", SEEN, waits).await;
    super::lead::rolling(step).await?;
    for member in MEMBERS {
        is_shown(step, member, "max_connections", &next).await?;
    }
    let waits = |view: &ClusterView| view.members.iter().any(|member| member.pending_restart);
    step.all_see("nobody waits for a restart any more", SEEN, |view| !waits(view)).await;
    Ok(())
}

async fn is_shown(
    step: &mut Step<'_>,
    member: &str,
    parameter: &str,
    value: &str,
) -> anyhow::Result<()> {
    let shown = step.shown(member, parameter).await?;
    let so = if shown == value { Ok(()) } else { Err(format!("it is {shown}, not {value}")) };
    step.demand(so, &format!("{parameter} on {member}"));
    Ok(())
}

/// What every agent says of a setting.
async fn in_force(step: &mut Step<'_>, pointer: &str, value: &Value) {
    let watch = step.watch;
    let so = until(SEEN, async || {
        let all = watch.asked("/config").await;
        let says = |settings: &Option<Value>| settings.as_ref()?.pointer(pointer).cloned();
        let not: Vec<String> = all
            .iter()
            .filter(|(_, settings)| says(settings).as_ref() != Some(value))
            .map(|(member, settings)| format!("{member} says {:?}", says(settings)))
            .collect();
        if not.is_empty() { Ok(()) } else { Err(not.join(", ")) }
    })
    .await;
    step.demand(so, &format!("{pointer} of the settings is {value}"));
}
