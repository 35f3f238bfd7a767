//! What can be done to the world: every fault and its end, by hand in a story or drawn from a seed.

use haa_core::effect::Txn;
use haa_core::input::{Input, Leave};
use haa_core::observe::{Door, Shutdown};
use haa_core::records::{Ask, Due, Key, Record, RequestRecord, RequestState};
use haa_core::settings::Settings;
use haa_core::units::{Revision, SystemId, TxnId};

use crate::conduct::Conduct;
use crate::net::Weather;
use crate::postgres::{Postgres, Process, Replay};
use crate::time::At;
use crate::world::abroad::Abroad;
use crate::world::member::{Life, Ongoing};
use crate::world::server::End;
use crate::world::slots::Much;
use crate::world::store::Gone;
use crate::world::{Deed, EtcdState, Event, ForAgent, World};

/// Something done to the world. Members by number; the network's end after the last member is etcd.
#[derive(Clone, Debug)]
pub enum Fault {
    /// SIGKILL to the postmaster and its children.
    KillPostgres(usize),
    /// It answers nobody and writes nothing for so long.
    StallPostgres(usize, At),
    /// Its disk takes no WAL for so long; what is in memory is answered.
    HangDisk(usize, At),
    /// Its disk has no room for more tables for so long.
    FillDisk(usize, At),
    /// SIGSTOP to its postmaster alone, for so long.
    Deafen(usize, At),
    /// SIGKILL to the agent.
    KillAgent(usize),
    /// SIGTERM to the agent: it hands over, stops Postgres and ends.
    StopAgent(usize),
    /// The agent is started.
    StartAgent(usize),
    /// SIGSTOP to the agent.
    Freeze(usize),
    /// The agent stops between its next decision and the deeds.
    Stumble(usize),
    /// SIGCONT.
    Thaw(usize),
    /// Power off.
    KillHost(usize),
    /// Power on: the agent starts, Postgres does not.
    Revive(usize),
    /// The data directory of a stopped Postgres is lost.
    LoseDisk(usize),
    /// The data of a stopped Postgres are another cluster's.
    ForeignDisk(usize),
    /// Nothing passes in this direction.
    Cut(usize, usize),
    /// The end of it.
    Mend(usize, usize),
    /// etcd is away.
    StopEtcd,
    /// It is back; every lease begins anew.
    StartEtcd,
    /// A watch shows nothing for so long.
    MuteWatch(usize, At),
    /// etcd ends a lease that is alive, as releases before 3.5.13 can.
    RevokeEarly(usize),
    /// The network's weather changes.
    Weather(Weather),
    /// Things behave otherwise.
    Conduct(Conduct),
    /// An operator asks.
    Request(Ask),
    /// An operator asks in advance.
    Plan(Ask, When),
    /// An operator changes the settings.
    Settings(Settings),
    /// The next transaction of this member that writes this key stays on its way.
    Hold(usize, Key),
    /// What is held up of this member arrives.
    LetGo(usize),
    /// Somebody promotes a standby behind its agent's back.
    PromoteByHand(usize),
    /// Something happens at the other cluster.
    Abroad(Abroad),
    /// Somebody deletes the `leader` key with etcd's own tools.
    DeleteLeader,
    /// Nobody looks at this member's Postgres for so long.
    Blind(usize, At),
    /// Somebody pauses replay on a standby.
    PauseReplay(usize),
    /// A standby lets nobody in, whatever became of the work that was to open it.
    ShutDoor(usize),
    /// It goes on.
    ResumeReplay(usize),
    /// A checkpoint throws away the WAL that no slot holds.
    Recycle(usize, Much),
    /// etcd's data are backed up.
    SaveEtcd,
    /// etcd is restored from the backup; from none, it is an empty one. Watches begin anew.
    RestoreEtcd,
}

/// When it is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long from now.
    In(At),
    /// At the same time, once what was asked last is done.
    Then,
}

