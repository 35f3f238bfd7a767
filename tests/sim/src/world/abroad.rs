//! The other cluster, of which this world has one Postgres and nothing else: no agent, no etcd. It is the last of the
//! members.

use haa_core::effect::Source;
use haa_core::list::List;
use haa_core::observe::{Door, Server, Shutdown};
use haa_core::site::Site;
use haa_core::units::{Incarnation, Lsn, SystemId, Term, Timeline};

use crate::postgres::{Disk, Process, address};
use crate::wal::{Branch, Wal};
use crate::world::server::End;
use crate::world::{Deed, World};

/// What a story does with the other cluster.
#[derive(Clone, Copy, Debug)]
pub enum Abroad {
    /// Another member of it takes over, with all that was committed.
    FailsOver,
    /// The same, without so many of the last commits.
    Loses(u64),
    /// Who took over is lost with all of its timeline, and another takes over that has not heard of it.
    LosesTimeline,
    /// Its primary ends, in order, and what it wrote is everywhere.
    Stops,
    /// It is a copy of this member, and streams from it.
    Follows(usize),
    /// It accepts writes, on a timeline of its own.
    Promotes,
}

/// Terms of the other cluster are none of ours.
const NO_TERM: Term = Term(0);

impl World {
    /// Where that cluster is found.
    #[must_use]
    pub fn site(&self) -> Option<Site> {
        let other = self.plan.other_site?;
        Some(Site { hosts: vec![address(other)], slot: None })
    }

    /// Whom this source is.
    pub(crate) fn whence(&self, source: &Source) -> Option<usize> {
        match &source.site {
            Some(_) => self.plan.other_site,
            None => self.index(&source.member),
        }
    }

    /// It began before this world did.
    pub(crate) fn begin_abroad(&mut self, other: usize) {
        let system = SystemId(9);
        let branch = Branch {
            timeline: Timeline(3),
            parent: None,
            creator: other,
            term: Some(NO_TERM),
            system,
        };
        let wal = Wal { branch: self.wals.grow(branch), end: Lsn(0x0300_0000) };
        let postgres = &mut self.members[other].postgres;
        postgres.disk = Some(Disk {
            system,
            incarnation: Incarnation(9),
            wal,
            replayed: wal.end,
            consistent_at: None,
            untouched: false,
            shutdown: Shutdown::Crashed,
            oldest: Lsn(0),
            history: None,
        });
        postgres.process = Process::Primary;
        postgres.lists = vec![List::Nothing];
        postgres.door = Door::Open;
    }

    /// What a new standby cluster begins with.
    pub(crate) fn copy_abroad(&mut self, member: usize, other: usize) -> Result<(), &'static str> {
        let theirs = &self.members[other].postgres;
        let disk = theirs.disk.filter(|_| theirs.open()).ok_or("the other cluster is silent")?;
        let shutdown = Shutdown::Standby;
        let incarnation = Incarnation(self.dice.number());
        self.members[member].postgres.disk =
            Some(Disk { incarnation, shutdown, untouched: true, ..disk });
        self.deeds.push(Deed::Initialised(member));
        Ok(())
    }

    pub(crate) fn abroad(&mut self, what: Abroad) {
        let Some(other) = self.plan.other_site else { return };
        match what {
            Abroad::Stops => self.end_server(other, End::Killed, Shutdown::Crashed),
            Abroad::FailsOver => self.fail_over_abroad(other, 0),
            Abroad::Loses(bytes) => self.fail_over_abroad(other, bytes),
            Abroad::LosesTimeline => self.lose_timeline_abroad(other),
            Abroad::Follows(member) => {
                let Some(disk) = self.members[member].postgres.disk else { return };
                let postgres = &mut self.members[other].postgres;
                postgres.disk = Some(Disk { incarnation: Incarnation(9), ..disk });
                postgres.process = Process::Standby;
                postgres.run += 1;
                self.point(other, Some(member));
            }
            Abroad::Promotes => {
                if let Some(newest) = self.newest_timeline(other) {
                    self.open_abroad(other, Timeline(newest.0 + 16));
                }
            }
        }
    }

    fn fail_over_abroad(&mut self, other: usize, lost: u64) {
        let Some(newest) = self.newest_timeline(other) else { return };
        self.end_server(other, End::Killed, Shutdown::Crashed);
        if let Some(disk) = &mut self.members[other].postgres.disk {
            disk.wal.end.0 -= lost;
        }
        self.open_abroad(other, Timeline(newest.0 + 2));
    }

    fn lose_timeline_abroad(&mut self, other: usize) {
        let Some(newest) = self.newest_timeline(other) else { return };
        self.end_server(other, End::Killed, Shutdown::Crashed);
        let Some(disk) = &mut self.members[other].postgres.disk else { return };
        let Some((branch, end)) = self.wals.branch(disk.wal.branch).parent else { return };
        (disk.wal, disk.replayed) = (Wal { branch, end }, end);
        self.open_abroad(other, Timeline(newest.0 + 2));
    }

    fn open_abroad(&mut self, other: usize, timeline: Timeline) {
        self.members[other].postgres.run += 1;
        self.promoted(other, timeline, Some(NO_TERM));
        let postgres = &mut self.members[other].postgres;
        postgres.lists = vec![List::Nothing];
        postgres.door = Door::Open;
        // It is no opening of this cluster's.
        self.deeds.retain(|deed| match deed {
            Deed::Opened(member) | Deed::DoorOpened(member) => *member != other,
            _ => true,
        });
    }

    /// What a look shows of another cluster: one address for all of it, and its standbys apart from ours.
    pub(crate) fn look_abroad(&self, member: usize, server: &mut Server) {
        let Some(other) = self.plan.other_site else { return };
        match server {
            Server::Standby(standby) if self.members[member].postgres.source == Some(other) => {
                standby.source = self.site().map(|site| site.address());
            }
            Server::Primary(primary) => {
                let name = &self.members[other].name;
                primary.abroad.extend(primary.replicas.remove_entry(name));
            }
            Server::Standby(_)
            | Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Stopped(_) => {}
        }
    }

    /// Whether this cluster follows the other now.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.etcd.view.sync.as_ref().is_some_and(|kept| kept.value.standby.is_some())
    }
}
