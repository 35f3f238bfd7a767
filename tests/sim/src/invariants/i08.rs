//! I8: no data directory is erased or overwritten unless another member leads in a later term.
//!
//! A copy that never became consistent is nobody's data: it may be made anew under the leader that it was made of.

use super::{Ledger, Violation, broken};
use crate::world::{Deed, Held, World};

pub(super) fn check(world: &World, ledger: &Ledger, deed: Deed) -> Result<(), Violation> {
    let Deed::Overwrites { member, lost, was } = deed else { return Ok(()) };
    let written = world.wals.branch(lost.branch).term.unwrap_or_default();
    let enough = |term| match was {
        Held::Data => term > written,
        Held::IncompleteCopy => term >= written,
    };
    let later = ledger.leaders.iter().any(|(term, &leader)| enough(*term) && leader != member);
    if later {
        return Ok(());
    }
    let lost = world.wals.position(lost);
    let what = format!("data up to {lost}, of term {written}, were overwritten; nobody led later");
    Err(broken(world, "I8", vec![member], what))
}
