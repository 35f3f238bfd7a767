//! Replication slots, and WAL that is thrown away because no slot holds it. Does what Postgres does.

use std::collections::BTreeSet;

use haa_core::effect::Strangers;
use haa_core::units::{Lsn, MemberName};

use crate::postgres::Process;
use crate::world::World;

/// How much WAL slots hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Much {
    /// It stays.
    Bearable,
    /// More than `max_slot_wal_keep_size`: they lose it.
    TooMuch,
}

impl World {
    /// The slots of a server that runs are made as wished: a primary's hold WAL from now on, a standby's none.
    pub(crate) fn keep_slots(
        &mut self,
        member: usize,
        wanted: &BTreeSet<MemberName>,
        strangers: &Strangers,
    ) {
        let used = self.streaming_from(member);
        let postgres = &mut self.members[member].postgres;
        let holds = match postgres.process {
            Process::Primary => postgres.wal().map(|wal| wal.end),
            Process::Standby => None,
            Process::Down | Process::Starting | Process::Promoting(_) => return,
        };
        postgres.slots.retain(|name, _| {
            let stays = match strangers {
                Strangers::Kept => true,
                Strangers::Dropped => wanted.contains(name),
                Strangers::Named(whose) => !whose.contains(name),
            };
            stays || used.contains(name)
        });
        for name in wanted {
            let slot = postgres.slots.entry(name.clone()).or_insert(holds);
            if slot.is_some() != holds.is_some() && !used.contains(name) {
                *slot = holds;
            }
        }
    }

    /// A promotion makes those that are missing; its own walsender takes a slot along.
    pub(crate) fn make_slots(&mut self, member: usize, wanted: &BTreeSet<MemberName>) {
        let postgres = &mut self.members[member].postgres;
        let holds = postgres.wal().map(|wal| wal.end);
        for name in wanted {
            postgres.slots.entry(name.clone()).or_insert(holds);
        }
    }

    fn streaming_from(&self, source: usize) -> BTreeSet<MemberName> {
        self.walsenders(source).into_keys().collect()
    }

    /// Whoever streams has its slot, if there is one, hold what it has not flushed.
    pub(crate) fn advance_slots(&mut self, source: usize) {
        for (name, sender) in self.walsenders(source) {
            if let Some(slot) = self.members[source].postgres.slots.get_mut(&name) {
                *slot = Some(sender.flushed);
            }
        }
    }

    /// A checkpoint throws away the WAL that no slot holds; and what slots hold too, where it has come to be too much.
    pub(crate) fn recycle(&mut self, member: usize, much: Much) {
        self.advance_slots(member);
        let postgres = &mut self.members[member].postgres;
        if much == Much::TooMuch {
            postgres.slots.values_mut().for_each(|slot| *slot = None);
        }
        let held = postgres.slots.values().copied().flatten().min();
        if let Some(disk) = &mut postgres.disk {
            let end: Lsn = disk.wal.end;
            disk.oldest = disk.oldest.max(held.map_or(end, |held| held.min(end)));
        }
    }
}
