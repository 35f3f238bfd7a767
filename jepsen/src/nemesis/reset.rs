//! Connections of a member are reset, all at once and again: each end is told that it is gone, and may connect anew at
//! once. Ends before its strike does.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;

use crate::hosts::Lab;
use crate::hosts::tools::run;

use super::{Cure, Wound};

const TIMES: u32 = 6;
/// Milliseconds between two.
const PAUSE: std::ops::Range<u64> = 100..1_500;

pub(super) async fn strike(seed: u64, member: &'static str, lab: &Lab) -> anyhow::Result<Wound> {
    let space = lab.host(member)?.space.clone();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut gone = 0;
    for _ in 0..TIMES {
        // It prints those that it has closed.
        let closed = ["ss", "--kill", "--no-header", "--tcp", "state", "established"];
        let said = run(&[&["ip", "netns", "exec", &space][..], &closed].concat())?;
        gone += said.lines().count();
        sleep(Duration::from_millis(rng.random_range(PAUSE))).await;
    }
    let name = format!("connections of {member} reset");
    let proof = format!("{gone} connections closed, in {TIMES} moments");
    Ok(Wound::new(name, (gone > 0).then_some(proof), Cure::None))
}
