//! I13: no client transaction runs before `k` voters have flushed the first position of the new timeline.

use super::{Violation, broken};
use crate::wal::Wal;
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::DoorOpened(member) = deed else { return Ok(()) };
    let who = &world.members[member];
    let (Some(wal), Some(sync)) = (who.postgres.wal(), &world.etcd.view.sync) else {
        return Ok(());
    };
    let sync = &sync.value;
    let Some((_, fork)) = world.wals.branch(wal.branch).parent else { return Ok(()) };
    // Deposed meanwhile, or promoted by hand: its clients can do no harm with a list that nobody satisfies.
    if !sync.is_quorum() || sync.primary != who.name {
        return Ok(());
    }
    let first = Wal { branch: wal.branch, end: haa_core::units::Lsn(fork.0 + 1) };
    let has = |name: &&haa_core::units::MemberName| {
        let disk = world.index(name).and_then(|other| world.members[other].postgres.disk);
        disk.is_some_and(|disk| world.wals.holds(disk.wal, first))
    };
    let having = sync.voters.keys().filter(|name| **name != who.name).filter(has).count();
    if having >= sync.k as usize {
        return Ok(());
    }
    let what = format!("clients are let in with {having} of {} copies of the new timeline", sync.k);
    Err(broken(world, "I13", vec![member], what))
}
