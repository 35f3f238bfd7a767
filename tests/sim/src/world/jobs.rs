//! The job slot of an agent: what each job does to its Postgres, how long it takes, how it fails. Never why.

use haa_core::discard::{Commits, Discarded};
use haa_core::effect::{Job, Source};
use haa_core::input::{Input, JobResult};
use haa_core::line::{Beside, Line};
use haa_core::observe::{Door, Shutdown};
use haa_core::units::{Incarnation, JobId, Lsn, SystemId, Term, Timeline};

use crate::postgres::{Disk, Process, Replay};
use crate::time::At;
use crate::wal::{Branch, Wal};
use crate::world::member::Slot;
use crate::world::server::End;
use crate::world::{Deed, Event, ForAgent, ForServer, Held, World};

/// A stop that has killed all and sees some live is given up so long after its limit.
const OUTLIVED: At = At::secs(31);

/// Of WAL in the archive, in bytes: small, as all here is.
const SEGMENT: u64 = 0x800;

/// How a piece of work stands when its time has come.
enum Came {
    /// To its end.
    End(JobResult),
    /// Not yet: look again after this span, or wait for the server.
    NotYet(Option<At>),
}

impl World {
    pub(crate) fn begin(&mut self, member: usize, id: JobId, job: Job) {
        if let Some(slot) = &self.members[member].agent.slot {
            if slot.id != id {
                self.sometimes.count("job wished while the slot was taken");
            }
            return;
        }
        self.serial += 1;
        let serial = self.serial;
        let source = source(&job).and_then(|source| self.whence(source));
        let source = source.map(|source| &self.members[source].postgres);
        let source_run = source.map_or(0, |postgres| postgres.run);
        let listed = source.and_then(|postgres| postgres.wal());
        let slot = Slot { id, job: job.clone(), serial, source_run, listed };
        self.members[member].agent.slot = Some(slot);
        self.look(member);
        let usual = match self.start_of_work(member, &job) {
            Ok(Some(span)) => span,
            Ok(None) => return,
            Err(why) => return self.work_ends(member, JobResult::Failed(why.to_owned())),
        };
        self.later(usual, Event::Job { member, serial });
    }

