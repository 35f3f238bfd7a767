//! A3: a leadership's timeline begins where its election said that the leader's WAL ends: all others compare their
//! WAL with that.

use haa_core::records::Holder;

use super::{Violation, broken};
use crate::wal::Wal;
use crate::world::{Deed, World};

pub(super) fn check(world: &World, deed: Deed) -> Result<(), Violation> {
    let Deed::Branched(id) = deed else { return Ok(()) };
    let made = world.wals.branch(id);
    let (Some((branch, end)), Some(term)) = (made.parent, made.term) else { return Ok(()) };
    let Some(kept) = &world.etcd.view.term else { return Ok(()) };
    let Holder::Leader { position, .. } = &kept.value.holder else { return Ok(()) };
    let fork = world.wals.position(Wal { branch, end });
    if kept.value.term != term || *position == fork {
        return Ok(());
    }
    let what = format!("elected with WAL up to {position}, and promoted at {fork}");
    Err(broken(world, "A3", vec![made.creator], what))
}
