//! I8: no data directory is erased or overwritten unless another member leads in a later term, or has all of it.
//!
//! A copy that never became consistent is nobody's data: it may be made anew under the leader that it was made of.

use haa_core::records::{Ask, RequestState};

use super::{Ledger, Violation, broken};
use crate::world::{Deed, Held, World};

pub(super) fn check(world: &World, ledger: &Ledger, deed: Deed) -> Result<(), Violation> {
    let Deed::Overwrites { member, lost, was } = deed else { return Ok(()) };
    let written = world.wals.branch(lost.branch).term.unwrap_or_default();
    let enough = |term| match was {
        Held::Data => term > written,
        Held::IncompleteCopy => term >= written,
    };
    let others = || ledger.leaders.iter().filter(|&(_, &leader)| leader != member);
    let later = others().any(|(term, _)| enough(*term));
    // A replica that cannot catch up is made anew under the leader that it followed. So is one that an operator wants
    // anew: the leader may be lost in that moment, and the real clone keeps the old data until the copy is whole.
    let asked = world.etcd.view.requests.values().any(|kept| {
        let Ask::Reinit { member: of, .. } = &kept.value.ask else { return false };
        let accepted = matches!(kept.value.state, RequestState::Accepted { .. });
        accepted && world.index(of) == Some(member)
    });
    let has_all = |leader: usize| {
        let theirs = &world.members[leader].postgres;
        (asked || theirs.open()) && theirs.wal().is_some_and(|wal| world.wals.holds(wal, lost))
    };
    // An operator has the leader of a standby cluster copied anew, which left the history of the other.
    let given_up = asked && world.is_standby();
    if given_up || later || others().any(|(term, &leader)| *term >= written && has_all(leader)) {
        return Ok(());
    }
    let lost = world.wals.position(lost);
    let what = format!("data up to {lost}, of term {written}, were overwritten; nobody led later");
    Err(broken(world, "I8", vec![member], what))
}
