//! I7: a member joins only the cluster of its own system identifier; a cluster is initialised once.

use super::{Ledger, Violation, broken};
use crate::world::{Deed, World};

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    match deed {
        Deed::Stored => {
            let cluster = world.etcd.view.cluster.as_ref();
            let creator = cluster.map(|kept| kept.value.creator.clone());
            let before = std::mem::replace(&mut ledger.creator, creator.clone());
            if let (Some(old), Some(new)) = (&before, &creator)
                && old != new
            {
                let what = format!("{old} initialises the cluster, and {new} does too");
                return Err(broken(world, "I7", vec![], what));
            }
            let now = cluster.and_then(|kept| kept.value.system_id);
            match (ledger.system, now) {
                (Some(old), new) if new != Some(old) => {
                    let what = format!("the cluster was {old} and is {new:?}");
                    Err(broken(world, "I7", vec![], what))
                }
                (_, new) => {
                    ledger.system = new;
                    Ok(())
                }
            }
        }
        Deed::Opened(member) => {
            let own = world.members[member].postgres.disk.map(|disk| disk.system);
            if own == ledger.system {
                return Ok(());
            }
            let what = format!("opened {own:?} in the cluster {:?}", ledger.system);
            Err(broken(world, "I7", vec![member], what))
        }
        Deed::Sourced { member, source } => {
            let system = |member: usize| world.members[member].postgres.disk.map(|d| d.system);
            match (system(member), system(source)) {
                (Some(own), Some(theirs)) if own != theirs => {
                    let what = format!("the data of {own} were told to follow those of {theirs}");
                    Err(broken(world, "I7", vec![member, source], what))
                }
                (Some(_) | None, Some(_) | None) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
