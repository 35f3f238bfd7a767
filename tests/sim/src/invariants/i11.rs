//! I11: when a Leadership lapses, writes are closed before the lease can end elsewhere. Where every member lets a
//! primary go on without a lease, I15 is demanded instead.

use super::{Violation, broken, excused, quorum};
use crate::world::store::Gone;
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::LeaderGone { member, term, how } = deed else { return Ok(()) };
    match how {
        // Nothing that a member does can help against an etcd that breaks its word.
        Gone::Early => return Ok(()),
        // Without its voters it acknowledges nothing, whatever its lease says.
        Gone::By(other) if other != member && quorum(world) => return Ok(()),
        Gone::Expired | Gone::By(_) => {}
    }
    if !world.members[member].postgres.open() || excused(world, member) {
        return Ok(());
    }
    if super::i15::goes_on(world, member) {
        return Ok(());
    }
    let what = format!("the leadership of term {term} ended ({how:?}) with writes open");
    Err(broken(world, "I11", vec![member], what))
}
