//! What an operator changes under load: settings of the cluster, set and taken back; a pause, and its end.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hosts::Watch;

use super::kill::serde_word;
use super::{Cure, Wound};

/// What is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Two replicas flush each commit.
    TwoCopies,
    /// Silence is noticed after 300 ms.
    Fast,
    /// An outage of etcd closes writes.
    NoFailsafe,
    /// A primary never goes alone.
    Strict,
    /// A longer lease.
    LongLease,
    /// Nothing begins by itself.
    Pause,
}

impl Change {
    pub(super) const SETTINGS: [Self; 5] =
        [Self::TwoCopies, Self::Fast, Self::NoFailsafe, Self::Strict, Self::LongLease];

    fn wish(self) -> Value {
        match self {
            Self::TwoCopies => json!({ "k": 2 }),
            Self::Fast => json!({ "profile": "fast" }),
            Self::NoFailsafe => json!({ "failsafe": false }),
            Self::Strict => json!({ "strict": true }),
            Self::LongLease => json!({ "timing": { "ttl": "20s" } }),
            Self::Pause => json!({ "pause": true }),
        }
    }

    fn undone(self) -> Value {
        match self {
            Self::TwoCopies => json!({ "k": null }),
            Self::Fast => json!({ "profile": null }),
            Self::NoFailsafe => json!({ "failsafe": null }),
            Self::Strict => json!({ "strict": null }),
            Self::LongLease => json!({ "timing": { "ttl": null } }),
            Self::Pause => json!({ "pause": null }),
        }
    }
}

pub(super) async fn strike(change: Change, watch: &Watch) -> anyhow::Result<Wound> {
    let name = format!("settings: {}", serde_word(&change));
    // etcd may be away: then there is nothing to change, and that is no fault.
    let proof = watch.set(&change.wish()).await.ok();
    Ok(Wound::new(name, proof, Cure::Settings(change)))
}

pub(super) async fn undo(change: Change, watch: &Watch) -> anyhow::Result<Option<String>> {
    watch.set(&change.undone()).await.map(|_| None)
}

/// Everything that a change can have set, as it was.
pub(super) async fn undo_all(watch: &Watch) -> anyhow::Result<()> {
    for change in Change::SETTINGS.into_iter().chain([Change::Pause]) {
        undo(change, watch).await?;
    }
    Ok(())
}
