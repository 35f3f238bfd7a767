//! Two of three members' hosts are lost in one moment, and an operator accepts that what only they had is lost: the
//! last one, which heard nothing of the primary just before, is made to lead. Only while all three vote, or none does
//! (`async`).

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::hosts::net::between;
use crate::hosts::{Lab, MEMBERS, Watch};

use super::{Cure, Wound};

/// The leases of those that are gone end first.
const PATIENCE: Duration = Duration::from_secs(75);
/// Shorter than anybody takes for a loss.
const APART: Duration = Duration::from_millis(600);

pub(super) async fn strike(
    primary: &'static str,
    last: &'static str,
    lab: &mut Lab,
    watch: &Watch,
) -> anyhow::Result<Wound> {
    let name = format!("loss accepted: all but {last} gone, which is made to lead");
    if watch.primaries().await != [primary] || watch.whole(Duration::ZERO).await.is_err() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    // Nothing of the primary reaches it for a moment: what the other one has by then, it has not.
    let apart = between(&lab.addresses(&[primary]), &lab.addresses(&[last]));
    lab.net.cut(&apart)?;
    sleep(APART).await;
    let gone: Vec<&'static str> = MEMBERS.into_iter().filter(|member| *member != last).collect();
    // First the cables: nobody is told of closed sockets.
    gone.iter().try_for_each(|member| lab.unplug(member))?;
    lab.net.mend(&apart)?;
    gone.iter().try_for_each(|member| lab.host(member)?.group.kill())?;
    let lost_at = Instant::now();
    let body = json!({ "candidate": last, "accept_loss": true });
    let said = match timeout(PATIENCE, watch.order(last, "/failover", &body)).await {
        Ok(Ok(said)) => Some(format!("{} were killed; {said}", gone.join(" and "))),
        Ok(Err(_)) | Err(_) => None,
    };
    let accepted = said.is_some().then_some(lost_at);
    Ok(Wound { accepted, ..Wound::new(name, said, Cure::RebootAll(gone)) })
}
