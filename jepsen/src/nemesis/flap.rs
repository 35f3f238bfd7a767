//! Links of a member go and come back again and again, each time for a moment: too short to be taken for a loss, too
//! often to be forgotten. Ends before its strike does.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::hosts::Lab;

use super::cut::{Shape, ways};
use super::kill::serde_word;
use super::{Cure, Wound};

/// All of it.
const LENGTH: Duration = Duration::from_secs(12);
/// Milliseconds, that links are away or there.
const SPAN: std::ops::Range<u64> = 100..3_000;

pub(super) async fn strike(
    shape: Shape,
    seed: u64,
    member: &'static str,
    lab: &mut Lab,
) -> anyhow::Result<Wound> {
    let ways = ways(shape, member, lab)?;
    let before = lab.net.swallowed()?;
    let (mut rng, began, mut times) = (StdRng::seed_from_u64(seed), Instant::now(), 0);
    while began.elapsed() < LENGTH {
        lab.net.cut(&ways)?;
        sleep(Duration::from_millis(rng.random_range(SPAN))).await;
        lab.net.mend(&ways)?;
        sleep(Duration::from_millis(rng.random_range(SPAN))).await;
        times += 1;
    }
    let swallowed = lab.net.swallowed()?.saturating_sub(before);
    let name = format!("links of {member} flap: {}", serde_word(&shape));
    let proof = format!("{times} times, {swallowed} packets swallowed");
    Ok(Wound::new(name, (swallowed > 0).then_some(proof), Cure::None))
}
