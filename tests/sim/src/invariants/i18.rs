//! I18: with `strict` in `quorum`, every commit that is acknowledged is on another member too.
//!
//! Not in the first moments after `strict` was set: the primary has to hear of it, and Postgres to take its list.

use super::{Ledger, Violation, broken};
use crate::time::At;
use crate::wal::Wal;
use crate::world::{Deed, World};

/// So long it may take to be strict.
const SOON: At = At::secs(10);

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    let kept = world.etcd.view.settings.as_ref().map(|kept| &kept.value);
    if !kept.unwrap_or(&world.plan.settings).strict {
        ledger.lax_at = world.now;
    }
    let Deed::Acknowledged { member, branch, end } = deed else { return Ok(()) };
    if world.now.since(ledger.lax_at) < SOON {
        return Ok(());
    }
    let commit = Wal { branch, end };
    let has = |other: &usize| {
        let disk = world.members[*other].postgres.disk;
        *other != member && disk.is_some_and(|disk| world.wals.holds(disk.wal, commit))
    };
    if (0..world.members.len()).any(|other| has(&other)) {
        return Ok(());
    }
    let what = format!("acknowledged at {}, and nobody else has it", world.wals.position(commit));
    Err(broken(world, "I18", vec![member], what))
}
