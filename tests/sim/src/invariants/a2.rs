//! A2: whoever leads was on the list in `sync` (in `quorum`: a voter), with the very data that it names; before there
//! is one, only the cluster's creator leads. An operator's failover goes over it.

use std::collections::BTreeMap;

use haa_core::reason::Reason;
use haa_core::units::{Incarnation, MemberName, Term};

use super::{Ledger, Violation, broken};
use crate::world::{Deed, World};

/// What etcd said before its last change.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    list: Option<BTreeMap<MemberName, Incarnation>>,
    leader: Option<(MemberName, Term)>,
}

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    let (Deed::Stored | Deed::Restored) = deed else { return Ok(()) };
    let now = Before::of(world);
    let before = std::mem::replace(&mut ledger.before, now.clone());
    let (Some((name, term)), Deed::Stored) = (&now.leader, deed) else { return Ok(()) };
    let asked = world.etcd.view.term.as_ref().map(|kept| kept.value.reason);
    if now.leader == before.leader || asked == Some(Reason::Failover) {
        return Ok(());
    }
    let Some(member) = world.index(name) else { return Ok(()) };
    let data = world.members[member].postgres.disk.map(|disk| disk.incarnation);
    let creator = world.etcd.view.cluster.as_ref().map(|kept| &kept.value.creator);
    let may = match &before.list {
        Some(list) => list.get(name).copied() == data,
        None => creator == Some(name),
    };
    if may {
        return Ok(());
    }
    let what = format!("elected in term {term} with data that were not on the list");
    Err(broken(world, "A2", vec![member], what))
}

impl Before {
    fn of(world: &World) -> Self {
        let view = &world.etcd.view;
        Self {
            list: view.sync.as_ref().map(|kept| {
                let sync = &kept.value;
                if sync.is_quorum() { sync.voters.clone() } else { sync.members.clone() }
            }),
            leader: view.leader.as_ref().map(|kept| (kept.value.member.clone(), kept.value.term)),
        }
    }
}
