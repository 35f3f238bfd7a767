//! One Postgres: what is on its disk, what its processes do, what it says when asked. Never why.

use std::collections::{BTreeMap, BTreeSet};

use haa_core::line::Line;
use haa_core::list::List;
use haa_core::observe::{
    DataDir, Door, FlushProbe, PostgresFacts, Room, Server, Shutdown, Standby,
};
use haa_core::parameters::Parameters;
use haa_core::units::{Address, Incarnation, JobId, Lsn, MemberName, Millis, SystemId, Timeline};
use serde::Serialize;

use crate::client::Way;
use crate::time::At;
use crate::wal::{BranchId, Histories, Wal};

/// A recovery that has nothing for so long is taken to wait.
const WAITS_LONG: At = At::secs(5);

/// What is in the data directory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Disk {
    /// Its database system.
    pub system: SystemId,
    /// Ends with the data.
    pub incarnation: Incarnation,
    /// The WAL, all of it flushed.
    pub wal: Wal,
    /// Replayed up to here.
    pub replayed: Lsn,
    /// It is consistent only from here on: cloned or rewound, and not streamed so far yet.
    pub consistent_at: Option<Lsn>,
    /// initdb made it and it was never started.
    pub untouched: bool,
    /// How it ended last.
    pub shutdown: Shutdown,
    /// Where the oldest WAL that is still there begins.
    pub oldest: Lsn,
    /// The newest timeline whose history it was sent, and none of whose WAL.
    pub history: Option<BranchId>,
}

/// The server's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Process {
    /// None.
    Down,
    /// Replaying; no connection yet.
    Starting,
    /// In recovery.
    Standby,
    /// In recovery, asked to leave it onto this timeline.
    Promoting(Timeline),
    /// Out of recovery: whoever can connect can write.
    Primary,
}

/// Whether a standby replays what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Replay {
    /// It does.
    #[default]
    Runs,
    /// Somebody has paused it.
    Paused,
}

/// The connection of a standby to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Stream {
    /// Not connected; it tries again and again.
    Idle,
    /// Connected to this run of the source's server.
    Joined {
        /// Of the source.
        run: u32,
        /// Since when nothing passes, if nothing does.
        mute_since: Option<At>,
        /// WAL is on its way.
        busy: Busy,
    },
}

/// Whether WAL is on its way over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Busy {
    /// Yes; its arrival asks for the next.
    Yes,
    /// No: the standby has all that there is.
    No,
}

/// One Postgres.
#[derive(Clone, Debug, Serialize)]
pub struct Postgres {
    /// `None` where no data directory is.
    pub disk: Option<Disk>,
    /// Its processes.
    pub process: Process,
    /// Counts starts and ends, so that what was on its way to another run is told apart.
    pub run: u32,
    /// `primary_conninfo`: the member that it points to.
    pub source: Option<usize>,
    /// What came of it.
    pub stream: Stream,
    /// It lets nobody in before it has streamed for a while or leads: its snapshot is pending.
    pub mute: bool,
    /// The timeline that its recovery is bound for, if that is another than what it has: it is left only by a restart.
    pub target: Option<BranchId>,
    /// Until then it answers nobody and writes nothing (a hung disk).
    pub stalled_until: At,
    /// Until then it answers, and its WAL does not get to the disk.
    pub disk_hangs_until: At,
    /// Until then its disk has no room for what clients write, whether it runs or not.
    pub full_until: At,
    /// From when and until when its postmaster hangs: whoever is connected goes on, and nobody else gets in.
    pub deaf: Option<(At, At)>,
    /// Whether its processes were killed, and wait for the disk before they end.
    pub doomed: bool,
    /// Since when somebody waits for the disk.
    pub unflushed_since: Option<At>,
    /// When the postmaster started.
    pub started: At,
    /// It was seen to accept connections since it started.
    pub ready: Ready,
    /// The lists of synchronous standbys that some process goes by, the newest last: each may let a commit go.
    pub lists: Vec<List>,
    /// Whether clients are let in.
    pub door: Door,
    /// Its replication slots, and from where on each holds WAL, if it does.
    pub slots: BTreeMap<MemberName, Option<Lsn>>,
    /// The operator's slots that it has.
    pub kept: BTreeSet<String>,
    /// Those of them that it was told are lost.
    pub lost: BTreeSet<String>,
    /// A logical one of the operator's that it found no copy of when it last looked.
    pub lacks: Option<String>,
    /// Whether it replays.
    pub replay: Replay,
    /// What the promotion under way begins with.
    pub opens_with: Option<(List, Door)>,
    /// Commits that wait for replicas, oldest first.
    pub waiting: Vec<Waiting>,
    /// Counts connections and changes of source, so that an earlier one's events are void.
    pub tries: u32,
}

