//! etcd's own troubles. Its data stay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hosts::{Lab, Watch};

use super::kill::serde_word;
use super::{Cure, Wound};

/// What happens to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// The member that leads dies.
    KillLeader,
    /// The member that leads stands still.
    FreezeLeader,
    /// A member that follows dies.
    KillFollower,
    /// A member that follows stands still.
    FreezeFollower,
    /// All die.
    KillAll,
    /// All stand still.
    FreezeAll,
}

impl Harm {
    pub(super) const ALL: [Self; 6] = [
        Self::KillLeader,
        Self::FreezeLeader,
        Self::KillFollower,
        Self::FreezeFollower,
        Self::KillAll,
        Self::FreezeAll,
    ];
}

pub(super) async fn strike(harm: Harm, lab: &mut Lab, watch: &Watch) -> anyhow::Result<Wound> {
    let all: Vec<String> = lab.etcds().iter().map(|host| host.name.clone()).collect();
    let leader = watch.etcd_leader().await.ok();
    let leads = |name: &&String| leader.as_ref() == Some(*name);
    let victims: Vec<String> = match harm {
        Harm::KillLeader | Harm::FreezeLeader => all.iter().filter(leads).cloned().collect(),
        Harm::KillFollower | Harm::FreezeFollower => {
            all.iter().filter(|name| !leads(name)).take(1).cloned().collect()
        }
        Harm::KillAll | Harm::FreezeAll => all,
    };
    let freezes = match harm {
        Harm::FreezeLeader | Harm::FreezeFollower | Harm::FreezeAll => true,
        Harm::KillLeader | Harm::KillFollower | Harm::KillAll => false,
    };
    for victim in &victims {
        let group = &lab.host(victim)?.group;
        if freezes { group.freeze()? } else { group.kill()? }
    }
    let name = format!("etcd {}: {}", serde_word(&harm), victims.join(" "));
    let word = if freezes { "frozen" } else { "nothing runs there" };
    let proof = (!victims.is_empty()).then(|| format!("{}: {word}", victims.join(" ")));
    let cure = if freezes { Cure::ThawEtcd(victims) } else { Cure::StartEtcd(victims) };
    Ok(Wound::new(name, proof, cure))
}

pub(super) async fn start(
    names: &[String],
    lab: &Lab,
    _watch: &Watch,
) -> anyhow::Result<Option<String>> {
    names.iter().try_for_each(|name| lab.start_etcd(name)).map(|()| None)
}

pub(super) fn thaw(names: &[String], lab: &Lab) -> anyhow::Result<Option<String>> {
    names.iter().try_for_each(|name| lab.host(name)?.group.thaw()).map(|()| None)
}

/// An etcd is given so long to be healthy at the end of a run.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
