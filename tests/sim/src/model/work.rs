//! The job slot of a small world: what each job does to its Postgres, and when it can end. Never why.

use std::rc::Rc;

use haa_core::effect::{Job, Source};
use haa_core::input::JobResult;
use haa_core::observe::Shutdown;
use haa_core::units::{Incarnation, JobId, Lsn, SystemId, Timeline};

use crate::model::scope::Pace;
use crate::model::server::end;
use crate::model::state::{Slot, State};
use crate::postgres::{Disk, Process};
use crate::wal::{Branch, Wal};
use crate::world::Held;

impl State {
    /// Work is put into the slot; what cannot begin has failed.
    pub fn begin_work(&mut self, member: usize, id: JobId, job: Job) {
        if self.members[member].slot.is_some() {
            return;
        }
        let begun = self.begin(member, &job);
        let began = self.now;
        self.member(member).slot = Some(Slot { id, job, began });
        if let Err(why) = begun {
            self.work_ends(member, JobResult::Failed(why.to_owned()));
        }
    }

    fn begin(&mut self, member: usize, job: &Job) -> Result<(), &'static str> {
        let process = self.members[member].postgres.process;
        match job {
            Job::InitDb | Job::Hold | Job::Stop(_) => Ok(()),
            Job::Clone(_) | Job::Rewind(_) if process != Process::Down => {
                Err("Postgres is running")
            }
            Job::Clone(_) => {
                if let Some(disk) = self.members[member].postgres.disk {
                    self.judge_overwriting(member, disk.wal, held(&disk));
                }
                self.member(member).postgres.disk = None;
                Ok(())
            }
            Job::Rewind(_) => Ok(()),
            Job::Start(source, _) => self.start_server(member, source.as_ref()),
            Job::Checkpoint if process != Process::Primary => Err("Postgres is not a primary"),
            Job::Lower => Err("nobody's parameters change in these worlds"),
            Job::Checkpoint => Ok(()),
            // Nobody throws WAL away in these worlds.
            Job::Fetch { .. } => Err("nobody has the WAL that comes next"),
            Job::Follow(..) | Job::Detach(_) => match process {
                Process::Standby | Process::Starting => Ok(()),
                Process::Down | Process::Promoting(_) | Process::Primary => {
                    Err("Postgres is not a standby")
                }
            },
            Job::Promote { proof, timeline, .. } => {
                if self.local(member) >= proof.until() {
                    return Err("the leadership has run out");
                }
                if process != Process::Standby || self.newest(member) >= Some(*timeline) {
                    return Err("it cannot be promoted onto this timeline");
                }
                let who = self.member(member);
                who.guard = Some(proof.until());
                who.postgres.process = Process::Promoting(*timeline);
                who.postgres.ready = crate::postgres::Ready::Yes;
                Ok(())
            }
        }
    }

    fn newest(&self, member: usize) -> Option<Timeline> {
        let wal = self.members[member].postgres.wal()?;
        Some(self.wals.branch(wal.branch).timeline)
    }

    /// Whether the work in the slot can come to its end now.
    #[must_use]
    pub fn can_end(&self, member: usize) -> bool {
        let who = &self.members[member];
        let Some(slot) = &who.slot else { return false };
        let long = self.pace == Pace::Any || self.now > slot.began;
        match &slot.job {
            Job::Start(Some(_), _) => {
                let waits = who.postgres.disk.is_some_and(|disk| disk.consistent_at.is_some());
                long && (!waits || self.can_stream(member))
            }
            Job::InitDb | Job::Clone(_) | Job::Rewind(_) | Job::Start(None, _) => long,
            Job::Checkpoint
            | Job::Hold
            | Job::Lower
            | Job::Stop(_)
            | Job::Follow(..)
            | Job::Detach(_)
            | Job::Fetch { .. }
            | Job::Promote { .. } => true,
        }
    }

    /// The work in the slot comes to its end.
    pub fn end_work(&mut self, member: usize) {
        let Some(Slot { job, .. }) = self.members[member].slot.clone() else { return };
        let result = match &job {
            Job::InitDb => self.initdb(member),
            Job::Clone(from) => self.clone_from(member, from),
            Job::Rewind(from) => self.rewind(member, from),
            Job::Follow(from, _) => {
                let source = self.index(&from.member);
                self.point(member, source);
                Ok(())
            }
            Job::Detach(_) => {
                self.point(member, None);
                Ok(())
            }
            Job::Checkpoint | Job::Hold | Job::Lower | Job::Fetch { .. } => Ok(()),
            // The server's end, its start and its promotion say themselves that the work is done.
            Job::Stop(_) => return self.stopped(member),
            Job::Start(..) => return self.started(member),
            Job::Promote { proof, .. } => return self.promoted(member, Some(proof.term())),
        };
        self.work_ends(
            member,
            match result {
                Ok(()) => JobResult::Done,
                Err(why) => JobResult::Failed(why.to_owned()),
            },
        );
    }

    /// Whether the work in the slot is of a kind that is let fail on purpose.
    #[must_use]
    pub fn can_fail(&self, member: usize) -> bool {
        match self.members[member].slot.as_ref().map(|slot| &slot.job) {
            Some(Job::Promote { .. } | Job::Rewind(_) | Job::Start(..)) => true,
            Some(
                Job::InitDb
                | Job::Clone(_)
                | Job::Checkpoint
                | Job::Hold
                | Job::Lower
                | Job::Stop(_)
                | Job::Follow(..)
                | Job::Detach(_)
                | Job::Fetch { .. },
            )
            | None => false,
        }
    }

    /// The work in the slot fails; a server that was starting is gone, one that was to be promoted is as it was.
    pub fn fail_work(&mut self, member: usize) {
        let who = self.member(member);
        match who.postgres.process {
            Process::Starting => end(&mut who.postgres, Shutdown::Crashed),
            Process::Promoting(_) => who.postgres.process = Process::Standby,
            Process::Down | Process::Standby | Process::Primary => {}
        }
        self.work_ends(member, JobResult::Failed("it failed".to_owned()));
    }

    fn initdb(&mut self, member: usize) -> Result<(), &'static str> {
        if self.members[member].postgres.disk.is_some() {
            return Err("the data directory is not empty");
        }
        let system = SystemId(member as u64 + 1);
        let branch =
            Branch { timeline: Timeline(1), parent: None, creator: member, term: None, system };
        let branch = Rc::make_mut(&mut self.wals).grow(branch);
        let wal = Wal { branch, end: Lsn(0x100) };
        let incarnation = self.incarnation();
        self.member(member).postgres.disk = Some(Disk {
            system,
            incarnation,
            wal,
            replayed: wal.end,
            consistent_at: None,
            untouched: true,
            oldest: Lsn(0),
            history: None,
            shutdown: Shutdown::Primary(self.wals.position(wal)),
        });
        Ok(())
    }

    const fn incarnation(&mut self) -> Incarnation {
        self.incarnations += 1;
        Incarnation(self.incarnations)
    }

    fn readable(&self, member: usize, from: &Source) -> Result<Disk, &'static str> {
        let source = self.index(&from.member).ok_or("no such member")?;
        let postgres = &self.members[source].postgres;
        let serves = matches!(postgres.process, Process::Standby | Process::Primary);
        if source == member || !serves {
            return Err("the source does not answer");
        }
        postgres.disk.ok_or("the source has no data")
    }

    fn clone_from(&mut self, member: usize, from: &Source) -> Result<(), &'static str> {
        let disk = self.readable(member, from)?;
        let incarnation = self.incarnation();
        self.member(member).postgres.disk = Some(Disk {
            incarnation,
            replayed: disk.wal.end,
            consistent_at: Some(disk.wal.end),
            untouched: false,
            shutdown: Shutdown::Crashed,
            ..disk
        });
        Ok(())
    }

    fn rewind(&mut self, member: usize, from: &Source) -> Result<(), &'static str> {
        let disk = self.readable(member, from)?;
        let source = self.index(&from.member).ok_or("no such member")?;
        if self.members[source].postgres.process != Process::Primary {
            return Err("the source is in recovery");
        }
        let own = self.members[member].postgres.disk.ok_or("there is no data to rewind")?;
        let incarnation = self.incarnation();
        let rewound = if self.wals.holds(disk.wal, own.wal) {
            Disk { incarnation, ..own }
        } else {
            self.judge_overwriting(member, own.wal, held(&own));
            let consistent_at = Some(disk.wal.end);
            let shutdown = Shutdown::Crashed;
            Disk { incarnation, consistent_at, shutdown, replayed: disk.wal.end, ..disk }
        };
        self.member(member).postgres.disk = Some(rewound);
        Ok(())
    }
}

const fn held(disk: &Disk) -> Held {
    match disk.consistent_at {
        Some(_) => Held::IncompleteCopy,
        None => Held::Data,
    }
}