/// A commit that waits for replicas.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Waiting {
    /// Which write.
    pub write: u64,
    /// How its client came here.
    pub way: Way,
    /// Where its record ends.
    pub end: Lsn,
}

/// Whether this run of the server ever accepted connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ready {
    /// Yes.
    Yes,
    /// Not yet.
    NotYet,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            disk: None,
            process: Process::Down,
            run: 0,
            source: None,
            stream: Stream::Idle,
            mute: false,
            target: None,
            stalled_until: At(0),
            disk_hangs_until: At(0),
            full_until: At(0),
            deaf: None,
            doomed: false,
            unflushed_since: None,
            started: At(0),
            ready: Ready::NotYet,
            lists: vec![List::Nobody],
            door: Door::Open,
            slots: BTreeMap::new(),
            kept: BTreeSet::new(),
            lost: BTreeSet::new(),
            lacks: None,
            replay: Replay::Runs,
            opens_with: None,
            waiting: Vec::new(),
            tries: 0,
        }
    }
}

impl Postgres {
    /// Whether a client that connects now can write.
    #[must_use]
    pub fn open(&self) -> bool {
        self.process == Process::Primary && !self.doomed
    }

    /// For how long nobody new was let in.
    #[must_use]
    pub fn deaf_for(&self, now: At) -> At {
        let deaf = self.deaf.filter(|(_, until)| now < *until);
        deaf.map_or(At(0), |(since, _)| At(now.since(since).0))
    }

    /// Its WAL, if it has data.
    #[must_use]
    pub fn wal(&self) -> Option<Wal> {
        self.disk.as_ref().map(|disk| disk.wal)
    }

    /// The processes end: `how` is what the disk remembers.
    pub fn end(&mut self, how: Shutdown) {
        self.process = Process::Down;
        self.run += 1;
        self.stream = Stream::Idle;
        self.mute = false;
        self.target = None;
        self.tries += 1;
        self.ready = Ready::NotYet;
        self.stalled_until = At(0);
        self.disk_hangs_until = At(0);
        self.deaf = None;
        self.unflushed_since = None;
        self.doomed = false;
        self.lists = vec![List::Nobody];
        self.door = Door::Open;
        self.opens_with = None;
        self.waiting.clear();
        if let Some(disk) = &mut self.disk {
            disk.shutdown = how;
        }
    }

