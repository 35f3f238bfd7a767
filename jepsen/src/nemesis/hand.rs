//! What somebody does to a primary's Postgres by hand, behind haa's back, and should not: the list of those that
//! commits wait for is replaced, a replica's slot dropped. The list only by one that nobody satisfies: an empty one
//! loses what is acknowledged, which nobody can prevent and a careless cluster shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::hosts::{Lab, MEMBERS};

use super::kill::serde_word;
use super::{Cure, Wound};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slip {
    /// `ALTER SYSTEM SET synchronous_standby_names`, which overrides haa's file until that is taken back.
    List,
    /// haa's own file with the list is written over.
    ListFile,
    /// The slot of a replica is dropped.
    Slot,
}

impl Slip {
    pub(super) const ALL: [Self; 3] = [Self::List, Self::ListFile, Self::Slot];
}

/// A list that nobody is on.
const NOBODY: &str = "ANY 1 (haa_jepsen_nobody)";
/// Another fault may have taken the server.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

pub(super) async fn strike(slip: Slip, member: &'static str, lab: &Lab) -> anyhow::Result<Wound> {
    let name = format!("by hand on {member}: {}", serde_word(&slip));
    let (done, cure) = match slip {
        Slip::List => {
            let text = format!("ALTER SYSTEM SET synchronous_standby_names = '{NOBODY}'");
            (timeout(PATIENCE, listed(member, lab, &text)).await, Cure::None)
        }
        Slip::ListFile => {
            let home = &lab.host(member)?.home;
            let places = ["state", "disk/state"].map(|state| home.join(state).join(FILE));
            let Some(file) = places.into_iter().find(|file| file.is_file()) else {
                return Ok(Wound::new(name, None, Cure::None));
            };
            // In place: it stays the agent's.
            std::fs::write(&file, format!("synchronous_standby_names = '{NOBODY}'\n"))?;
            (timeout(PATIENCE, listed(member, lab, "SELECT 1")).await, Cure::None)
        }
        Slip::Slot => (timeout(PATIENCE, dropped(member, lab)).await, Cure::None),
    };
    Ok(Wound::new(name, done.ok().flatten(), cure))
}

/// Where haa writes the list.
const FILE: &str = "haa.sync.conf";

/// Says this and has the files read; then a new session shows it.
async fn listed(member: &str, lab: &Lab, text: &str) -> Option<String> {
    let client = lab.superuser(member).await.ok()?;
    client.batch_execute(text).await.ok()?;
    client.batch_execute("SELECT pg_reload_conf()").await.ok()?;
    loop {
        let new = lab.superuser(member).await.ok()?;
        let row = new.query_one("SHOW synchronous_standby_names", &[]).await.ok()?;
        let shown: String = row.try_get(0).ok()?;
        if shown == NOBODY {
            return Some(format!("a new session on {member} shows {shown}"));
        }
        sleep(LOOK).await;
    }
}

/// One in use is not dropped: its walsender is ended first, and the drop comes before the next one.
async fn dropped(member: &str, lab: &Lab) -> Option<String> {
    let replica = MEMBERS.into_iter().find(|other| *other != member)?;
    let slot = format!("haa_{replica}");
    let client = lab.superuser(member).await.ok()?;
    let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
         WHERE slot_name = $1::text::name AND active";
    loop {
        client.query(end, &[&slot]).await.ok()?;
        let there = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE slot_name = $1::text::name";
        if let Ok(rows) = client.query(there, &[&slot]).await {
            return (rows.len() == 1).then(|| format!("{member} dropped {slot}"));
        }
        sleep(LOOK).await;
    }
}
