//! The stand-ins for the Postgres of one simulated cluster: they do every job at once and never write. No process, no
//! disk, no network.

use std::collections::{BTreeMap, BTreeSet};

use haa_core::effect::{Job, Source};
use haa_core::input::JobResult;
use haa_core::line::Fork;
use haa_core::list::List;
use haa_core::observe::{
    DataDir, Door, FlushProbe, PostgresFacts, Primary, Server, Shutdown, Standby, SyncState,
    Walsender,
};
use haa_core::parameters::Parameters;
use haa_core::units::{
    Address, Incarnation, Lsn, MemberName, Millis, Position, SystemId, Timeline,
};

/// As `server_version_num` has it.
const VERSION: u32 = 150_018;
/// What a promotion writes.
const RECORD: u64 = 0x10;

/// The Postgres of one cluster.
#[derive(Debug)]
pub(super) struct Servers {
    names: Vec<MemberName>,
    addresses: Vec<Address>,
    all: Vec<Postgres>,
    incarnations: u64,
    system: u64,
}

#[derive(Clone, Debug, Default)]
struct Postgres {
    disk: Option<Disk>,
    process: Process,
    source: Option<usize>,
    list: Option<List>,
    door: Door,
    slots: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Disk {
    system: SystemId,
    incarnation: Incarnation,
    position: Position,
    lineage: Vec<Fork>,
    copied: bool,
    untouched: bool,
    shutdown: Shutdown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Process {
    #[default]
    Down,
    Standby,
    Primary,
}

impl Servers {
    /// Of these members, without data.
    pub(super) fn new(members: &[(MemberName, Address)], system: u64) -> Self {
        let (names, addresses): (Vec<_>, Vec<_>) = members.iter().cloned().unzip();
        let all = vec![Postgres::default(); names.len()];
        Self { names, addresses, all, incarnations: 0, system }
    }

    /// Does a job.
    pub(super) fn work(&mut self, member: usize, job: &Job) -> JobResult {
        match self.try_work(member, job) {
            Ok(()) => JobResult::Done,
            Err(why) => JobResult::Failed(why.to_owned()),
        }
    }

    fn try_work(&mut self, member: usize, job: &Job) -> Result<(), &'static str> {
        match job {
            Job::InitDb => {
                let position = Position { timeline: Timeline(1), lsn: Lsn(0x100) };
                let incarnation = self.incarnation();
                self.all[member].disk = Some(Disk {
                    system: SystemId(self.system),
                    incarnation,
                    position,
                    lineage: Vec::new(),
                    copied: false,
                    untouched: true,
                    shutdown: Shutdown::Primary(position),
                });
                Ok(())
            }
            Job::Clone(from) | Job::Rewind(from) => {
                let source = self.index(from).ok_or("no such member")?;
                let disk = self.all[source].disk.clone().ok_or("the source has no data")?;
                let (incarnation, shutdown) = (self.incarnation(), Shutdown::Crashed);
                let copied = Disk { incarnation, copied: true, untouched: false, shutdown, ..disk };
                self.all[member].disk = Some(copied);
                Ok(())
            }
            Job::Start(source, door) => {
                let source = source.as_ref().and_then(|source| self.index(source));
                let server = &mut self.all[member];
                let disk = server.disk.as_mut().ok_or("there is no data to start")?;
                (disk.copied, disk.untouched) = (false, false);
                (server.process, server.source, server.door) = (Process::Standby, source, *door);
                self.receive(member);
                Ok(())
            }
            Job::Follow(source, _) => {
                let source = self.index(source).ok_or("no such member")?;
                self.standby(member)?.source = Some(source);
                self.all[member].door = Door::Open;
                self.receive(member);
                Ok(())
            }
            Job::Detach(list) => {
                self.receive(member);
                let server = self.standby(member)?;
                server.source = None;
                if list.is_some() {
                    (server.list, server.door) = (list.clone(), Door::Shut);
                }
                Ok(())
            }
            Job::Promote { timeline, list, door, .. } => {
                self.promote(member, *timeline, list.as_ref(), *door)
            }
            Job::Stop(_) => {
                self.stop(member);
                Ok(())
            }
            Job::Checkpoint | Job::Hold | Job::Lower => Ok(()),
            Job::Fetch { .. } => Err("nobody has the WAL that comes next"),
        }
    }

    fn promote(
        &mut self,
        member: usize,
        timeline: Timeline,
        list: Option<&List>,
        door: Door,
    ) -> Result<(), &'static str> {
        let server = self.standby(member)?;
        let disk = server.disk.as_mut().ok_or("there is no data")?;
        disk.lineage.push(Fork { timeline: disk.position.timeline, lsn: disk.position.lsn });
        disk.position = Position { timeline, lsn: Lsn(disk.position.lsn.0 + RECORD) };
        (server.process, server.source, server.door) = (Process::Primary, None, door);
        if let Some(list) = list {
            server.list = Some(list.clone());
        }
        Ok(())
    }

