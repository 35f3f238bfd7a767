//! I5: a member that granted a term receives and writes no WAL of an older one, until `term` has moved past its grant.

use haa_core::units::Term;

use super::{Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let (member, source) = match deed {
        Deed::Received { member, source } => (member, source),
        // A promotion that was asked for before the grant, and that nothing recalled.
        Deed::Opened(member) => (member, member),
        _ => return Ok(()),
    };
    // Only a grant that was told, and that can still make a leader or has made one, binds.
    let Some(attempt) = &world.members[member].agent.granted else { return Ok(()) };
    let (Some(kept), Some(wal)) = (&world.etcd.view.term, world.members[source].postgres.wal())
    else {
        return Ok(());
    };
    let made = world.wals.branch(wal.branch);
    // What somebody promoted by hand is no leadership's.
    if source == member && made.term.is_none() {
        return Ok(());
    }
    let written: Term = made.term.unwrap_or_default();
    // Whom it granted, it follows; from there comes nothing that an older leader goes on writing.
    let follows = source != member && attempt.candidate == world.members[source].name;
    if follows || kept.value.term > attempt.term || written >= attempt.term {
        return Ok(());
    }
    let does = if source == member { "left recovery in" } else { "received WAL of" };
    let what = format!("granted term {} and {does} term {written}", attempt.term);
    let mut members = vec![member, source];
    members.dedup();
    Err(broken(world, "I5", members, what))
}
