//! Replication slots, and WAL that is thrown away because no slot holds it. Does what Postgres does.

use std::collections::{BTreeMap, BTreeSet};

use haa_core::effect::{Kept, Strangers};
use haa_core::settings::KeptSlot;
use haa_core::units::{Lsn, MemberName};

use crate::postgres::{Process, Stream};
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

    /// A primary has those that may be made; a standby all physical ones, and of the logical ones a copy of what its
    /// source has, if that is a primary.
    pub(crate) fn keep_operators_slots(&mut self, member: usize, kept: &Kept) {
        let process = self.members[member].postgres.process;
        let source = self.members[member].postgres.source;
        let joined = self.members[member].postgres.stream;
        let joined = matches!(joined, Stream::Joined { .. });
        let source = source.filter(|source| joined && self.net.joined(member, *source));
        let source = source.map(|source| &self.members[source].postgres);
        let source = source.filter(|source| source.process == Process::Primary);
        let source = source.map(|source| source.kept.clone());
        if !matches!(process, Process::Primary | Process::Standby) {
            return;
        }
        self.members[member].postgres.lacks = None;
        for (name, slot) in &kept.slots {
            let logical = matches!(slot, KeptSlot::Logical { .. });
            let copied = source.as_ref().is_some_and(|there| there.contains(name))
                && self.conduct.copies_fail == 0;
            let may = match process {
                Process::Primary => kept.new.contains(name),
                _ => copied,
            };
            let postgres = &mut self.members[member].postgres;
            if postgres.kept.contains(name) {
                continue;
            }
            let primary = process == Process::Primary;
            if logical && !may && !primary {
                postgres.lacks.get_or_insert_with(|| name.clone());
            }
            let (news, what) = match !logical || may {
                true => (postgres.kept.insert(name.clone()), "made"),
                false => (primary && postgres.lost.insert(name.clone()), "is lost"),
            };
            if primary && news {
                self.say(|world| format!("{} slot {name}: {what}", world.members[member].name));
            }
        }
    }

    /// A primary's slots that nobody uses go on to what their members have.
    pub(crate) fn pass_slots(&mut self, member: usize, reached: &BTreeMap<MemberName, Lsn>) {
        let used = self.streaming_from(member);
        let postgres = &mut self.members[member].postgres;
        if postgres.process != Process::Primary {
            return;
        }
        for (name, lsn) in reached.iter().filter(|(name, _)| !used.contains(*name)) {
            if let Some(Some(slot)) = postgres.slots.get_mut(name) {
                *slot = (*slot).max(*lsn);
                self.sometimes.count("slot of a member that streams from a standby went on");
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