/// What nobody could begin with so long after it was due lapses; a command after another one has as long again.
const GRACE_MS: u64 = 15 * 60 * 1_000;

impl World {
    /// Does it.
    pub fn inject(&mut self, fault: &Fault) {
        self.trouble(fault);
        match fault {
            Fault::KillPostgres(member) => {
                self.end_server(*member, End::Killed, Shutdown::Crashed);
            }
            Fault::StallPostgres(member, span)
            | Fault::HangDisk(member, span)
            | Fault::FillDisk(member, span)
            | Fault::Deafen(member, span) => self.hang(fault, *member, *span),
            Fault::KillAgent(member) => self.end_agent(*member),
            Fault::StopAgent(member) => self.deliver(*member, &Input::Stop(Leave::StopPostgres)),
            Fault::StartAgent(member) => self.start_agent(*member),
            Fault::Freeze(member) => self.freeze(*member, Life::Frozen),
            Fault::Stumble(member) => self.freeze(*member, Life::Stumbling),
            Fault::Thaw(member) => self.thaw(*member),
            Fault::KillHost(member) => self.kill_host(*member),
            Fault::Revive(member) => self.revive(*member),
            Fault::LoseDisk(member) => {
                let postgres = &mut self.members[*member].postgres;
                if postgres.process == Process::Down {
                    postgres.disk = None;
                }
            }
            Fault::ForeignDisk(member) => {
                let system = SystemId(self.dice.number());
                let postgres = &mut self.members[*member].postgres;
                if let (Process::Down, Some(disk)) = (postgres.process, &mut postgres.disk) {
                    disk.system = system;
                }
            }
            Fault::Cut(from, to) => {
                self.net.cut(*from, *to);
                self.hangups();
            }
            Fault::Mend(from, to) => self.net.mend(*from, *to),
            Fault::StopEtcd => self.etcd_state = EtcdState::Down,
            Fault::StartEtcd => {
                self.etcd.refresh_leases(self.now);
                self.etcd_state = EtcdState::Up;
            }
            Fault::MuteWatch(member, span) => {
                self.members[*member].agent.watch.mute_until = self.now.after(*span);
            }
            Fault::RevokeEarly(nth) => self.revoke_early(*nth),
            Fault::Weather(weather) => self.net.weather = *weather,
            Fault::Conduct(conduct) => self.conduct = *conduct,
            Fault::Request(ask) => self.request(ask, None),
            Fault::Plan(ask, when) => self.plan(ask, *when),
            Fault::Settings(settings) => self.set(settings),
            Fault::Hold(member, key) => self.hold(*member, key),
            Fault::LetGo(member) => self.let_go(*member),
            Fault::PromoteByHand(member) => self.promote_by_hand(*member),
            Fault::Abroad(what) => self.abroad(*what),
            Fault::DeleteLeader => self.delete_leader(),
            Fault::Blind(member, span) => {
                let blind = &mut self.members[*member].agent.blind_until;
                *blind = self.now.after(*span).max(*blind);
            }
            Fault::PauseReplay(m) => self.set_replay(*m, Replay::Paused),
            Fault::ShutDoor(m) => self.members[*m].postgres.door = Door::Shut,
            Fault::ResumeReplay(m) => self.set_replay(*m, Replay::Runs),
            Fault::Recycle(m, much) => self.recycle(*m, *much),
            Fault::SaveEtcd => self.backup = Some(self.etcd.clone()),
            Fault::RestoreEtcd => self.restore_etcd(),
        }
    }

    fn hang(&mut self, fault: &Fault, member: usize, span: At) {
        let (now, until) = (self.now, self.now.after(span));
        let Some(postgres) = self.runs(member) else { return };
        match fault {
            Fault::HangDisk(..) => postgres.disk_hangs_until = until,
            Fault::FillDisk(..) => postgres.full_until = until,
            Fault::Deafen(..) => postgres.deaf = Some((now, until)),
            _ => postgres.stalled_until = until,
        }
    }

