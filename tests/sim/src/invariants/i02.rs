//! I2: in `quorum`, an acknowledged commit is never lost. I4: a leader's WAL holds every commit acknowledged before.
//!
//! Judged by positions: when a commit is acknowledged, every leadership that began later must hold it already; when one
//! begins, it must hold whatever was acknowledged.

use super::{Violation, broken};
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
            let wal = world.members[member].postgres.wal();
            let Some(wal) = wal.filter(|wal| world.wals.branch(wal.branch).term.is_some()) else {
                return Ok(());
            };
            // A promotion that comes late, of whoever was deposed meanwhile, owes nothing to the terms after its own.
            let term = world.wals.branch(wal.branch).term;
            let earlier = |branch: &BranchId| world.wals.branch(*branch).term < term;
            for (&branch, &end) in world.durable.iter().filter(|(branch, _)| earlier(branch)) {
                let commit = Wal { branch, end };
                if !world.wals.holds(wal, commit) {
                    let what = format!(
                        "promoted at {} without the acknowledged commit at {}",
                        world.wals.position(wal),
                        world.wals.position(commit)
                    );
                    return Err(broken(world, "I4", vec![member], what));
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
