//! What must be refused in a cluster that is well, and must change nothing. Knows only the words of refusals.

use crate::hosts::MEMBERS;

use super::step::{Fate, Step};

pub(super) async fn all(step: &mut Step<'_>) -> anyhow::Result<()> {
    let (leader, replica) = (step.leader(), step.replica());
    let asked: [(&[&str], i32, &str); 13] = [
        (&["restart", leader], 1, "leads"),
        (&["restart", "n9"], 1, "n9"),
        (&["reinit", leader, "--yes"], 1, "leads"),
        (&["remove", leader, "--yes"], 1, "haactl switchover first"),
        (&["remove", replica, "--yes"], 1, "stop its agent first"),
        (&["remove", replica], 1, "say --yes"),
        (&["switchover", "--to", leader, "--yes"], 1, leader),
        (&["switchover", "--to", "n9", "--yes"], 1, "n9"),
        (&["failover", "--accept-loss", "--yes"], 1, "nothing has to be lost"),
        (&["settings", "set", "timing.ttl=3s"], 1, "ttl"),
        (&["settings", "set", "k=0"], 1, "k"),
        (&["settings", "set", "postgres.parameters.work_mem=much"], 1, "work_mem"),
        (&["requests", "cancel", "no-such"], 1, "0 requests begin with"),
    ];
    let before = step.watch.asked("/config").await;
    for (words, code, why) in asked {
        step.refused(words, (code, why)).await?;
    }
    let after = step.watch.asked("/config").await;
    let so = if before == after { Ok(()) } else { Err(format!("{before:?}, then {after:?}")) };
    step.demand(so, "what is refused changes no setting");
    for member in MEMBERS {
        step.restarted(member, Fate::Same);
    }
    step.leads("what is refused changes no leader", |now| now == leader).await;
    Ok(())
}