    /// Notes whom a fault touches.
    fn trouble(&mut self, fault: &Fault) {
        let spoken = self.spoken(fault);
        self.say(|_| format!("  * {spoken}"));
        let all = 0..self.members.len();
        let (one, other) = match fault {
            Fault::KillPostgres(m)
            | Fault::StallPostgres(m, _)
            | Fault::HangDisk(m, _)
            | Fault::FillDisk(m, _)
            | Fault::Deafen(m, _)
            | Fault::KillAgent(m)
            | Fault::StopAgent(m)
            | Fault::StartAgent(m)
            | Fault::Freeze(m)
            | Fault::Stumble(m)
            | Fault::Thaw(m)
            | Fault::KillHost(m)
            | Fault::Revive(m)
            | Fault::LoseDisk(m)
            | Fault::ForeignDisk(m)
            | Fault::PromoteByHand(m)
            | Fault::Blind(m, _)
            | Fault::PauseReplay(m)
            | Fault::ShutDoor(m)
            | Fault::ResumeReplay(m)
            | Fault::Hold(m, _)
            | Fault::LetGo(m)
            | Fault::MuteWatch(m, _) => (*m, *m),
            Fault::Cut(a, b) | Fault::Mend(a, b) => (*a, *b),
            Fault::StopEtcd
            | Fault::StartEtcd
            | Fault::SaveEtcd
            | Fault::RestoreEtcd
            | Fault::Settings(_)
            | Fault::Weather(_)
            | Fault::Conduct(_) => {
                self.troubled_at.fill(self.now);
                return;
            }
            Fault::RevokeEarly(_)
            | Fault::Abroad(_)
            | Fault::DeleteLeader
            | Fault::Request(_)
            | Fault::Plan(..)
            | Fault::Recycle(..) => return,
        };
        for member in all.filter(|member| [one, other].contains(member)) {
            self.troubled_at[member] = self.now;
        }
    }

    fn freeze(&mut self, member: usize, state: Life) {
        let agent = &mut self.members[member].agent;
        if agent.awake() {
            agent.state = state;
        }
    }

    fn kill_host(&mut self, member: usize) {
        self.end_server(member, End::Vanished, Shutdown::Crashed);
        self.end_agent(member);
        self.members[member].agent.guard_until = None;
    }

    fn revive(&mut self, member: usize) {
        let now = self.now;
        let who = &mut self.members[member];
        if who.agent.state != Life::Down || who.postgres.process != Process::Down {
            return self.start_agent(member);
        }
        who.clock = who.clock.rebooted(now);
        who.agent.remembered = None;
        who.agent.consented = None;
        self.start_agent(member);
    }

    fn revoke_early(&mut self, nth: usize) {
        let leases = self.etcd.leases();
        if let Some(id) = leases.get(nth % leases.len().max(1)).copied() {
            self.change(Gone::Early, |world| world.etcd.revoke(id));
        }
    }

    /// To the leader that is as if etcd had ended its lease early.
    fn delete_leader(&mut self) {
        let txn = Txn { id: TxnId(0), compare: vec![], put: vec![], delete: vec![Key::Leader] };
        self.change(Gone::Early, |world| world.etcd.apply(&txn) == crate::etcd::Applied::Yes);
    }

    fn promote_by_hand(&mut self, member: usize) {
        let newest = self.newest_timeline(member);
        if let (Process::Standby, Some(newest)) = (self.members[member].postgres.process, newest) {
            self.promoted(member, newest.next(), None);
        }
    }

    /// A restored etcd has a history of its own: every watch ends, and whoever asks is told of the older state.
    fn restore_etcd(&mut self) {
        let mut etcd = self.backup.clone().unwrap_or_default();
        etcd.refresh_leases(self.now);
        for lease in etcd.leases() {
            self.queue.push(self.now.after(At::secs(31)), Event::Lease(lease));
        }
        self.etcd = etcd;
        self.deeds.push(Deed::Restored);
        for member in 0..self.members.len() {
            let agent = &mut self.members[member].agent;
            agent.watch.listening = Ongoing::No;
            if agent.brain.is_some() {
                self.tell_agent(At::ms(5), member, ForAgent::Relist);
            }
        }
    }

