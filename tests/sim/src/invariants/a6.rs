//! A6: while a cluster follows another, none of its members accepts writes. One that somebody promoted by hand is not
//! the cluster's; that it is closed soon is A4.

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Opened(member) = deed else { return Ok(()) };
    let wal = world.members[member].postgres.wal();
    let elected = wal.is_some_and(|wal| world.wals.branch(wal.branch).term.is_some());
    if !(world.is_standby() && elected) {
        return Ok(());
    }
    let what = "accepts writes in a cluster that follows another".to_owned();
    Err(broken(world, "A6", vec![member], what))
}
