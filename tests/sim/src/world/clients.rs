//! Clients: they find a server, write, and remember what was acknowledged. They know no role but what they are told.

use haa_core::list::List;
use haa_core::observe::Door;
use haa_core::routes::Status;
use haa_core::units::{Incarnation, Lsn, MemberName};

use crate::client::{Acknowledged, Way};
use crate::postgres::Waiting;
use crate::time::At;
use crate::wal::Wal;
use crate::world::{Deed, Event, World};

/// A commit's WAL.
const COMMIT: u64 = 0x120;
/// What a checkpoint of an idle server writes.
const CHECKPOINT: u64 = 0x38;

impl World {
    /// A client writes once, and again after a while.
    pub(crate) fn client(&mut self, way: Way) {
        let every = self.conduct.write_every;
        if every.0 == 0 {
            return;
        }
        let pause = self.dice.span(At(every.0 / 2), At(every.0 * 3 / 2));
        self.later(pause, Event::Client(way));
        match way {
            Way::Routed => {
                self.routed_write();
                self.readers();
            }
            Way::Pinned => {
                let member = self.dice.below(self.members.len());
                self.write(member, Way::Pinned);
            }
        }
    }

    /// Asks one agent after the other, until one answers with a route, and writes there: at whom, and which write.
    pub(crate) fn routed_write(&mut self) -> Option<(usize, u64)> {
        let count = self.members.len();
        let first = self.dice.below(count);
        let asked = (first..first + count).map(|member| member % count);
        let member = asked.into_iter().find_map(|member| self.route(member))?;
        Some((member, self.write(member, Way::Routed)?))
    }

    fn route(&self, asked: usize) -> Option<usize> {
        let who = &self.members[asked];
        let status: &Status = who.agent.status.as_deref().filter(|_| who.agent.awake())?;
        let route = status.routes(who.clock.read(self.now)).ok()?.primary?;
        self.index(&route.member)
    }

    /// Writes at this member, if its Postgres lets anybody: which write it was. Acknowledged when it is.
    pub(crate) fn write(&mut self, member: usize, way: Way) -> Option<u64> {
        let shut = self.members[member].postgres.door == Door::Shut;
        // Who comes by a route connects anew; whoever is connected goes on.
        let deaf = self.members[member].postgres.deaf_for(self.now) > At(0);
        let full = self.now < self.members[member].postgres.full_until;
        if shut || full || way == Way::Routed && deaf || !self.grow(member, COMMIT) {
            return None;
        }
        self.serial += 1;
        let write = self.serial;
        let wal = self.members[member].postgres.wal()?;
        self.written.push(wal);
        // Whoever writes to a server that was promoted by hand writes into no cluster.
        if self.wals.branch(wal.branch).term.is_some() {
            let waiting = Waiting { write, way, end: wal.end };
            self.members[member].postgres.waiting.push(waiting);
            self.acknowledge(member);
        }
        Some(write)
    }

    /// The first reply of a receiver says that it flushed what it has replayed, and not on which timeline: before its
    /// source sees that it left that history, it counts for what it does not have (seen on 15 and 18).
    pub(crate) fn acknowledges_blindly(&mut self, member: usize, source: usize) {
        let who = &self.members[member];
        let Some(disk) = who.postgres.disk else { return };
        let Some(theirs) = self.members[source].postgres.wal() else { return };
        // A timeline that the source never had is refused before any reply.
        let begun = Wal { branch: disk.wal.branch, end: Lsn(0) };
        if !self.wals.holds(theirs, begun) {
            return;
        }
        let reply = (who.name.clone(), disk.incarnation, disk.replayed);
        self.release(source, Some(reply));
    }

    /// Lets go the commits that enough replicas have flushed, by any list that is in force somewhere.
    pub(crate) fn acknowledge(&mut self, member: usize) {
        self.release(member, None);
    }

    fn release(&mut self, member: usize, reply: Option<(MemberName, Incarnation, Lsn)>) {
        let postgres = &self.members[member].postgres;
        let (true, Some(wal)) = (postgres.open(), postgres.wal()) else { return };
        if self.now < postgres.stalled_until || postgres.waiting.is_empty() {
            return;
        }
        let replicas = self.walsenders(member);
        let said = |name: &MemberName, data: &Incarnation, end: Lsn| {
            reply
                .as_ref()
                .is_some_and(|reply| (&reply.0, &reply.1) == (name, data) && reply.2 >= end)
        };
        let speaks =
            |name: &MemberName| self.index(name).is_some_and(|other| self.net.open(other, member));
        let lets_go = |list: &List, end: Lsn| match list {
            List::Nobody => false,
            List::Nothing => true,
            List::Any { k, names } | List::FirstPadded { k, names } => {
                let has = |(name, data): &(&MemberName, &Incarnation)| {
                    let sender = replicas.get(*name).filter(|sender| sender.incarnation == **data);
                    let flushed = sender.is_some_and(|sender| sender.flushed >= end);
                    speaks(name) && (flushed || said(name, data, end))
                };
                names.iter().filter(has).count() >= *k as usize
            }
        };
        let done =
            |waiting: &&Waiting| postgres.lists.iter().any(|list| lets_go(list, waiting.end));
        let gone: Vec<Waiting> = postgres.waiting.iter().filter(done).copied().collect();
        let durable = self.etcd.view.sync.as_ref().is_some_and(|sync| sync.value.is_quorum());
        let let_go = |waiting: &Waiting| gone.iter().any(|done| done.write == waiting.write);
        self.members[member].postgres.waiting.retain(|waiting| !let_go(waiting));
        for Waiting { write, way, end } in gone {
            let commit = Acknowledged { write, at: self.now, member, branch: wal.branch, end };
            self.acknowledged.push(commit);
            if way == Way::Routed {
                self.routed_ack = Some(write);
            }
            if durable {
                let known = self.durable.entry(wal.branch).or_default();
                *known = (*known).max(end);
                self.deeds.push(Deed::Acknowledged { member, branch: wal.branch, end });
            }
        }
    }

    /// What every primary writes of its own accord, clients or none.
    pub(crate) fn background(&mut self) {
        for member in 0..self.members.len() {
            self.grow(member, CHECKPOINT);
        }
        let pause = self.dice.ms(8_000, 15_000);
        self.later(pause, Event::Background);
    }

    fn grow(&mut self, member: usize, bytes: u64) -> bool {
        let postgres = &mut self.members[member].postgres;
        if !postgres.open() || self.now < postgres.stalled_until {
            return false;
        }
        if self.now < postgres.disk_hangs_until {
            postgres.unflushed_since = postgres.unflushed_since.or(Some(self.now));
            return false;
        }
        postgres.unflushed_since = None;
        let Some(disk) = &mut postgres.disk else { return false };
        disk.wal.end.0 += bytes;
        disk.replayed = disk.wal.end;
        self.kick(member);
        true
    }
}
