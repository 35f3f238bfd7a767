//! The verdict on a standby cluster: whether it follows, and who would if its leader died now. Decides nothing.

use haa_core::observe::PeerState;
use haa_core::routes::{Follows, Status};
use haa_core::units::{MemberName, Millis};
use serde::{Deserialize, Serialize};

use super::{Health, Loss, Outlook, TAKING_OVER, Verdict, ail, could_lead, disk, lately};

/// What is said of a cluster that follows another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// The other cluster.
    pub site: String,
    /// Who streams from it.
    pub leader: Option<MemberName>,
    /// How old what it replayed last is, in milliseconds, by the other cluster's clock.
    pub behind_ms: Option<u64>,
}

/// Fills in what holds of a standby cluster.
pub(super) fn of(status: &Status, now: Millis, follows: &Follows, verdict: &mut Verdict) {
    let site = follows.site.to_string();
    let leader = status.leader.as_ref().map(|(name, _)| name.clone());
    let mut following = Following { site, leader: leader.clone(), behind_ms: None };
    let Some(leader) = leader else {
        let why = status.waits.clone();
        verdict.health = Health::Down;
        verdict.ails.push(why.unwrap_or_else(|| "an election is under way".to_owned()));
        verdict.standby = Some(Box::new(following));
        return;
    };
    let (streams, behind_ms) = stream(status, now, &leader);
    following.behind_ms = behind_ms;
    if streams == Some(false) {
        verdict.ails.push(format!(
            "{leader} receives nothing from the cluster at {}: nobody there accepts writes, it cannot be reached, the \
             WAL that comes next is gone there, or {leader} has WAL that a failover there has left behind; its \
             Postgres' log says which. In the last two cases haactl reinit {leader}",
            follows.site
        ));
    }
    if verdict.pause {
        verdict.ails.push("paused: nothing begins by itself; haactl resume ends that".to_owned());
    }
    let others = status.members.iter().filter(|(name, _)| **name != leader);
    verdict.ails.extend(others.filter_map(|(name, member)| ail(status, now, name, member)));
    verdict.ails.extend(disk::ails(status, now));
    verdict.health = if verdict.ails.is_empty() { Health::Healthy } else { Health::Degraded };
    let sync = status.sync.as_ref();
    let names = status.members.keys().filter(|name| **name != leader && !verdict.pause);
    let fit = names.filter_map(|name| Some((could_lead(status, now, name, sync)?.0, name)));
    let successor = fit.max().map(|(_, name)| name.clone());
    let host_ms = successor.as_ref().map(|_| status.settings.timing.ttl.0 + TAKING_OVER.0);
    verdict.outlook = Some(Outlook { successor, host_ms, loss: Loss::Nothing });
    verdict.standby = Some(Box::new(following));
}

/// Whether the leader streams, if that is known, and how far it is behind.
fn stream(status: &Status, now: Millis, leader: &MemberName) -> (Option<bool>, Option<u64>) {
    if *leader == status.me {
        let standby = status.own_standby();
        let behind = standby.and_then(|standby| standby.behind_ms());
        return (Some(standby.is_some_and(|standby| standby.streaming)), behind);
    }
    match lately(status, now, leader) {
        Some(beat) => (Some(beat.state == PeerState::Streaming), beat.behind_ms),
        None => (None, None),
    }
}