    /// What happens at once, and after which span to look; `None`: the server says when it is done.
    fn start_of_work(&mut self, member: usize, job: &Job) -> Result<Option<At>, &'static str> {
        let process = self.members[member].postgres.process;
        let local = self.local(member);
        let deaf = self.members[member].postgres.deaf_for(self.now) > At(0);
        let mute = self.members[member].postgres.mute;
        match job {
            Job::InitDb => Ok(Some(self.takes(800, 1_500))),
            Job::Clone(_) | Job::Rewind(_) if process != Process::Down => {
                Err("Postgres is running")
            }
            Job::Clone(_) if self.conduct.no_room > 0 => Err("there is no room for a copy"),
            Job::Clone(from) => Ok(Some(self.start_of_clone(member, from))),
            Job::Rewind(from) => {
                let span = self.takes(300, 2_000);
                Ok(Some(self.copying(member, from, span)))
            }
            Job::Checkpoint if process != Process::Primary => Err("Postgres is not a primary"),
            Job::Checkpoint => Ok(Some(self.takes(5, 200))),
            Job::Hold => Ok(Some(self.hold_pools(member))),
            Job::Lower if process != Process::Down => Err("Postgres is running"),
            Job::Lower => Ok(Some(self.takes(100, 400))),
            Job::Start(source, door) => {
                self.start_server(member, source.as_ref(), *door).map(|()| None)
            }
            Job::Stop(timeout) => {
                let postgres = &self.members[member].postgres;
                let hangs = self.now < postgres.stalled_until.max(postgres.disk_hangs_until);
                if process == Process::Down {
                    return Ok(Some(At::ms(1)));
                }
                let span = self.takes(20, 150);
                let limit = At::ms(timeout.0);
                if hangs || deaf || span > limit {
                    self.tell_server(limit, member, ForServer::Killed);
                } else {
                    self.tell_server(span, member, ForServer::Stopped);
                }
                Ok(Some(limit.after(OUTLIVED)))
            }
            Job::Follow(..) | Job::Detach(_) | Job::Fetch { .. } | Job::Promote { .. } if deaf => {
                Err("Postgres did not answer in time")
            }
            Job::Follow(..) | Job::Detach(_) | Job::Fetch { .. } if mute => Err("Postgres is mute"),
            Job::Follow(..) | Job::Detach(_) | Job::Fetch { .. } => match process {
                Process::Standby | Process::Starting => Ok(Some(self.takes(2, 10))),
                Process::Down | Process::Promoting(_) | Process::Primary => {
                    Err("Postgres is not a standby")
                }
            },
            Job::Promote { proof, timeline, list, door, slots } => {
                if local >= proof.until() {
                    return Err("the leadership has run out");
                }
                let list = list.clone().unwrap_or(haa_core::list::List::Nobody);
                self.members[member].postgres.opens_with = Some((list, *door));
                self.arm(member, proof.until());
                self.make_slots(member, slots);
                self.promote(member, *timeline, proof.term())
            }
        }
    }

    fn start_of_clone(&mut self, member: usize, from: &Source) -> At {
        if let Some(disk) = self.members[member].postgres.disk {
            self.deeds.push(overwrites(member, &disk));
            let theirs = self.whence(from);
            let theirs = theirs.and_then(|source| self.members[source].postgres.wal());
            if let (Some(theirs), None, false) = (theirs, disk.consistent_at, disk.untouched) {
                self.discards(member, disk.wal, theirs);
            }
        }
        self.members[member].postgres.disk = None;
        self.members[member].postgres.slots.clear();
        self.members[member].postgres.kept.clear();
        let span = self.takes(1_000, 8_000);
        self.copying(member, from, span)
    }

    fn promote(
        &mut self,
        member: usize,
        timeline: Timeline,
        term: Term,
    ) -> Result<Option<At>, &'static str> {
        if self.members[member].postgres.process != Process::Standby {
            return Err("Postgres is not a standby");
        }
        let newest = self.newest_timeline(member);
        if newest.is_none_or(|newest| timeline <= newest) {
            return Err("the timeline is not newer than what Postgres has");
        }
        if self.dice.ppm(self.conduct.promote_fails) {
            self.sometimes.count("promotion failed");
            return Err("pg_promote failed");
        }
        let hangs = self.dice.ppm(self.conduct.promote_hangs);
        let span = match (hangs, self.conduct.promote_takes) {
            (true, At(0)) => self.dice.ms(2_000, 9_000),
            (true, told) => told,
            (false, _) => self.takes(5, 60),
        };
        let postgres = &mut self.members[member].postgres;
        postgres.process = Process::Promoting(timeline);
        let astray = self.dice.ppm(self.conduct.promote_astray);
        // What Postgres makes against its orders is nobody's leadership, as if it were made by hand.
        let (timeline, term) =
            if astray { (timeline.next(), None) } else { (timeline, Some(term)) };
        self.tell_server(span, member, ForServer::Promoted(timeline, term));
        Ok(None)
    }

    pub(crate) fn newest_timeline(&self, member: usize) -> Option<Timeline> {
        let wal = self.members[member].postgres.wal()?;
        Some(self.wals.branch(wal.branch).timeline)
    }

    /// A span between `low` and `high` ms, as slow as things are.
    pub(crate) fn takes(&mut self, low: u64, high: u64) -> At {
        At(self.dice.ms(low, high).0 * self.conduct.slow_percent / 100)
    }

    pub(crate) fn end_of_work(&mut self, member: usize, serial: u64) {
        let slot = self.members[member].agent.slot.as_ref();
        let Some(slot) = slot.filter(|slot| slot.serial == serial).cloned() else { return };
        match self.work(member, &slot) {
            Came::End(result) => self.work_ends(member, result),
            Came::NotYet(Some(span)) => self.later(span, Event::Job { member, serial }),
            Came::NotYet(None) => {}
        }
    }

    fn work(&mut self, member: usize, slot: &Slot) -> Came {
        let done = |result: Result<(), &str>| {
            Came::End(match result {
                Ok(()) => JobResult::Done,
                Err(why) => JobResult::Failed(why.to_owned()),
            })
        };
        match &slot.job {
            Job::InitDb => done(self.initdb(member)),
            Job::Clone(from) => done(self.clone_from(member, from, slot.source_run)),
            Job::Rewind(from) => done(self.rewind(member, from, slot)),
            Job::Follow(from, _) => done(match self.whence(from) {
                // Somebody promoted it by hand meanwhile.
                Some(_) if self.may_write(member) => Err("Postgres is not a standby"),
                Some(source) => {
                    self.point(member, Some(source));
                    self.let_in(member);
                    Ok(())
                }
                None => Err("no such member"),
            }),
            Job::Detach(ready) => {
                self.point(member, None);
                if self.members[member].postgres.replay == Replay::Paused {
                    self.set_replay(member, Replay::Runs);
                }
                let postgres = &mut self.members[member].postgres;
                if let Some(list) = ready {
                    (postgres.lists, postgres.door) = (vec![list.clone()], Door::Shut);
                }
                if postgres.replayed_all() { done(Ok(())) } else { Came::NotYet(Some(At::ms(10))) }
            }
            Job::Fetch { from, line } => done(self.fetch(member, from, line)),
            Job::Stop(_) if self.members[member].postgres.process != Process::Down => {
                done(Err("some processes outlive SIGKILL"))
            }
            Job::Checkpoint | Job::Stop(_) => done(Ok(())),
            Job::Lower => done(self.lower(member)),
            Job::Hold => done(self.pools_held()),
            Job::Start(..) if self.members[member].postgres.mute => Came::NotYet(Some(At::secs(1))),
            // A start that has not come to a connection by now is given up; Postgres is left as it is.
            Job::Start(..) => done(Err("Postgres does not accept connections")),
            Job::Promote { .. } => Came::NotYet(None),
        }
    }

    pub(crate) fn work_ends(&mut self, member: usize, result: JobResult) {
        if let Some(slot) = self.members[member].agent.slot.take() {
            self.sometimes.job(&slot.job, &result);
            if let Some(line) = spoken(&slot.job, &result) {
                self.say(|world| format!("{} {line}", world.members[member].name));
            }
            let input = Input::Job(slot.id, result);
            self.tell_agent(At(50), member, ForAgent::Input(Box::new(input)));
            self.look(member);
        }
    }

    /// The agent closes writes: the slot is given up, Postgres is killed, and looked at.
    pub(crate) fn close(&mut self, member: usize) {
        if self.members[member].agent.slot.is_some() {
            self.work_ends(member, JobResult::Aborted);
        }
        let postgres = &self.members[member].postgres;
        if postgres.process == Process::Down {
            self.look(member);
        } else {
            let span = self.dice.ms(3, 30);
            self.tell_server(span, member, ForServer::Killed);
        }
    }

    fn initdb(&mut self, member: usize) -> Result<(), &'static str> {
        if self.members[member].postgres.disk.is_some() {
            return Err("the data directory is not empty");
        }
        if let Some(other) = self.plan.other_site.filter(|_| self.plan.follows) {
            return self.copy_abroad(member, other);
        }
        let backup = self.conduct.one_backup > 0;
        let system = if backup { SystemId(7) } else { SystemId(self.dice.number()) };
        let branch = self.wals.grow(Branch {
            timeline: Timeline(1),
            parent: None,
            creator: member,
            term: None,
            system,
        });
        let end = Lsn(0x0150_0000);
        self.members[member].postgres.disk = Some(Disk {
            system,
            incarnation: Incarnation(self.dice.number()),
            wal: Wal { branch, end },
            replayed: end,
            consistent_at: None,
            untouched: true,
            shutdown: Shutdown::Primary(self.wals.position(Wal { branch, end })),
            oldest: Lsn(0),
            history: None,
        });
        self.deeds.push(Deed::Initialised(member));
        Ok(())
    }

    /// How long a copy takes; where nobody answers, as long as its connection string says.
    fn copying(&self, member: usize, from: &Source, span: At) -> At {
        let source = self.whence(from);
        let run = source.map_or(0, |source| self.members[source].postgres.run);
        if self.readable(member, from, run).is_err() { At::secs(3) } else { span }
    }

    /// A copy from a server that has ended ends too, not only when all of it would have come: at once, if the kernel
    /// can tell, else when libpq has waited for as long as its connection string says.
    pub(crate) fn break_copies(&mut self, source: usize, end: End) {
        let run = self.members[source].postgres.run;
        for member in 0..self.members.len() {
            let Some(slot) = &self.members[member].agent.slot else { continue };
            let copies = match &slot.job {
                Job::Clone(from) | Job::Rewind(from) => self.whence(from) == Some(source),
                _ => false,
            };
            let serial = slot.serial;
            if copies && slot.source_run == run {
                let told = end == End::Killed && self.net.joined(source, member);
                let span = if told { At::ms(5) } else { At::secs(11) };
                self.later(span, Event::Job { member, serial });
            }
        }
    }

    /// The source's disk, if it could be read from the beginning to the end of the work.
    fn readable(&self, member: usize, from: &Source, run: u32) -> Result<Disk, &'static str> {
        let source = self.whence(from).ok_or("no such member")?;
        let postgres = &self.members[source].postgres;
        let serves = matches!(postgres.process, Process::Standby | Process::Primary);
        if source == member || !serves || postgres.run != run {
            return Err("the source does not answer");
        }
        if !self.net.joined(member, source) || self.now < postgres.stalled_until {
            return Err("the source cannot be reached");
        }
        postgres.disk.ok_or("the source has no data")
    }

    fn clone_from(&mut self, member: usize, from: &Source, run: u32) -> Result<(), &'static str> {
        let disk = self.readable(member, from, run)?;
        if self.dice.ppm(self.conduct.clone_fails) {
            return Err("pg_basebackup failed");
        }
        self.members[member].postgres.disk = Some(Disk {
            incarnation: Incarnation(self.dice.number()),
            replayed: disk.wal.end,
            // A copy has none of the WAL before it.
            oldest: disk.wal.end,
            consistent_at: Some(disk.wal.end),
            untouched: false,
            shutdown: Shutdown::Crashed,
            ..disk
        });
        Ok(())
    }

    fn rewind(&mut self, member: usize, from: &Source, slot: &Slot) -> Result<(), &'static str> {
        let disk = self.readable(member, from, slot.source_run)?;
        let source = self.whence(from).ok_or("no such member")?;
        if self.members[source].postgres.process != Process::Primary && !self.is_standby() {
            return Err("the source is in recovery");
        }
        let own = self.members[member].postgres.disk.ok_or("there is no data to rewind")?;
        if own.system != disk.system {
            return Err("the source is another database system");
        }
        if self.dice.ppm(self.conduct.rewind_fails) {
            return Err("pg_rewind failed");
        }
        let incarnation = Incarnation(self.dice.number());
        let blind = self.conduct.rewind_blind > 0;
        let rewound = if blind || self.wals.holds(disk.wal, own.wal) {
            self.sometimes.count("rewind had nothing to do");
            Disk { incarnation, ..own }
        } else {
            self.deeds.push(overwrites(member, &own));
            if own.consistent_at.is_none() {
                self.discards(member, own.wal, disk.wal);
            }
            let shutdown = Shutdown::Crashed;
            let consistent_at = Some(disk.wal.end);
            // Replay needs what the source has from where the two parted; brought is what it had at the beginning.
            let fork = self.wals.left_at(own.wal, disk.wal);
            let lacks = fork.filter(|fork| fork.lsn < disk.oldest);
            let lacks = lacks.and_then(|fork| self.wals.before(disk.wal, fork));
            let listed = slot.listed.filter(|wal| fork.is_none_or(|fork| fork.lsn <= wal.end));
            let wal = lacks.or(listed).unwrap_or(disk.wal);
            Disk { incarnation, consistent_at, shutdown, wal, replayed: wal.end, ..disk }
        };
        self.members[member].postgres.disk = Some(rewound);
        Ok(())
    }
}

