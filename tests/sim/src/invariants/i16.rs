//! I16: nobody reads a standby that was started before its WAL is known to be part of a leader's history.
//!
//! What it has beyond that was never acknowledged, and will be taken back.

use super::{Violation, broken, i10};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Readable(member) = deed else { return Ok(()) };
    let what = match world.members[member].postgres.source {
        None => "clients read what was compared with nobody's".to_owned(),
        Some(source) => match i10::diverged(world, (member, source)) {
            None => return Ok(()),
            Some(between) => format!("clients read beside a leader whose WAL ends at {between}"),
        },
    };
    Err(broken(world, "I16", vec![member], what))
}
