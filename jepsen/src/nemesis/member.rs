//! A replica leaves for good: its agent is stopped in order, an operator has it forgotten, and it is added again with
//! what it had, or with nothing. Only while both others have what an acknowledged commit needs.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::hosts::{Lab, Watch};

use super::kill::serde_word;
use super::{Cure, Wound, data};

/// What a member finds that is added again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Find {
    /// What it had.
    Kept,
    /// An empty directory.
    Emptied,
}

impl Find {
    pub(super) const ALL: [Self; 2] = [Self::Kept, Self::Emptied];
}

/// It is refused while the member is on the list still.
const PATIENCE: Duration = Duration::from_secs(40);
const ANSWER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn strike(
    find: Find,
    member: &'static str,
    lab: &mut Lab,
    watch: &Watch,
) -> anyhow::Result<Wound> {
    let name = format!("{member} is removed, its data {}", serde_word(&find));
    let leads = watch.primaries().await.contains(&member);
    if leads || !watch.can_spare(member).await || !data::stop(member, lab).await? {
        return Ok(Wound::new(name, None, Cure::Start(member)));
    }
    let (began, mut proof) = (Instant::now(), None);
    let mut had = Had::Unknown;
    while proof.is_none() && began.elapsed() < PATIENCE {
        sleep(AGAIN).await;
        proof = timeout(ANSWER, forgotten(member, lab, watch, &mut had)).await.ok().flatten();
    }
    let cure = if proof.is_some() { Cure::Add(member, find) } else { Cure::Start(member) };
    Ok(Wound::new(name, proof, cure))
}

/// Whether somebody who led was seen to have a slot for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Had {
    Unknown,
    ASlot,
}

/// Seen is that the one who leads has no slot for it any more, where there was one before. What a try answers is no
/// matter: the answer of one that did it may have been lost, and the next one is refused.
async fn forgotten(member: &str, lab: &Lab, watch: &Watch, had: &mut Had) -> Option<String> {
    let leader = watch.primaries().await.first().copied()?;
    if *had == Had::Unknown && lab.has_slot(leader, member).await.ok()? {
        *had = Had::ASlot;
    }
    let said = match watch.order(leader, "/remove", &json!({ "member": member })).await {
        Ok(said) => said,
        Err(error) => format!("{error:#}"),
    };
    let gone = *had == Had::ASlot && !lab.has_slot(leader, member).await.ok()?;
    gone.then(|| format!("{leader} had a slot for {member}, and has none any more; {said}"))
}

pub(super) async fn add(
    member: &'static str,
    find: Find,
    lab: &mut Lab,
) -> anyhow::Result<Option<String>> {
    match find {
        Find::Kept => lab.start_member(member)?,
        Find::Emptied => {
            data::empty(member, lab).await?;
        }
    }
    Ok(None)
}