    /// Whoever names nobody means: away from the one that leads now.
    fn plan(&mut self, ask: &Ask, when: When) {
        let last = format!("r{}", self.serial);
        let before = self.etcd.view.requests.get(&last).and_then(|kept| kept.value.due.clone());
        let leader = || self.etcd.view.leader.as_ref().map(|kept| kept.value.member.clone());
        let due = match (when, before) {
            (When::In(span), _) => {
                let at_unix_ms = self.now.after(span).0 / 1_000;
                let alone = matches!(ask, Ask::Switchover { to: None });
                let from = alone.then(leader).flatten();
                Due { at_unix_ms, until_unix_ms: at_unix_ms + GRACE_MS, after: None, from }
            }
            (When::Then, Some(Due { at_unix_ms, until_unix_ms, .. })) => {
                let until_unix_ms = until_unix_ms + GRACE_MS;
                Due { at_unix_ms, until_unix_ms, after: Some(last), from: None }
            }
            (When::Then, None) => return,
        };
        self.request(ask, Some(due));
    }

    fn request(&mut self, ask: &Ask, due: Option<Due>) {
        if self.etcd_state == EtcdState::Down {
            return;
        }
        self.serial += 1;
        let id = format!("r{}", self.serial);
        let record = RequestRecord {
            ask: ask.clone(),
            by: "the simulator".to_owned(),
            asked_unix_ms: self.now.0 / 1_000,
            state: due.as_ref().map_or(RequestState::Pending, |_| RequestState::Scheduled),
            due,
            ended_unix_ms: None,
        };
        let txn = Txn {
            id: TxnId(0),
            compare: vec![(Key::Request(id.clone()), Revision::ABSENT)],
            put: vec![(Record::Request(id, record), None)],
            delete: vec![],
        };
        self.sometimes.count("request");
        self.change(Gone::By(usize::MAX), |world| {
            world.etcd.apply(&txn) == crate::etcd::Applied::Yes
        });
    }

    fn set(&mut self, settings: &Settings) {
        let put = vec![(Record::Settings(settings.clone()), None)];
        let txn = Txn { id: TxnId(0), compare: vec![], put, delete: vec![] };
        self.change(Gone::By(usize::MAX), |world| {
            world.etcd.apply(&txn) == crate::etcd::Applied::Yes
        });
    }

    fn runs(&mut self, member: usize) -> Option<&mut Postgres> {
        Some(&mut self.members[member].postgres)
            .filter(|postgres| postgres.process != Process::Down)
    }

    /// Every fault ends: everything runs, and everybody reaches everybody.
    pub fn heal(&mut self) {
        self.say(|_| "  * everything heals".to_owned());
        self.troubled_at.fill(self.now);
        self.net.heal();
        self.conduct = self.conduct.healed();
        self.demanded = None;
        let kept = self.etcd.view.settings.as_ref().map(|kept| kept.value.clone());
        if kept.is_some_and(|settings| settings != self.plan.settings) {
            self.set(&self.plan.settings.clone());
        }
        if self.etcd_state == EtcdState::Down {
            self.inject(&Fault::StartEtcd);
        }
        let much = if self.dice.ppm(500_000) { Much::TooMuch } else { Much::Bearable };
        for member in 0..self.members.len() {
            self.recycle(member, much);
            self.members[member].agent.watch.mute_until = self.now;
            let postgres = &self.members[member].postgres;
            if postgres.doomed {
                self.end_server(member, End::Killed, Shutdown::Crashed);
            }
            let postgres = &mut self.members[member].postgres;
            postgres.stalled_until = self.now.min(postgres.stalled_until);
            postgres.disk_hangs_until = self.now.min(postgres.disk_hangs_until);
            postgres.full_until = self.now.min(postgres.full_until);
            postgres.deaf = None;
            self.thaw(member);
            self.revive(member);
        }
    }