impl World {
    /// WAL of the leader's line from the first that has what comes next. It comes whole, and not segment by segment.
    fn fetch(&mut self, member: usize, from: &[Source], line: &Line) -> Result<(), &'static str> {
        let own = self.members[member].postgres.wal().ok_or("there is no data")?;
        self.point(member, None);
        if from.is_empty() {
            self.read_archive(member, own, line);
            return Ok(());
        }
        for source in from {
            let Some(keeper) = self.index(&source.member) else { continue };
            let run = self.members[keeper].postgres.run;
            let Ok(disk) = self.readable(member, source, run) else { continue };
            let theirs = self.wals.line(disk.wal.branch);
            let fits = self.wals.holds(disk.wal, own) && disk.wal.end > own.end;
            let part = line.beside(&theirs, disk.wal.end) == Beside::Part;
            if fits && part && disk.oldest <= own.end && self.append(member, disk.wal) {
                self.deeds.push(Deed::Received { member, source: keeper });
                return Ok(());
            }
        }
        Err("nobody has the WAL that comes next")
    }

    /// The archive has whole segments of every primary, and outlives them. A lost disk's are not modelled.
    fn read_archive(&mut self, member: usize, own: Wal, line: &Line) {
        self.members[member].postgres.door = Door::Open;
        for keeper in 0..self.members.len() {
            let Some(disk) = self.members[keeper].postgres.disk else { continue };
            let whole = Lsn(disk.wal.end.0 / SEGMENT * SEGMENT);
            let wal = Wal { end: whole, ..disk.wal };
            let theirs = self.wals.line(wal.branch);
            let part = line.beside(&theirs, wal.end) == Beside::Part;
            let more = wal.end > own.end && self.wals.holds(wal, own);
            if keeper != member && part && more && self.append(member, wal) {
                self.deeds.push(Deed::Received { member, source: keeper });
                return;
            }
        }
    }

    /// What only `own` holds is counted, noted on the agent's disk, and its agent hears of it.
    fn discards(&mut self, member: usize, own: Wal, theirs: Wal) {
        let Some(fork) = self.wals.left_at(own, theirs) else { return };
        let only_here = |end: &&Wal| self.wals.holds(own, **end) && !self.wals.holds(theirs, **end);
        let transactions = self.written.iter().filter(only_here).count() as u64;
        let (first_unix_ms, last_unix_ms) = (None, None);
        let lost = Discarded {
            member: self.members[member].name.clone(),
            term: Term(0),
            fork,
            end: Some(self.wals.position(own)),
            commits: Commits::Counted { transactions, first_unix_ms, last_unix_ms },
            kept: None,
            at_unix_ms: self.now.0 / 1_000,
        };
        self.members[member].agent.notes.insert(fork, lost.clone());
        let input = Input::Discarded(Box::new(lost));
        self.tell_agent(At(50), member, ForAgent::Input(Box::new(input)));
    }
}

