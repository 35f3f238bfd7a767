//! I9: `/primary` answers 200 only with an unexpired Leadership and a Postgres out of recovery, on the timeline of that
//! leadership; never on two members.

use super::{Ledger, Violation, broken, excused, quorum};
use crate::postgres::Process;
use crate::world::{Deed, World};

pub(super) fn check(world: &World, ledger: &Ledger, deed: Deed) -> Result<(), Violation> {
    let Deed::Published(_) = deed else { return Ok(()) };
    let says = |member: &usize| {
        let who = &world.members[*member];
        let status = who.agent.status.as_ref().filter(|_| who.agent.awake());
        status.is_some_and(|status| status.primary(who.clock.read(world.now)).is_ok())
    };
    let primaries: Vec<usize> = (0..world.members.len()).filter(says).collect();
    // With voters, both say yes for less than `suspect_after`, and one of them acknowledges nothing.
    if primaries.len() > 1
        && !quorum(world)
        && !primaries.iter().any(|&member| believes_in_voters(world, member))
        && !primaries.iter().any(|&member| excused(world, member))
    {
        return Err(broken(world, "I9", primaries, "/primary says yes on both".to_owned()));
    }
    for member in primaries {
        // A Postgres that has just died is still called primary until its end is noticed; one in recovery never is.
        match world.members[member].postgres.process {
            Process::Primary if !is_its_own(world, ledger, member) => {
                let what = "/primary says yes on a timeline of another leadership, or of none";
                return Err(broken(world, "I9", vec![member], what.to_owned()));
            }
            Process::Primary | Process::Down => {}
            Process::Starting | Process::Standby | Process::Promoting(_) => {
                let what = "/primary says yes, and Postgres is in recovery".to_owned();
                return Err(broken(world, "I9", vec![member], what));
            }
        }
    }
    Ok(())
}

/// It has not seen yet that an operator chose `async`, and acknowledges nothing without its voters.
fn believes_in_voters(world: &World, member: usize) -> bool {
    let status = world.members[member].agent.status.as_ref();
    status.and_then(|status| status.sync.as_ref()).is_some_and(|sync| sync.is_quorum())
}

fn is_its_own(world: &World, ledger: &Ledger, member: usize) -> bool {
    let who = &world.members[member];
    let proof = who.agent.status.as_ref().and_then(|status| status.leadership);
    let made = who.postgres.wal().map(|wal| world.wals.branch(wal.branch));
    let (Some(made), Some(proof)) = (made, proof) else { return false };
    let Some(made_in) = made.term.filter(|term| *term <= proof.term()) else { return false };
    // A renewal is a later term of the same leadership, on the same timeline: nobody else led in between.
    let mut since = ledger.leaders.range(made_in..=proof.term());
    made_in == proof.term() || made.creator == member && since.all(|(_, leader)| *leader == member)
}
