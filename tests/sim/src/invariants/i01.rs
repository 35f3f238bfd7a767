//! I1: at any instant at most one member can acknowledge a write.

use super::{Violation, broken, excused};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Opened(_) = deed else { return Ok(()) };
    let open = |member: &usize| world.members[*member].postgres.open();
    let writers: Vec<usize> = (0..world.members.len()).filter(open).collect();
    if writers.len() <= 1 || writers.iter().any(|&member| excused(world, member)) {
        return Ok(());
    }
    Err(broken(world, "I1", writers, "more than one Postgres accepts writes".to_owned()))
}
