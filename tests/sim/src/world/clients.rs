//! Clients: they find a server, write, and remember what was acknowledged. They know no role but what they are told.

use haa_core::routes::Status;

use crate::client::{Acknowledged, Way};
use crate::time::At;
use crate::world::{Event, World};

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
            Way::Routed => drop(self.routed_write()),
            Way::Pinned => {
                let member = self.dice.below(self.members.len());
                self.write(member);
            }
        }
    }

    /// Asks one agent after the other, until one answers with a route, and writes there.
    pub(crate) fn routed_write(&mut self) -> Option<usize> {
        let count = self.members.len();
        let first = self.dice.below(count);
        let asked = (first..first + count).map(|member| member % count);
        let member = asked.into_iter().find_map(|member| self.route(member))?;
        self.write(member).then_some(member)
    }

    fn route(&self, asked: usize) -> Option<usize> {
        let who = &self.members[asked];
        let status: &Status = who.agent.status.as_deref().filter(|_| who.agent.awake())?;
        let route = status.routes(who.clock.read(self.now)).ok()?.primary?;
        self.index(&route.member)
    }

    /// Writes at this member, if its Postgres lets anybody; the commit is acknowledged once flushed there.
    pub(crate) fn write(&mut self, member: usize) -> bool {
        if !self.grow(member, COMMIT) {
            return false;
        }
        let wal = self.members[member].postgres.wal();
        // Whoever writes to a server that was promoted by hand writes into no cluster.
        let wal = wal.filter(|wal| self.wals.branch(wal.branch).term.is_some());
        if let Some(wal) = wal {
            let (branch, end) = (wal.branch, wal.end);
            self.acknowledged.push(Acknowledged { at: self.now, member, branch, end });
        }
        true
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
        let Some(disk) = &mut postgres.disk else { return false };
        disk.wal.end.0 += bytes;
        disk.replayed = disk.wal.end;
        self.kick(member);
        true
    }
}
