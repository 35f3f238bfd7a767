//! I5: a member that granted a term receives no WAL of an older one, until `term` has moved past its grant.

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Received { member, source } = deed else { return Ok(()) };
    let agent = &world.members[member].agent;
    let Some(attempt) = &agent.promises.grant else { return Ok(()) };
    let (Some(kept), Some(wal)) = (&world.etcd.view.term, world.members[source].postgres.wal())
    else {
        return Ok(());
    };
    // Only a grant that was told, and that can still make a leader or has made one, binds.
    let told = agent.granted.as_ref() == Some(attempt);
    let written = world.wals.branch(wal.branch).term.unwrap_or_default();
    // Whom it granted, it follows; from there comes nothing that an older leader goes on writing.
    let follows = attempt.candidate == world.members[source].name;
    if !told || follows || kept.value.term > attempt.term || written >= attempt.term {
        return Ok(());
    }
    let what = format!("granted term {} and received WAL of term {written}", attempt.term);
    Err(broken(world, "I5", vec![member, source], what))
}
