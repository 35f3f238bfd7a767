//! I15: while a primary goes on without a lease, by the consent of every member, nobody else comes to lead.

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Stored = deed else { return Ok(()) };
    let Some(leader) = world.etcd.view.leader.as_ref().map(|kept| &kept.value) else {
        return Ok(());
    };
    let Some(new) = world.index(&leader.member) else { return Ok(()) };
    let left = (0..world.members.len()).filter(|&member| member != new);
    for member in left.filter(|&member| goes_on(world, member)) {
        let of = world.members[member].agent.consented;
        if of.is_some_and(|of| of.term < leader.term) {
            let what = format!("{} leads, and every member let another go on", leader.member);
            return Err(broken(world, "I15", vec![member, new], what));
        }
    }
    Ok(())
}

/// Its Postgres is open, and every member has let its newest leadership go on until later than now.
pub(super) fn goes_on(world: &World, member: usize) -> bool {
    let who = &world.members[member];
    let (Some(consented), Some(newest)) = (who.agent.consented, who.agent.remembered) else {
        return false;
    };
    let runs = who.clock.read(world.now) < consented.until && consented.term == newest.term;
    runs && who.postgres.open()
}
