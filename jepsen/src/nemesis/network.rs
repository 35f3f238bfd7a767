//! The network is poor for a while: late, shuffled, lossy, for what one member sends or for what everybody does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hosts::{Lab, Quality, Slow};

use super::{Cure, Wound};

/// Whose packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// What the target sends.
    Member,
    /// What every member and every etcd sends.
    Everybody,
}

/// Poor in one way, in another, and in both.
pub(super) const QUALITIES: [Quality; 4] = [
    Quality { delay_ms: 40, jitter_ms: 0, loss_permille: 0 },
    Quality { delay_ms: 5, jitter_ms: 50, loss_permille: 0 },
    Quality { delay_ms: 0, jitter_ms: 1, loss_permille: 50 },
    Quality { delay_ms: 5, jitter_ms: 50, loss_permille: 50 },
];

pub(crate) fn strike(
    quality: Quality,
    scope: Scope,
    member: &'static str,
    lab: &mut Lab,
) -> anyhow::Result<Wound> {
    let names: Vec<&str> = match scope {
        Scope::Member => vec![member],
        Scope::Everybody => lab.names().into_iter().filter(|name| *name != "clients").collect(),
    };
    let seeds: Vec<u64> = names.iter().map(|_| lab.draw()).collect();
    let begin = |(name, seed): (&&str, u64)| Slow::begin(lab.host(name)?, quality, seed);
    let begun: anyhow::Result<Vec<Slow>> = names.iter().zip(seeds).map(begin).collect();
    let Quality { delay_ms, jitter_ms, loss_permille } = quality;
    let loss = f64::from(loss_permille) / 10.0;
    let name = format!(
        "what {} send: {delay_ms} ms late, up to {jitter_ms} more, {loss} % lost",
        names.join(" ")
    );
    Ok(Wound::new(name, None, Cure::Calm(Arc::new(begun?))))
}

/// The packets that were in our hands; they end when the last owner is gone.
pub(super) fn handled(slow: &[Slow]) -> Option<String> {
    let handled: u64 = slow.iter().map(Slow::handled).sum();
    (handled > 0).then(|| format!("{handled} packets in our hands"))
}
