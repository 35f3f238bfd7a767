//! I10: a member whose WAL has diverged never streams before it was rewound or cloned.
//!
//! Judged when `primary_conninfo` is written, because a receiver that connects acknowledges at once.

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Sourced { member, source } = deed else { return Ok(()) };
    // Another cluster cannot be compared with; its Postgres refuses whoever has left its history.
    if world.plan.other_site == Some(source) {
        return Ok(());
    }
    diverged(world, (member, source)).map_or(Ok(()), |between| {
        let what = format!("told to follow WAL that ends at {between}, diverged");
        Err(broken(world, "I10", vec![member, source], what))
    })
}

/// Where the source's WAL and our own end, if they have parted and the source is open. Or is a standby, and we go by
/// the newest term: it may be behind, not elsewhere.
pub(super) fn diverged(world: &World, (member, source): (usize, usize)) -> Option<String> {
    let from = &world.members[source].postgres;
    let (Some(own), Some(theirs)) = (world.members[member].postgres.wal(), from.wal()) else {
        return None;
    };
    let (ends, began) = (world.wals.position(own), world.wals.position(theirs));
    let behind = world.wals.holds(own, theirs);
    let status = world.members[member].agent.status.as_ref();
    let knows = status.is_some_and(|status| status.term >= world.term());
    let parted = (from.open() || knows && !behind) && !world.wals.holds(theirs, own);
    parted.then(|| format!("{began} with its own at {ends}"))
}
