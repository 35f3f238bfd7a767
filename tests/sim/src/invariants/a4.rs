//! A4: a Postgres that is out of recovery in no leadership - somebody promoted it by hand, or it took another timeline
//! than it was told - is closed within seconds by an agent that runs and can look.

use super::{Ledger, Violation, broken};
use crate::time::At;
use crate::world::{Deed, World};

/// A look, and the end of a server, slow as things may be.
const SOON: At = At::secs(3);

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    match deed {
        Deed::Opened(member) if is_stray(world, member) => {
            ledger.strays.insert(member, world.now);
        }
        Deed::Opened(member) | Deed::Closed(member) => drop(ledger.strays.remove(&member)),
        Deed::Published(_) => {}
        _ => return Ok(()),
    }
    let late = |(member, opened): (&usize, &At)| {
        let who = &world.members[*member];
        let (agent, now) = (&who.agent, world.local(*member));
        let sees = agent.blind_until.max(who.postgres.stalled_until);
        let since = agent.awake_since.max(*opened).max(sees);
        // A restarted agent has until then to find its own leadership alive.
        let may_lead = agent.remembered.is_some_and(|remembered| now < remembered.until);
        // One that only waits for its disk to end writes nothing any more.
        who.postgres.open() && agent.awake() && !may_lead && world.now.since(since) >= SOON
    };
    match ledger.strays.iter().find(|stray| late(*stray)) {
        Some((&member, _)) => {
            let what = "out of recovery in no leadership, and not closed".to_owned();
            Err(broken(world, "A4", vec![member], what))
        }
        None => Ok(()),
    }
}

fn is_stray(world: &World, member: usize) -> bool {
    let wal = world.members[member].postgres.wal();
    wal.is_some_and(|wal| world.wals.branch(wal.branch).term.is_none())
}
