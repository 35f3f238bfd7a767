//! I2: in `quorum`, an acknowledged commit is never lost. I4: a leader's WAL holds every commit acknowledged before.
//!
//! Judged by positions: when a commit is acknowledged, every leadership that began later must hold it already; when one
//! begins, it must hold whatever was acknowledged.

use super::{Violation, broken, lacks};
use crate::wal::{BranchId, Wal};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    match deed {
        Deed::Acknowledged { member, branch, end } => {
            let commit = Wal { branch, end };
            let term = world.wals.branch(branch).term;
            for (id, later) in world.wals.all().iter().enumerate() {
                let Some((parent, fork)) = later.parent else { continue };
                let began = Wal { branch: parent, end: fork };
                let id = BranchId(id as u32);
                if later.term > term && id != branch && !world.wals.holds(began, commit) {
                    let members = vec![member, later.creator];
                    let what = format!(
                        "a commit at {} was acknowledged, and the leader of term {:?} does not have it",
                        world.wals.position(commit),
                        later.term
                    );
                    return Err(broken(world, "I2", members, what));
                }
            }
            Ok(())
        }
        Deed::Opened(member) => {
            let known = world.durable.iter().map(|(&branch, &end)| ((), Wal { branch, end }));
            let Some(((), commit, wal)) = lacks(world, member, known) else { return Ok(()) };
            let what = format!(
                "promoted at {} without the acknowledged commit at {}",
                world.wals.position(wal),
                world.wals.position(commit)
            );
            Err(broken(world, "I4", vec![member], what))
        }
        _ => Ok(()),
    }
}
