//! Servers as they run: starts, ends, promotions. Does what Postgres does, right or wrong.

use std::collections::BTreeMap;

use haa_core::effect::{Job, Source};
use haa_core::input::JobResult;
use haa_core::lease::Leadership;
use haa_core::list::List;
use haa_core::observe::{Door, Shutdown};
use haa_core::units::{Incarnation, Lsn, MemberName, Term, Timeline};

use crate::postgres::{Process, Ready, Stream};
use crate::time::At;
use crate::wal::{Branch, Wal};
use crate::world::{Deed, ForServer, World};

/// How a server's end looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its processes ended: the kernel tells whoever is connected.
    Killed,
    /// The machine is gone: nobody is told.
    Vanished,
}

/// So many in a million.
const ALWAYS: u32 = 1_000_000;
/// A start that has not come to a connection by then is given up.
const START_TIMEOUT: At = At::secs(30);
/// A promotion writes an end-of-recovery record, a shutdown its checkpoint.
const RECORD: u64 = 0x98;

impl World {
    pub(crate) fn start_server(
        &mut self,
        member: usize,
        source: Option<&Source>,
        door: Door,
    ) -> Result<(), &'static str> {
        let source = match source {
            Some(source) => Some(self.whence(source).ok_or("no such member")?),
            None => None,
        };
        let postgres = &mut self.members[member].postgres;
        let Some(disk) = postgres.disk else { return Err("there is no data to start") };
        if postgres.process == Process::Starting && source.is_none() && postgres.source.is_none() {
            // Somebody has started it already, and it is waited for.
            let span = self.takes(30, 400);
            self.tell_server(span, member, ForServer::Started);
            return Ok(());
        }
        if postgres.process != Process::Down {
            return Err("Postgres is running");
        }
        if disk.consistent_at.is_some() && source.is_none() {
            return Err("the data needs a source to stream from");
        }
        if self.dice.ppm(self.conduct.start_fails) {
            return Err("the postmaster ended before it accepted connections");
        }
        let in_order = matches!(disk.shutdown, Shutdown::Primary(_)) || disk.untouched;
        let mute = self.dice.ppm(self.conduct.snapshots_pend) && !in_order;
        let postgres = &mut self.members[member].postgres;
        postgres.process = Process::Starting;
        postgres.door = door;
        postgres.mute = mute;
        if let Some(disk) = &mut postgres.disk {
            disk.untouched = false;
        }
        postgres.run += 1;
        postgres.started = self.now;
        let span = self.takes(30, 400);
        self.point(member, source);
        self.tell_server(span, member, ForServer::Started);
        let slot = self.members[member].agent.slot.as_ref();
        if let Some(serial) = slot.map(|slot| slot.serial) {
            self.later(START_TIMEOUT, crate::world::Event::Job { member, serial });
        }
        Ok(())
    }

    /// Writes `primary_conninfo`.
    pub(crate) fn point(&mut self, member: usize, source: Option<usize>) {
        let postgres = &mut self.members[member].postgres;
        postgres.source = source;
        postgres.stream = Stream::Idle;
        postgres.tries += 1;
        let tries = postgres.tries;
        if let Some(source) = source {
            self.deeds.push(Deed::Sourced { member, source });
            self.tell_server(At::ms(1), member, ForServer::Connect(tries));
        }
    }

    pub(crate) fn for_server(&mut self, member: usize, run: u32, what: ForServer) {
        let postgres = &self.members[member].postgres;
        if postgres.run != run || postgres.process == Process::Down {
            return;
        }
        match what {
            ForServer::Started => self.started(member),
            ForServer::Snapshot => {
                // The transaction may go on.
                self.members[member].postgres.mute = self.conduct.snapshots_pend == ALWAYS;
                self.consistent(member);
            }
            ForServer::Promoted(timeline, term) => self.promoted(member, timeline, term),
            ForServer::Stopped => self.stopped(member),
            ForServer::Killed if self.now < postgres.disk_hangs_until => {
                if !postgres.doomed {
                    self.kill_hung(member);
                }
            }
            ForServer::Killed => self.end_server(member, End::Killed, Shutdown::Crashed),
            ForServer::Connect(tries) => self.connect(member, tries),
            ForServer::Ship { source, run, wal } => self.arrive(member, source, run, wal),
            ForServer::Hangup(tries) => self.hangup(member, tries),
            ForServer::Replay(end) => self.replay(member, end),
            ForServer::ListTaken(count) => self.list_taken(member, count),
            ForServer::Door => self.open_door(member),
        }
    }

    fn started(&mut self, member: usize) {
        let postgres = &mut self.members[member].postgres;
        postgres.ready = Ready::Yes;
        if let Some(disk) = &mut postgres.disk {
            disk.replayed = disk.wal.end;
            // A start removes the history of a timeline of which nothing was received.
            disk.history = disk.history.filter(|_| self.conduct.histories_stay > 0);
            postgres.target = disk.history;
        }
        self.consistent(member);
    }

    /// A server that was started and has streamed far enough accepts connections.
    pub(crate) fn consistent(&mut self, member: usize) {
        let postgres = &mut self.members[member].postgres;
        let Some(disk) = &mut postgres.disk else { return };
        let enough = disk.consistent_at.is_none_or(|end| disk.wal.end >= end);
        let streams = matches!(postgres.stream, Stream::Joined { .. });
        if enough && postgres.mute && streams {
            let span = self.takes(500, 20_000);
            return self.tell_server(span, member, ForServer::Snapshot);
        }
        let enough = enough && !(postgres.mute && postgres.source.is_some());
        if postgres.process == Process::Starting && postgres.ready == Ready::Yes && enough {
            disk.consistent_at = None;
            postgres.process = Process::Standby;
            if postgres.door == Door::Open {
                self.deeds.push(Deed::Readable(member));
            }
            self.ends_work(member, JobResult::Done, |job| matches!(job, Job::Start(..)));
        }
    }

    /// Ends the work in the slot if it is of this kind.
    fn ends_work(&mut self, member: usize, result: JobResult, kind: impl Fn(&Job) -> bool) {
        let slot = self.members[member].agent.slot.as_ref();
        if slot.is_some_and(|slot| kind(&slot.job)) {
            self.work_ends(member, result);
        }
    }

    /// It leaves recovery; by hand, without a term.
    pub(crate) fn promoted(&mut self, member: usize, timeline: Timeline, term: Option<Term>) {
        let postgres = &mut self.members[member].postgres;
        let Some(disk) = &mut postgres.disk else { return };
        let system = disk.system;
        // Postgres writes down what it was bound for, whether it got there or not.
        let parent = Some((postgres.target.take().unwrap_or(disk.wal.branch), disk.wal.end));
        let branch = Branch { timeline, parent, creator: member, term, system };
        let branch = self.wals.grow(branch);
        disk.wal = Wal { branch, end: Lsn(disk.wal.end.0 + RECORD) };
        disk.replayed = disk.wal.end;
        disk.history = None;
        postgres.process = Process::Primary;
        let told = postgres.opens_with.take().filter(|_| !std::mem::take(&mut postgres.mute));
        if let (Some((list, door)), true) = (told, term.is_some()) {
            (postgres.lists, postgres.door) = (vec![list], door);
        }
        let shut = postgres.door == Door::Shut;
        postgres.source = None;
        postgres.stream = Stream::Idle;
        postgres.tries += 1;
        self.sometimes.count("promotion");
        self.deeds.push(Deed::Branched(branch));
        self.deeds.push(Deed::Opened(member));
        if !shut {
            self.deeds.push(Deed::DoorOpened(member));
        }
        self.ends_work(member, JobResult::Done, |job| matches!(job, Job::Promote { .. }));
        self.kick(member);
    }

    /// Its list changes: some processes see it sooner, some later.
    pub(crate) fn set_list(&mut self, member: usize, proof: Leadership, list: List) {
        let late = self.local(member) >= proof.until();
        if late || !self.members[member].postgres.open() {
            return;
        }
        self.say(|world| format!("{} {}", world.members[member].name, spoken(&list)));
        let lists = &mut self.members[member].postgres.lists;
        // Whoever has taken it already does not take it anew.
        if lists.last() != Some(&list) {
            lists.push(list);
        }
        let count = lists.len();
        let lag = self.conduct.list_lag;
        let late = if lag.0 == 0 { At(0) } else { self.dice.span(At(0), lag) };
        let span = self.takes(2, 40).after(late);
        self.deeds.push(Deed::Listed(member));
        self.acknowledge(member);
        self.tell_server(span, member, ForServer::ListTaken(count));
    }

    fn list_taken(&mut self, member: usize, count: usize) {
        let lists = &mut self.members[member].postgres.lists;
        if lists.len() == count && count > 1 {
            lists.drain(..count - 1);
            self.deeds.push(Deed::Listed(member));
        }
    }

    fn open_door(&mut self, member: usize) {
        if self.members[member].postgres.door == Door::Shut {
            self.members[member].postgres.door = Door::Open;
            self.deeds.push(Deed::DoorOpened(member));
        }
    }

    /// A standby that follows lets clients in.
    pub(crate) fn let_in(&mut self, member: usize) {
        let postgres = &mut self.members[member].postgres;
        if postgres.door == Door::Shut {
            postgres.door = Door::Open;
            if postgres.process == Process::Standby {
                self.deeds.push(Deed::Readable(member));
            }
        }
    }

    /// An orderly stop: a primary ships its shutdown checkpoint before it ends.
    fn stopped(&mut self, member: usize) {
        let postgres = &mut self.members[member].postgres;
        let Some(disk) = &mut postgres.disk else { return };
        let how = if postgres.process == Process::Primary {
            let position = self.wals.position(disk.wal);
            disk.wal.end.0 += RECORD;
            disk.replayed = disk.wal.end;
            let wal = disk.wal;
            self.drain(member, wal);
            Shutdown::Primary(position)
        } else {
            Shutdown::Standby
        };
        self.ends_work(member, JobResult::Done, |job| matches!(job, Job::Stop(_)));
        self.end_server(member, End::Killed, how);
    }

    /// A Postgres that runs alone for a moment writes what its data ask for, and a shutdown checkpoint.
    pub(crate) fn lower(&mut self, member: usize) -> Result<(), &'static str> {
        let postgres = &mut self.members[member].postgres;
        let disk = postgres.disk.as_mut().ok_or("there are no data")?;
        if !matches!(disk.shutdown, Shutdown::Primary(_)) {
            return Err("Postgres was not stopped in order, as a primary");
        }
        disk.wal.end.0 += RECORD;
        let position = self.wals.position(disk.wal);
        disk.wal.end.0 += RECORD;
        disk.replayed = disk.wal.end;
        disk.shutdown = Shutdown::Primary(position);
        self.conduct.limits_fall = 0;
        Ok(())
    }

    fn drain(&mut self, member: usize, wal: Wal) {
        for standby in self.joined_to(member) {
            if self.net.joined(standby, member) {
                self.append(standby, wal);
            }
        }
    }

    /// The processes end, however.
    pub(crate) fn end_server(&mut self, member: usize, end: End, how: Shutdown) {
        if self.members[member].postgres.process == Process::Down {
            return;
        }
        let followers = self.joined_to(member);
        self.break_copies(member, end);
        let was_open = self.members[member].postgres.open();
        self.members[member].postgres.end(how);
        if was_open {
            self.deeds.push(Deed::Closed(member));
        }
        self.hang_up(member, followers, end);
        let failed = JobResult::Failed("Postgres ended meanwhile".to_owned());
        self.ends_work(member, JobResult::Done, |job| matches!(job, Job::Stop(_)));
        self.ends_work(member, failed, |job| match job {
            Job::Start(..)
            | Job::Checkpoint
            | Job::Follow(..)
            | Job::Detach(_)
            | Job::Fetch { .. }
            | Job::Promote { .. } => true,
            Job::InitDb
            | Job::Clone(_)
            | Job::Rewind(_)
            | Job::Hold
            | Job::Lower
            | Job::Stop(_) => false,
        });
        // The agent holds a pidfd: it learns of the end at once.
        if end == End::Killed && self.members[member].agent.brain.is_some() {
            self.look(member);
        }
    }

    /// Whoever is connected learns that the server is gone; at once, if the kernel can tell.
    fn hang_up(&mut self, source: usize, followers: Vec<usize>, end: End) {
        for standby in followers {
            let tries = self.members[standby].postgres.tries;
            let told = end == End::Killed && self.net.joined(source, standby);
            let span = if told { At::ms(1) } else { self.plan.receiver_timeout };
            self.tell_server(span, standby, ForServer::Hangup(tries));
        }
    }

    /// SIGKILL ends nobody who waits for a disk that hangs, before it does not. Until then nobody does anything else.
    pub(crate) fn kill_hung(&mut self, member: usize) {
        let followers = self.joined_to(member);
        self.hang_up(member, followers, End::Killed);
        let postgres = &mut self.members[member].postgres;
        if postgres.open() {
            self.deeds.push(Deed::Closed(member));
        }
        postgres.doomed = true;
        let left = postgres.disk_hangs_until.since(self.now);
        postgres.stalled_until = postgres.disk_hangs_until.after(At::secs(1));
        self.tell_server(left, member, ForServer::Killed);
    }

    /// Whether its Postgres is out of recovery, or about to be.
    #[must_use]
    pub fn may_write(&self, member: usize) -> bool {
        matches!(self.members[member].postgres.process, Process::Primary | Process::Promoting(_))
    }
}

/// Whom commits wait for, in words.
fn spoken(list: &List) -> String {
    let all = |names: &BTreeMap<MemberName, Incarnation>| {
        let names: Vec<&str> = names.keys().map(MemberName::as_str).collect();
        names.join(" ")
    };
    match list {
        List::Nobody => "holds every commit".to_owned(),
        List::Nothing => "waits for no replica".to_owned(),
        List::Any { k, names } => format!("waits for any {k} of {}", all(names)),
        List::FirstPadded { k, names } => format!("waits for the first {k} of {}", all(names)),
    }
}
