//! Who leads, and restarts of Postgres: switchovers, one restarted, all of them. Never stops an agent.

use crate::hosts::MEMBERS;

use super::step::{Fate, Step, streams, votes};

pub(super) async fn hand_over(
    step: &mut Step<'_>,
    verb: &str,
    to: Option<&'static str>,
) -> anyhow::Result<()> {
    let old = step.leader();
    let mut words = vec![verb, "--yes"];
    words.extend(to.iter().flat_map(|to| ["--to", *to]));
    step.done(&words).await?;
    step.leads("after it the new primary accepts writes", |now| {
        now != old && to.is_none_or(|to| to == now)
    })
    .await;
    Ok(())
}

pub(super) async fn restart(step: &mut Step<'_>) -> anyhow::Result<()> {
    let member = step.replica();
    let leader = step.leader();
    step.done(&["restart", member]).await?;
    step.restarted(member, Fate::Another);
    step.restarted(leader, Fate::Same);
    let what = format!("{member}, which was restarted, streams and votes");
    step.all_see(&what, super::step::SEEN, |view| streams(view, member) && votes(view, member))
        .await;
    step.leads("a replica was restarted, and the leader leads on", |now| now == leader).await;
    Ok(())
}

/// It leads again, or another one does and the command says so.
pub(super) async fn restart_in_place(step: &mut Step<'_>) -> anyhow::Result<()> {
    let leader = step.leader();
    let said = step.ask(&["restart", leader, "--in-place", "--yes"]).await?;
    match said.code {
        Some(0) => {
            step.leads("it was restarted in place, and leads", |now| now == leader).await;
            step.restarted(leader, Fate::Another);
        }
        Some(1) => {
            step.leads("it is refused in place where another leads", |now| now != leader).await;
        }
        Some(_) | None => step.demand(Err(said.line()), "a restart in place ends with 0 or 1"),
    }
    Ok(())
}

pub(super) async fn rolling(step: &mut Step<'_>) -> anyhow::Result<()> {
    let old = step.leader();
    step.done(&["restart", "--rolling", "--yes"]).await?;
    for member in MEMBERS {
        step.restarted(member, Fate::Another);
    }
    step.leads("a rolling restart hands over", |now| now != old).await;
    let what = format!("{old}, which led before the rolling restart, streams and votes");
    step.all_see(&what, super::step::SEEN, |view| streams(view, old) && votes(view, old)).await;
    Ok(())
}
