//! What happens to a Postgres of a small world: starts, streams, promotions, ends. Never why.

use std::collections::BTreeMap;
use std::rc::Rc;

use haa_core::effect::{Job, Source};
use haa_core::input::JobResult;
use haa_core::list::List;
use haa_core::observe::{Shutdown, SyncState, Walsender};
use haa_core::units::{Lsn, MemberName, Term};

use crate::model::sometimes::Sometimes;
use crate::model::state::{Commit, State, name};
use crate::postgres::{Busy, Postgres, Process, Ready, Stream};
use crate::wal::{Branch, Wal};

/// A promotion writes an end-of-recovery record, a shutdown its checkpoint.
const RECORD: u64 = 0x10;
/// A client's transaction.
const WRITE: u64 = 0x100;

const JOINED: Stream = Stream::Joined { run: 0, mute_since: None, busy: Busy::No };

/// The processes end. The counters that tell runs apart stand still: nothing here outlives a run.
pub(super) const fn end(postgres: &mut Postgres, how: Shutdown) {
    postgres.process = Process::Down;
    postgres.stream = Stream::Idle;
    postgres.ready = Ready::NotYet;
    if let Some(disk) = &mut postgres.disk {
        disk.shutdown = how;
    }
}

impl State {
    pub(super) fn start_server(
        &mut self,
        member: usize,
        source: Option<&Source>,
    ) -> Result<(), &'static str> {
        let source = match source {
            Some(source) => Some(self.index(&source.member).ok_or("no such member")?),
            None => None,
        };
        let postgres = &mut self.member(member).postgres;
        let Some(disk) = &mut postgres.disk else { return Err("there is no data to start") };
        if postgres.process != Process::Down {
            return Err("Postgres is running");
        }
        if disk.consistent_at.is_some() && source.is_none() {
            return Err("the data needs a source to stream from");
        }
        disk.untouched = false;
        disk.replayed = disk.wal.end;
        postgres.process = Process::Starting;
        self.point(member, source);
        Ok(())
    }

    /// Writes `primary_conninfo`.
    pub(super) fn point(&mut self, member: usize, source: Option<usize>) {
        let postgres = &mut self.member(member).postgres;
        postgres.source = source;
        postgres.stream = Stream::Idle;
        if let Some(source) = source {
            self.judge_source(member, source);
        }
    }

    /// A start comes to a connection.
    pub(super) fn started(&mut self, member: usize) {
        if self.can_stream(member) {
            self.stream(member);
        }
        let postgres = &mut self.member(member).postgres;
        let Some(disk) = &mut postgres.disk else { return };
        disk.consistent_at = None;
        if postgres.process == Process::Starting {
            postgres.process = Process::Standby;
            postgres.ready = Ready::Yes;
        }
        self.work_ends(member, JobResult::Done);
    }

    /// A Postgres that was to leave recovery does.
    pub fn promoted(&mut self, member: usize, term: Option<Term>) {
        let postgres = &mut self.member(member).postgres;
        let (Some(disk), Process::Promoting(timeline)) = (postgres.disk, postgres.process) else {
            return;
        };
        let parent = Some((disk.wal.branch, disk.wal.end));
        let branch = Branch { timeline, parent, creator: member, term, system: disk.system };
        let branch = Rc::make_mut(&mut self.wals).grow(branch);
        let postgres = &mut self.member(member).postgres;
        if let Some(disk) = &mut postgres.disk {
            disk.wal = Wal { branch, end: Lsn(disk.wal.end.0 + RECORD) };
            disk.replayed = disk.wal.end;
        }
        postgres.process = Process::Primary;
        postgres.lists = vec![List::Nothing];
        postgres.source = None;
        postgres.stream = Stream::Idle;
        self.say(|_| format!("    {}'s Postgres is open, on timeline {timeline}", name(member)));
        self.judge_opening(member, branch);
        self.work_ends(member, JobResult::Done);
    }

    /// An orderly stop: a primary ships its shutdown checkpoint to whoever streams before it ends.
    pub(super) fn stopped(&mut self, member: usize) {
        let postgres = &self.members[member].postgres;
        let Some(disk) = postgres.disk else { return };
        let mut how = Shutdown::Standby;
        if postgres.process == Process::Primary {
            how = Shutdown::Primary(self.wals.position(disk.wal));
            let wal = Wal { end: Lsn(disk.wal.end.0 + RECORD), ..disk.wal };
            self.append(member, wal);
            for standby in self.joined_to(member) {
                self.append(standby, wal);
            }
        }
        self.end_server(member, how);
    }

    fn append(&mut self, member: usize, wal: Wal) {
        let holds = |disk: &crate::postgres::Disk| self.wals.holds(wal, disk.wal);
        if self.members[member].postgres.disk.as_ref().is_some_and(holds)
            && let Some(disk) = &mut self.member(member).postgres.disk
        {
            disk.wal = wal;
            disk.replayed = wal.end;
        }
    }

    /// The processes end, however; who streams from it is told, and work that needs it fails.
    pub fn end_server(&mut self, member: usize, how: Shutdown) {
        if self.members[member].postgres.process == Process::Down {
            return;
        }
        for standby in self.joined_to(member) {
            self.member(standby).postgres.stream = Stream::Idle;
        }
        end(&mut self.member(member).postgres, how);
        self.member(member).due.look = true;
        let result = match self.members[member].slot.as_ref().map(|slot| &slot.job) {
            Some(Job::Stop(_)) => JobResult::Done,
            Some(
                Job::Start(..)
                | Job::Checkpoint
                | Job::Follow(..)
                | Job::Detach(_)
                | Job::Fetch { .. }
                | Job::Promote { .. },
            ) => JobResult::Failed("Postgres ended meanwhile".to_owned()),
            Some(Job::InitDb | Job::Clone(_) | Job::Rewind(_) | Job::Hold | Job::Lower) | None => {
                return;
            }
        };
        self.work_ends(member, result);
    }

    /// The agent closes writes: the slot is given up, Postgres is being killed, and looked at.
    pub(super) fn close(&mut self, member: usize) {
        self.work_ends(member, JobResult::Aborted);
        let down = self.members[member].postgres.process == Process::Down;
        let due = &mut self.member(member).due;
        due.look |= down;
        due.kill |= !down;
    }

    fn joined_to(&self, source: usize) -> Vec<usize> {
        let joined = |member: &usize| {
            let postgres = &self.members[*member].postgres;
            postgres.source == Some(source) && postgres.stream != Stream::Idle
        };
        (0..self.members.len()).filter(joined).collect()
    }

    /// Who streams from a primary, as the primary says.
    pub(super) fn walsenders(&self, source: usize) -> BTreeMap<MemberName, Walsender> {
        let row = |member: usize| {
            let disk = self.members[member].postgres.disk?;
            let sender = Walsender {
                incarnation: disk.incarnation,
                streaming: true,
                flushed: disk.wal.end,
                replayed: disk.replayed,
                priority: 0,
                sync: SyncState::Async,
            };
            Some((name(member), sender))
        };
        self.joined_to(source).into_iter().filter_map(row).collect()
    }

    /// Whether its source serves it, and has something for it: a connection, or WAL.
    #[must_use]
    pub fn can_stream(&self, member: usize) -> bool {
        let postgres = &self.members[member].postgres;
        let (Some(source), Some(own)) = (postgres.source, postgres.wal()) else { return false };
        let from = &self.members[source].postgres;
        let runs = matches!(postgres.process, Process::Starting | Process::Standby);
        let serves = matches!(from.process, Process::Standby | Process::Primary);
        let Some(theirs) = from.wal().filter(|_| runs && serves) else { return false };
        let more = postgres.stream == Stream::Idle || theirs != own;
        more && self.wals.holds(theirs, own)
    }

    /// It connects to its source, if it has not, and receives all that there is.
    pub fn stream(&mut self, member: usize) {
        let source = self.members[member].postgres.source;
        let Some(wal) = source.and_then(|source| self.members[source].postgres.wal()) else {
            return;
        };
        self.member(member).postgres.stream = JOINED;
        self.append(member, wal);
    }

    /// A client writes where it can.
    pub fn write(&mut self, member: usize) {
        let Some(wal) = self.members[member].postgres.wal() else { return };
        let wal = Wal { end: Lsn(wal.end.0 + WRITE), ..wal };
        self.append(member, wal);
        self.acked.push(Commit(wal));
        self.note(Sometimes::Written);
    }
}
