//! A5: whom an operator has drained does not lead.

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Stored = deed else { return Ok(()) };
    let view = &world.etcd.view;
    let leader = view.leader.as_ref().map(|kept| &kept.value.member);
    match leader.filter(|leader| view.drained.contains_key(*leader)) {
        Some(leader) => {
            let members = world.index(leader).into_iter().collect();
            Err(broken(world, "A5", members, format!("{leader} leads, and is drained")))
        }
        None => Ok(()),
    }
}
