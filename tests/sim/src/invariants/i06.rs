//! I6 (Q): every acknowledged commit is on at least k+1 of the voters, with V and k as etcd holds them.
//!
//! A voter whose data are not what the record names cannot grant. So what counts is that those who can and do not hold
//! a commit are too few to elect anybody: fewer than |V| - k.

use super::{Ledger, Violation, broken};
use crate::wal::Wal;
use crate::world::{Deed, World};

pub(super) fn check(world: &World, ledger: &Ledger, deed: Deed) -> Result<(), Violation> {
    match deed {
        // No member can help what an operator restores; that nothing is lost by it is for I2 and I4.
        _ if ledger.restored => return Ok(()),
        Deed::Acknowledged { .. } | Deed::Stored => {}
        _ => return Ok(()),
    }
    let Some(sync) = world.etcd.view.sync.as_ref().map(|kept| &kept.value) else { return Ok(()) };
    if !sync.is_quorum() {
        return Ok(());
    }
    for (&branch, &end) in &world.durable {
        let commit = Wal { branch, end };
        let lacks = |name: &&haa_core::units::MemberName| {
            let member = world.index(name);
            let disk = member.and_then(|member| world.members[member].postgres.disk);
            disk.is_some_and(|disk| {
                sync.voters.get(*name) == Some(&disk.incarnation)
                    && !world.wals.holds(disk.wal, commit)
            })
        };
        let lacking: Vec<_> = sync.voters.keys().filter(lacks).collect();
        let primary = lacking.contains(&&sync.primary);
        if lacking.len() >= sync.grants_needed() || primary {
            let members = lacking.iter().filter_map(|name| world.index(name)).collect();
            let what = format!(
                "of {} voters with k = {}, {} lack the acknowledged commit at {}",
                sync.voters.len(),
                sync.k,
                lacking.len(),
                world.wals.position(commit)
            );
            return Err(broken(world, "I6", members, what));
        }
    }
    Ok(())
}
