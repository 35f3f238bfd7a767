//! I17: in `quorum` with k = 1, what readers saw on a replica that they were sent to is never taken back.
//!
//! With a greater k a voter may show what only it has, and those who elect need not ask it: Postgres shows what it
//! replays, acknowledged or not. The same goes for replicas that are never to vote, for whoever asks for those.

use std::collections::BTreeMap;

use haa_core::records::SyncRecord;
use haa_core::units::Term;

use super::{Ledger, Violation, broken, lacks};
use crate::wal::Wal;
use crate::world::{Deed, World};

/// What was shown, by whom, since who votes did not change for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    newest: BTreeMap<usize, Wal>,
    sync: Option<SyncRecord>,
    /// The newest term that was seen with another k: what was written until then need not be on all voters.
    loose: Term,
}

pub(super) fn check(world: &World, ledger: &mut Ledger, deed: Deed) -> Result<(), Violation> {
    let sync = || world.etcd.view.sync.as_ref().map(|kept| &kept.value);
    match deed {
        Deed::Stored => {
            ledger.shown.learn(world, sync());
            Ok(())
        }
        Deed::Shown { member, commit } => {
            let held = sync().is_some_and(|sync| sync.is_quorum() && sync.k == 1);
            let votes = world.plan.tags.get(&member).is_none_or(|tags| tags.votes());
            let loose = world.wals.branch(commit.branch).term <= Some(ledger.shown.loose);
            if held && votes && !loose {
                ledger.shown.newest.insert(member, commit);
            }
            Ok(())
        }
        Deed::Opened(member) => {
            let shown = ledger.shown.newest.iter().map(|(&reader, &commit)| (reader, commit));
            let Some((reader, commit, wal)) = lacks(world, member, shown) else { return Ok(()) };
            let what = format!(
                "promoted at {} without the commit at {} that was read",
                world.wals.position(wal),
                world.wals.position(commit)
            );
            Err(broken(world, "I17", vec![member, reader], what))
        }
        _ => Ok(()),
    }
}

impl Shown {
    /// Who leaves the voters may show what the others are not asked to have: from that moment on nobody is sent there.
    fn learn(&mut self, world: &World, sync: Option<&SyncRecord>) {
        if self.sync.as_ref() == sync {
            return;
        }
        let before = std::mem::replace(&mut self.sync, sync.cloned());
        if let Some(sync) = sync.filter(|sync| sync.k != 1) {
            self.loose = self.loose.max(sync.term);
        }
        let (Some(before), Some(now)) = (before, sync) else { return self.newest.clear() };
        if before.k != now.k || before.durability != now.durability {
            return self.newest.clear();
        }
        self.newest.retain(|member, _| {
            let name = &world.members[*member].name;
            let was = before.voters.get(name);
            was.is_none() || was == now.voters.get(name)
        });
    }
}
