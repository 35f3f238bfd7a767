//! I1: at any instant at most one member can acknowledge a write. A server that somebody promoted by hand is not the
//! cluster's; that it is closed soon is for a story to show.

use haa_core::list::List;

use super::{Violation, broken, excused, quorum};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Opened(_) = deed else { return Ok(()) };
    // There the one that was deposed stays open until it notices, and acknowledges nothing: I2 judges that.
    if quorum(world) {
        return Ok(());
    }
    let open = |member: &usize| {
        let postgres = &world.members[*member].postgres;
        let elected =
            postgres.wal().is_some_and(|wal| world.wals.branch(wal.branch).term.is_some());
        // Whose commits still wait for voters was deposed before an operator chose `async`.
        let ours = world.plan.other_site != Some(*member);
        postgres.open() && ours && elected && postgres.lists.contains(&List::Nothing)
    };
    let writers: Vec<usize> = (0..world.members.len()).filter(open).collect();
    if writers.len() <= 1 || writers.iter().any(|&member| excused(world, member)) {
        return Ok(());
    }
    Err(broken(world, "I1", writers, "more than one Postgres accepts writes".to_owned()))
}
