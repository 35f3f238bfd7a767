//! I14: one leadership, one timeline: a timeline number is created by at most one member, in one term.

use super::{Ledger, Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    let Deed::Branched(id) = deed else { return Ok(()) };
    let branch = world.wals.branch(id);
    // What somebody made by hand is no leadership's; initdb's is the first.
    if branch.parent.is_some() && branch.term.is_none() {
        return Ok(());
    }
    let known = *ledger.timelines.entry(branch.timeline).or_insert(id);
    if known != id {
        let members = vec![world.wals.branch(known).creator, branch.creator];
        let what = format!("timeline {} was made twice", branch.timeline);
        return Err(broken(world, "I14", members, what));
    }
    if world.plan.other_site == Some(branch.creator) {
        // Of its leaderships nothing is known here.
        return Ok(());
    }
    let same_term = |other: &&haa_core::units::Term| Some(**other) == branch.term;
    let twice = ledger.timelines.values().filter(|&&other| other != id);
    if twice.filter_map(|&other| world.wals.branch(other).term.as_ref()).any(|t| same_term(&t)) {
        let what = format!("term {:?} made a second timeline, {}", branch.term, branch.timeline);
        return Err(broken(world, "I14", vec![branch.creator], what));
    }
    Ok(())
}