    /// Replay has nothing left to do.
    #[must_use]
    pub fn replayed_all(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.replayed == disk.wal.end)
    }

    /// What the data directory is.
    #[must_use]
    pub fn data_dir(&self) -> DataDir {
        match &self.disk {
            None => DataDir::Empty,
            Some(disk) => DataDir::Present {
                system_id: disk.system,
                incarnation: disk.incarnation,
                needs_source: disk.consistent_at.is_some(),
                untouched: disk.untouched,
            },
        }
    }

    /// A look that began at `began_at` of its agent's clock; who streams from it is filled in by the world.
    #[must_use]
    pub fn look(&self, now: At, began_at: Millis, wals: &Histories) -> PostgresFacts {
        PostgresFacts {
            began_at,
            data: self.data_dir(),
            server: self.server(now, wals),
            job: None::<JobId>,
            progress: None,
            server_version: 150_006,
            parameters: Parameters::default(),
            lacks_slot: self.lacks.clone().filter(|_| self.process == Process::Standby),
            unanswered_ms: self.deaf_for(now).0 / 1_000,
            awaits: self.awaits(now),
            tight_slots: Vec::new(),
            room: if now < self.full_until { Room::None } else { Room::Enough },
        }
    }

    fn awaits(&self, now: At) -> Option<Lsn> {
        let waits = self.process == Process::Starting && self.stream == Stream::Idle;
        let long = now >= self.started.after(WAITS_LONG);
        self.disk.as_ref().filter(|_| waits && long).map(|disk| disk.wal.end)
    }

    fn server(&self, now: At, wals: &Histories) -> Server {
        let Some(disk) = &self.disk else {
            return Server::Stopped(Shutdown::NoData);
        };
        let stalled = now < self.stalled_until;
        match self.process {
            Process::Down => Server::Stopped(disk.shutdown),
            Process::Starting => Server::Starting,
            Process::Standby | Process::Promoting(_) | Process::Primary if stalled => {
                match self.ready {
                    Ready::Yes => Server::Silent,
                    Ready::NotYet => Server::Starting,
                }
            }
            Process::Standby | Process::Promoting(_) => Server::Standby(self.standby(disk, wals)),
            Process::Primary => Server::Primary(haa_core::observe::Primary {
                position: wals.position(disk.wal),
                inserted: wals.position(disk.wal).lsn,
                lineage: wals.lineage(disk.wal.branch),
                oldest: Some(disk.oldest),
                replicas: BTreeMap::new(),
                abroad: BTreeMap::new(),
                shown: self.lists.last().cloned(),
                effective: self.lists.first().filter(|_| self.lists.len() == 1).cloned(),
                door: Some(self.door),
                slots: BTreeSet::new(),
                flush: self.flush(now),
                started_unix_ms: self.started.0 / 1_000,
            }),
        }
    }

    /// A probe is made once nothing was flushed for a second.
    fn flush(&self, now: At) -> FlushProbe {
        let waits = self.unflushed_since.filter(|_| now < self.disk_hangs_until);
        let waits = waits.map(|since| now.since(since.after(At::secs(1))).0 / 1_000);
        FlushProbe { took_ms: None, waiting_ms: waits.filter(|ms| *ms > 0) }
    }

    fn ahead(&self, disk: &Disk, wals: &Histories) -> Vec<Line> {
        let idle = self.stream == Stream::Idle;
        let known = disk.history.into_iter().chain(self.target).filter(|_| idle);
        let known = BTreeSet::from_iter(known);
        known.into_iter().map(|branch| wals.line(branch)).collect()
    }

    fn standby(&self, disk: &Disk, wals: &Histories) -> Standby {
        Standby {
            position: wals.position(disk.wal),
            lineage: wals.lineage(disk.wal.branch),
            ahead: self.ahead(disk, wals),
            replayed: disk.replayed,
            replay_age_ms: Some(0),
            source: self.source.map(address),
            detached: self.source.is_none() && self.replayed_all(),
            mute: self.mute,
            streaming: matches!(self.stream, Stream::Joined { .. }),
            dry: self.source.is_some() && self.replayed_all() && self.stream == Stream::Idle,
            paused: self.replay == Replay::Paused,
            door: Some(self.door),
            sessions: None,
            oldest: Some(disk.oldest),
            started_unix_ms: self.started.0 / 1_000,
        }
    }
}

/// Where a member's Postgres listens.
#[must_use]
pub fn address(member: usize) -> Address {
    Address { host: format!("10.0.0.{}", member + 1), port: 5432 }
}
