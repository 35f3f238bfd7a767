//! What an operator does by hand beside haactl: edits a member's file, and cancels a command that waits. Leaves every
//! file as it was, but for a tag.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;
use tokio::time::sleep;

use crate::hosts::{MEMBERS, Said};

use super::members::stop;
use super::step::{SEEN, Step};

/// A command waits for what is missing for 3 s.
const WAITS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(30);

pub(super) async fn reload(step: &mut Step<'_>) -> anyhow::Result<()> {
    let member = MEMBERS[usize::try_from(step.draw(3))?];
    let file = step.lab.host(member)?.home.join("haad.toml");
    let tell = || format!("cannot edit {}", file.display());
    let text = fs::read_to_string(&file).with_context(tell)?;
    let mut table: toml::Table = text.parse().with_context(tell)?;
    let value = format!("mark-{}", step.draw(1_000_000));
    let tags = table.entry("tags").or_insert_with(|| toml::Table::new().into());
    let tags = tags.as_table_mut().context("[tags] is a table")?;
    tags.insert("soak".to_owned(), value.clone().into());
    let changed = table.to_string();
    fs::write(&file, &changed).with_context(tell)?;
    step.done(&["reload", member]).await?;
    let what = format!("the tag of {member} is the new one");
    step.all_see(&what, SEEN, |view| {
        let of = view.members.iter().find(|one| one.name == member);
        of.and_then(|one| one.tags.get("soak")).is_some_and(|tag| *tag == *value)
    })
    .await;
    fs::write(&file, format!("{changed}\nnonsense = [\n")).with_context(tell)?;
    step.refused(&["reload", member], (1, "haad.toml")).await?;
    fs::write(&file, &changed).with_context(tell)?;
    step.done(&["reload"]).await?;
    Ok(())
}

/// Said at once, without waiting, where the other one is no voter any more.
const NOBODY_ELSE: &str = "is the last member that acknowledged commits could be on";

/// With the other replica stopped, commits need this one: draining it waits, and is taken back.
pub(super) async fn cancel(step: &mut Step<'_>) -> anyhow::Result<()> {
    let member = step.replica();
    let other = step.other(member);
    stop(step, other).await?;
    let ctl = step.ctl;
    let words = ["drain", member, "--yes"];
    let (waiting, found) = tokio::join!(ctl.run(&words), taken_back(step, member));
    let (waiting, found) = (waiting?, found?);
    step.note(&waiting);
    if found.is_none() && waiting.code == Some(1) && waiting.error.contains(NOBODY_ELSE) {
        return step.lab.start_member(other);
    }
    let so = if found.is_some() { Ok(()) } else { Err(format!("not within {WAITS:?}")) };
    step.demand(so, "a command that waits is shown");
    let cancelled = waiting.code == Some(1) && waiting.error.contains("cancelled by");
    let so = if cancelled { Ok(()) } else { Err(waiting.line()) };
    step.demand(so, "whoever waits is told that it was cancelled");
    if let Some(id) = found {
        step.refused(&["requests", "cancel", &id], (1, "cannot be cancelled")).await?;
    }
    let drained = |view: &haa::ctl::documents::ClusterView| {
        view.members.iter().any(|one| one.name == member && one.drained)
    };
    let there = step.watch.cluster().await.is_none_or(|view| drained(&view));
    let so = if there { Err(format!("{member} is drained")) } else { Ok(()) };
    step.demand(so, "nothing comes of a command that was cancelled");
    step.lab.start_member(other)
}

/// Finds the command that waits, and cancels it; answers its name.
async fn taken_back(step: &mut Step<'_>, member: &str) -> anyhow::Result<Option<String>> {
    let began = Instant::now();
    while began.elapsed() < WAITS {
        let said = step.ctl.run(&["requests", "--output", "json"]).await?;
        if let Some(id) = waiting(&said, member) {
            let said = step.ask(&["requests", "cancel", &id]).await?;
            // Another agent is asked, and may hear of it a moment later.
            if said.code == Some(0) || !said.error.contains("0 requests begin with") {
                let so = if said.code == Some(0) { Ok(()) } else { Err(said.line()) };
                step.demand(so, "a command that nobody acts on is cancelled");
                return Ok(Some(id));
            }
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

fn waiting(said: &Said, member: &str) -> Option<String> {
    let all: Vec<(String, Value)> = serde_json::from_str(&said.text).ok()?;
    let open = |(_, request): &&(String, Value)| {
        let text = request.to_string();
        text.contains("\"pending\"") && text.contains("drain") && text.contains(member)
    };
    all.iter().find(open).map(|(id, _)| id.clone())
}