    fn spoken(&self, fault: &Fault) -> String {
        let end = |end: &usize| match self.members.get(*end) {
            Some(member) => member.name.to_string(),
            None => "etcd".to_owned(),
        };
        match fault {
            Fault::KillPostgres(m) => format!("Postgres of {} is killed", end(m)),
            Fault::StallPostgres(m, span) => format!("Postgres of {} hangs for {span}", end(m)),
            Fault::Deafen(m, span) => {
                format!("the postmaster of {} takes no connection for {span}", end(m))
            }
            Fault::HangDisk(m, span) => format!("the disk of {} hangs for {span}", end(m)),
            Fault::FillDisk(m, span) => format!("the disk of {} is full for {span}", end(m)),
            Fault::KillAgent(m) => format!("the agent of {} is killed", end(m)),
            Fault::StopAgent(m) => format!("the agent of {} is asked to stop", end(m)),
            Fault::ForeignDisk(m) => format!("the data of {} are another cluster's", end(m)),
            Fault::StartAgent(m) => format!("the agent of {} is started", end(m)),
            Fault::Freeze(m) => format!("the agent of {} is frozen", end(m)),
            Fault::Stumble(m) => format!("the agent of {} stumbles over its next wish", end(m)),
            Fault::Thaw(m) => format!("the agent of {} is thawed", end(m)),
            Fault::KillHost(m) => format!("the host of {} goes down", end(m)),
            Fault::Revive(m) => format!("the host of {} comes back", end(m)),
            Fault::LoseDisk(m) => format!("{} loses its data", end(m)),
            Fault::Cut(a, b) => format!("nothing passes from {} to {}", end(a), end(b)),
            Fault::Mend(a, b) => format!("{} reaches {} again", end(a), end(b)),
            Fault::Recycle(m, Much::Bearable) => format!("{} throws away old WAL", end(m)),
            Fault::Recycle(m, Much::TooMuch) => format!("{} throws away WAL of slots", end(m)),
            Fault::StopEtcd => "etcd stops".to_owned(),
            Fault::StartEtcd => "etcd starts".to_owned(),
            Fault::MuteWatch(m, span) => {
                format!("the watch of {} is silent for {span}", end(m))
            }
            Fault::RevokeEarly(_) => "etcd ends a lease before its time".to_owned(),
            Fault::Weather(weather) => format!("the network changes: {weather:?}"),
            Fault::Conduct(conduct) => format!("things change: {conduct:?}"),
            Fault::Request(ask) => asked(ask),
            Fault::Plan(ask, When::In(span)) => format!("{}, in {span}", asked(ask)),
            Fault::Plan(ask, When::Then) => format!("{}, after that", asked(ask)),
            Fault::Settings(settings) => format!("an operator sets {settings:?}"),
            Fault::Hold(m, key) => format!("the next write of {key:?} by {} hangs", end(m)),
            Fault::LetGo(m) => format!("what hangs of {} reaches etcd", end(m)),
            Fault::PromoteByHand(m) => format!("somebody promotes {} by hand", end(m)),
            Fault::Blind(m, span) => format!("nobody looks at {} for {span}", end(m)),
            Fault::ShutDoor(m) => format!("{} is found with its door shut", end(m)),
            Fault::PauseReplay(m) => format!("somebody pauses replay on {}", end(m)),
            Fault::ResumeReplay(m) => format!("replay goes on on {}", end(m)),
            Fault::Abroad(what) => format!("the other site: {what:?}"),
            Fault::DeleteLeader => "somebody deletes the leader key".to_owned(),
            Fault::SaveEtcd => "etcd is backed up".to_owned(),
            Fault::RestoreEtcd => "etcd is restored".to_owned(),
        }
    }
}

fn asked(ask: &Ask) -> String {
    format!("an operator asks: {}", ask.sentence())
}
