//! I3: a term has at most one leader; terms only grow.

use haa_core::records::Holder;

use super::{Ledger, Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    let Deed::Stored = deed else { return Ok(()) };
    let term = world.term();
    if term < ledger.highest {
        let what = format!("the term went back from {} to {term}", ledger.highest);
        return Err(broken(world, "I3", vec![], what));
    }
    ledger.highest = term;
    let view = &world.etcd.view;
    if let Some(leader) = &view.leader {
        note(world, ledger, leader.value.term, &leader.value.member)?;
    }
    match view.term.as_ref().map(|kept| &kept.value.holder) {
        Some(Holder::Leader { member, .. } | Holder::Released { member, .. }) => {
            note(world, ledger, term, member)
        }
        Some(Holder::Candidate { .. }) | None => Ok(()),
    }
}

fn note(
    world: &World,
    ledger: &mut Ledger,
    term: haa_core::units::Term,
    name: &haa_core::units::MemberName,
) -> Result<(), Violation> {
    let Some(member) = world.index(name) else { return Ok(()) };
    let known = *ledger.leaders.entry(term).or_insert(member);
    if known == member {
        return Ok(());
    }
    Err(broken(world, "I3", vec![known, member], format!("term {term} has two leaders")))
}
