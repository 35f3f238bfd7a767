//! What an operator does in the middle of everything: restarts an agent in order, hands over, has a replica cloned
//! anew, takes a member out of use and back. Proof is what is seen of it; a refusal is no fault of anybody, and none.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::hosts::{Lab, MEMBERS, Watch};

use super::{Cure, Wound, page};

/// Other faults do not wait for an operator.
const PATIENCE: Duration = Duration::from_secs(5);
/// What was taken up is seen by then, or not told.
const SEEN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// So often a member is taken back, with a pause between: nobody may lead at first.
const UNDRAINS: usize = 60;
const AGAIN: Duration = Duration::from_millis(500);

/// What became of a wish.
pub(super) enum Answer {
    /// It is done, or was taken up.
    Done(String),
    /// It was refused, or nobody answered at all.
    Refused(String),
    /// No answer yet: it may be under way.
    Silent,
}

impl Answer {
    pub(super) fn told(self) -> String {
        match self {
            Self::Done(said) | Self::Refused(said) => said,
            Self::Silent => format!("no answer in {PATIENCE:?}; it may be under way"),
        }
    }

    fn refused(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Done(_) | Self::Silent => false,
        }
    }

    pub(super) fn done(&self) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Refused(_) | Self::Silent => false,
        }
    }
}

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

/// Whatever becomes of it: a clone that a fault ends is begun again by the member itself. Seen is that its Postgres has
/// ended, or that its data are in another directory.
pub(super) async fn reinit(
    member: &'static str,
    lab: &Lab,
    watch: &Watch,
) -> anyhow::Result<Wound> {
    let name = format!("reinit of {member}");
    let number = || page::number(&lab.data(member)).ok();
    let (postmaster, before) = (lab.postmaster(member), number());
    let answer = ask(watch, "/reinitialize", member).await;
    if answer.refused() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let proof = until(async || {
        if number().is_some_and(|now| Some(now) != before) {
            return Some("its data are in another directory".to_owned());
        }
        let ended = postmaster.filter(|old| !old.alive())?;
        Some(format!("its Postgres, process {}, has ended", ended.pid))
    });
    let proof = proof.await.map(|seen| format!("{seen}; {}", answer.told()));
    Ok(Wound::new(name, proof, Cure::None))
}

/// Seen is that commits no longer wait for it, by the word of the Postgres that leads; of a primary, that another
/// member leads then.
pub(super) async fn drain(member: &'static str, lab: &Lab, watch: &Watch) -> anyhow::Result<Wound> {
    let name = format!("drain of {member}");
    let led = watch.primaries().await == [member];
    let voted = waited_for(lab, watch).await.is_some_and(|(_, list)| list.contains(member));
    if !led && !voted {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let answer = ask(watch, "/drain", member).await;
    if answer.refused() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let proof = until(async || {
        let (leader, list) = waited_for(lab, watch).await?;
        (leader != member && !list.contains(member))
            .then(|| format!("{leader} waits for {list}, not for {member}"))
    });
    let proof = proof.await.map(|seen| format!("{seen}; {}", answer.told()));
    Ok(Wound::new(name, proof, Cure::Undrain(member)))
}

/// Who leads, and whom its Postgres says that commits wait for.
async fn waited_for(lab: &Lab, watch: &Watch) -> Option<(&'static str, String)> {
    let primaries = watch.primaries().await;
    let [leader] = primaries[..] else { return None };
    let asked = async {
        let client = lab.superuser(leader).await.ok()?;
        let row = client.query_one("SHOW synchronous_standby_names", &[]).await.ok()?;
        row.try_get(0).ok()
    };
    Some((leader, timeout(PATIENCE, asked).await.ok()??))
}

/// Until it is done: a cluster without a voter that an operator took away is not whole.
pub(super) async fn undrain(member: &'static str, watch: &Watch) -> anyhow::Result<Option<String>> {
    let mut said = String::new();
    for _ in 0..UNDRAINS {
        let answer = ask(watch, "/undrain", member).await;
        if answer.done() {
            return Ok(None);
        }
        said = answer.told();
        sleep(AGAIN).await;
    }
    anyhow::bail!("{member} is drained still: {said}")
}

/// Of whoever leads, or of the first agent.
pub(super) async fn ask(watch: &Watch, path: &str, member: &'static str) -> Answer {
    let asked = watch.primaries().await.first().copied().unwrap_or(MEMBERS[0]);
    match timeout(PATIENCE, watch.order(asked, path, &json!({ "member": member }))).await {
        Ok(Ok(said)) => Answer::Done(said),
        Ok(Err(error)) => Answer::Refused(format!("{error:#}")),
        Err(_) => Answer::Silent,
    }
}

/// Seen is that another member accepts writes.
pub(super) async fn switch_over(watch: &Watch) -> anyhow::Result<Wound> {
    let before = watch.primaries().await.first().copied();
    let Some(leader) = before else {
        return Ok(Wound::new("switchover while nobody leads", None, Cure::None));
    };
    let name = format!("switchover from {leader}");
    let answer = match timeout(PATIENCE, watch.switch_over(leader)).await {
        Ok(Ok(())) => Answer::Done("it was taken up".to_owned()),
        Ok(Err(error)) => Answer::Refused(format!("{error:#}")),
        Err(_) => Answer::Silent,
    };
    if answer.refused() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let proof = until(async || match watch.primaries().await[..] {
        [now] if now != leader => Some(format!("{now} accepts writes")),
        _ => None,
    });
    let proof = proof.await.map(|seen| format!("{seen}; {}", answer.told()));
    Ok(Wound::new(name, proof, Cure::None))
}

/// What is seen, looked for again and again.
async fn until(look: impl AsyncFn() -> Option<String>) -> Option<String> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        if began.elapsed() > SEEN {
            return None;
        }
        sleep(LOOK).await;
    }
}