fn overwrites(member: usize, disk: &Disk) -> Deed {
    let was = match disk.consistent_at {
        Some(_) => Held::IncompleteCopy,
        None => Held::Data,
    };
    Deed::Overwrites { member, lost: disk.wal, was }
}

fn source(job: &Job) -> Option<&Source> {
    match job {
        Job::Clone(source) | Job::Rewind(source) | Job::Follow(source, _) => Some(source),
        Job::Start(source, _) => source.as_ref(),
        Job::InitDb
        | Job::Fetch { .. }
        | Job::Checkpoint
        | Job::Hold
        | Job::Lower
        | Job::Stop(_)
        | Job::Detach(_)
        | Job::Promote { .. } => None,
    }
}

/// The long work is part of a story; the rest is only how a transition is made.
fn spoken(job: &Job, result: &JobResult) -> Option<String> {
    let what = match job {
        Job::InitDb => "initdb".to_owned(),
        Job::Clone(source) => format!("clone of {source}"),
        Job::Rewind(source) => format!("rewind to {source}"),
        // Asking the archive is no more than waiting.
        Job::Fetch { from, .. } if from.is_empty() => return None,
        Job::Fetch { .. } => "fetch of WAL".to_owned(),
        Job::Hold => "hold of PgBouncers".to_owned(),
        Job::Lower => "lowering of limits".to_owned(),
        Job::Start(..)
        | Job::Checkpoint
        | Job::Stop(_)
        | Job::Follow(..)
        | Job::Detach(_)
        | Job::Promote { .. } => {
            return None;
        }
    };
    Some(match result {
        JobResult::Done => format!("{what}: done"),
        JobResult::Failed(why) => format!("{what}: failed, {why}"),
        JobResult::Aborted => format!("{what}: given up"),
    })
}