    fn standby(&mut self, member: usize) -> Result<&mut Postgres, &'static str> {
        let server = &mut self.all[member];
        (server.process == Process::Standby).then_some(server).ok_or("Postgres is no standby")
    }

    const fn incarnation(&mut self) -> Incarnation {
        self.incarnations += 1;
        Incarnation(self.incarnations)
    }

    fn index(&self, source: &Source) -> Option<usize> {
        self.names.iter().position(|name| *name == source.member)
    }

    /// It stops, in order.
    pub(super) fn stop(&mut self, member: usize) {
        let server = &mut self.all[member];
        if let Some(disk) = &mut server.disk {
            match server.process {
                Process::Down => {}
                Process::Standby => disk.shutdown = Shutdown::Standby,
                Process::Primary => disk.shutdown = Shutdown::Primary(disk.position),
            }
        }
        server.process = Process::Down;
    }

    /// Whom commits wait for.
    pub(super) fn list(&mut self, member: usize, list: List) {
        self.all[member].list = Some(list);
    }

    /// Clients are let in.
    pub(super) fn open(&mut self, member: usize) {
        self.all[member].door = Door::Open;
    }

    /// The slots of these members are there.
    pub(super) fn slots(&mut self, member: usize, of: &BTreeSet<MemberName>) {
        self.all[member].slots = of.iter().map(MemberName::slot).collect();
    }

    /// Whom it streams from, while that server runs.
    fn streams_from(&self, member: usize) -> Option<usize> {
        let server = &self.all[member];
        let source = server.source.filter(|_| server.process == Process::Standby)?;
        (self.all[source].process != Process::Down).then_some(source)
    }

    /// It receives all that its source has, and follows it onto its timeline.
    fn receive(&mut self, member: usize) {
        let Some(theirs) = self.streams_from(member).and_then(|from| self.all[from].disk.clone())
        else {
            return;
        };
        if let Some(own) = &mut self.all[member].disk
            && own.position.lsn <= theirs.position.lsn
        {
            (own.position, own.lineage) = (theirs.position, theirs.lineage);
        }
    }

    /// What a look at it shows.
    pub(super) fn look(&mut self, member: usize, began_at: Millis) -> PostgresFacts {
        self.receive(member);
        let facts = |data, server| PostgresFacts {
            began_at,
            data,
            server,
            job: None,
            progress: None,
            server_version: VERSION,
            parameters: Parameters::default(),
            lacks_slot: None,
            unanswered_ms: 0,
            awaits: None,
            tight_slots: Vec::new(),
            room: haa_core::observe::Room::Enough,
        };
        let server = &self.all[member];
        let Some(disk) = &server.disk else {
            return facts(DataDir::Empty, Server::Stopped(Shutdown::NoData));
        };
        let data = DataDir::Present {
            system_id: disk.system,
            incarnation: disk.incarnation,
            needs_source: disk.copied,
            untouched: disk.untouched,
        };
        let shown = match server.process {
            Process::Down => Server::Stopped(disk.shutdown),
            Process::Standby => Server::Standby(self.as_standby(member, disk)),
            Process::Primary => Server::Primary(self.as_primary(member, disk)),
        };
        facts(data, shown)
    }

    fn as_standby(&self, member: usize, disk: &Disk) -> Standby {
        let server = &self.all[member];
        let streaming = self.streams_from(member).is_some();
        Standby {
            position: disk.position,
            lineage: disk.lineage.clone(),
            ahead: Vec::new(),
            replayed: disk.position.lsn,
            replay_age_ms: Some(0),
            source: server.source.map(|source| self.addresses[source].clone()),
            detached: server.source.is_none(),
            mute: false,
            streaming,
            dry: !streaming,
            paused: false,
            door: Some(server.door),
            sessions: None,
            oldest: None,
            started_unix_ms: 1,
        }
    }

    fn as_primary(&self, member: usize, disk: &Disk) -> Primary {
        let server = &self.all[member];
        Primary {
            abroad: BTreeMap::new(),
            position: disk.position,
            inserted: disk.position.lsn,
            lineage: disk.lineage.clone(),
            oldest: Some(Lsn(0)),
            replicas: self.walsenders(member),
            shown: server.list.clone(),
            effective: server.list.clone(),
            door: Some(server.door),
            slots: server.slots.clone(),
            flush: FlushProbe { took_ms: Some(1), waiting_ms: None },
            started_unix_ms: 1,
        }
    }

    fn walsenders(&self, primary: usize) -> BTreeMap<MemberName, Walsender> {
        let list = self.all[primary].list.as_ref();
        let row = |member: usize| {
            let disk = self.all[member].disk.as_ref()?;
            let lsn = disk.position.lsn;
            let (priority, sync) = place(list, &self.names[member], disk.incarnation);
            let incarnation = disk.incarnation;
            let (flushed, replayed) = (lsn, lsn);
            let sender =
                Walsender { incarnation, streaming: true, flushed, replayed, priority, sync };
            Some((self.names[member].clone(), sender))
        };
        let streaming = (0..self.all.len()).filter(|at| self.streams_from(*at) == Some(primary));
        streaming.filter_map(row).collect()
    }
}

/// Its place on the list, as its walsender shows it.
pub(super) fn place(list: Option<&List>, name: &MemberName, own: Incarnation) -> (u32, SyncState) {
    let on = |names: &BTreeMap<MemberName, Incarnation>| {
        let at = names.iter().position(|(on, data)| on == name && *data == own)?;
        u32::try_from(at).ok()
    };
    match list {
        Some(List::Any { names, .. }) if on(names).is_some() => (1, SyncState::Quorum),
        Some(List::FirstPadded { k, names }) => match on(names) {
            Some(at) if at < *k => (at + 2, SyncState::Sync),
            Some(at) => (at + 2, SyncState::Potential),
            None => (0, SyncState::Async),
        },
        Some(List::Any { .. } | List::Nobody | List::Nothing) | None => (0, SyncState::Async),
    }
}
