//! I10: a member whose WAL has diverged never streams before it was rewound or cloned.
//!
//! Judged when `primary_conninfo` is written, because a receiver that connects acknowledges at once.

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Sourced { member, source } = deed else { return Ok(()) };
    let from = &world.members[source].postgres;
    let (Some(own), Some(theirs)) = (world.members[member].postgres.wal(), from.wal()) else {
        return Ok(());
    };
    if !from.open() || world.wals.holds(theirs, own) {
        return Ok(());
    }
    let (own, theirs) = (world.wals.position(own), world.wals.position(theirs));
    let what = format!("told to follow WAL that ends at {theirs} with its own at {own}, diverged");
    Err(broken(world, "I10", vec![member, source], what))
}
