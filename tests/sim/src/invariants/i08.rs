//! I8: no data directory is erased or overwritten unless another member leads in a later term.

use super::{Ledger, Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, ledger: &Ledger, deed: Deed) -> Result<(), Violation> {
    let Deed::Overwrites { member, lost } = deed else { return Ok(()) };
    let written = world.wals.branch(lost.branch).term.unwrap_or_default();
    let later = ledger.leaders.iter().any(|(term, &leader)| *term > written && leader != member);
    if later {
        return Ok(());
    }
    let what = format!("data of term {written} was overwritten, and nobody led later");
    Err(broken(world, "I8", vec![member], what))
}
