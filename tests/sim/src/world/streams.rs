//! Streams between servers: who is connected to whom, what a receiver is sent and in which order, and what it replays.
//! Starts and ends no server.

use std::collections::BTreeMap;

use haa_core::observe::{SyncState, Walsender};
use haa_core::units::{Incarnation, Lsn, MemberName};

use crate::postgres::{Busy, Process, Replay, Stream};
use crate::time::At;
use crate::wal::{BranchId, Wal};
use crate::world::{Deed, ForServer, World};

/// `wal_retrieve_retry_interval`, set low.
const RETRY: At = At::ms(200);

impl World {
    pub(crate) fn joined_to(&self, source: usize) -> Vec<usize> {
        let run = self.members[source].postgres.run;
        (0..self.members.len()).filter(|&member| self.streams(member, source, run)).collect()
    }

    pub(crate) fn streams(&self, member: usize, source: usize, source_run: u32) -> bool {
        let postgres = &self.members[member].postgres;
        postgres.source == Some(source)
            && matches!(postgres.stream, Stream::Joined { run, .. } if run == source_run)
    }

    /// Who streams from a primary, as the primary says.
    pub(crate) fn walsenders(&self, source: usize) -> BTreeMap<MemberName, Walsender> {
        let row = |member: usize| {
            let who = &self.members[member];
            let disk = who.postgres.disk.as_ref()?;
            let incarnation: Incarnation = disk.incarnation;
            let (flushed, replayed) = (disk.wal.end, disk.replayed);
            let walsender = Walsender {
                incarnation,
                streaming: true,
                flushed,
                replayed,
                priority: 0,
                sync: SyncState::Async,
            };
            Some((who.name.clone(), walsender))
        };
        self.joined_to(source).into_iter().filter_map(row).collect()
    }

    pub(crate) fn connect(&mut self, member: usize, tries: u32) {
        let postgres = &self.members[member].postgres;
        let Some(source) = postgres.source else { return };
        let (Stream::Idle, true) = (postgres.stream, postgres.tries == tries) else { return };
        let from = &self.members[source].postgres;
        let serves = !matches!(from.process, Process::Down | Process::Starting) && !from.doomed;
        let (Some(own), Some(theirs)) = (postgres.disk, from.disk) else { return };
        let writes = self.plan.other_site != Some(source) || from.open();
        let awake = self.now >= from.stalled_until && self.net.joined(member, source);
        let up = serves && writes && awake && from.deaf_for(self.now) == At(0);
        let kin = own.system == theirs.system && self.wals.holds(theirs.wal, own.wal);
        let run = from.run;
        if up && kin && theirs.wal.branch != own.wal.branch {
            self.takes_history(member, theirs.wal.branch);
        }
        // What is asked for is the timeline that recovery is bound for.
        let target = self.members[member].postgres.target;
        let known = target.is_none_or(|target| self.wals.descends(theirs.wal.branch, target));
        if up && kin && !known {
            self.sometimes
                .count("standby refused: it is bound for a timeline that came to nothing");
        }
        let fits = kin && known;
        let there = theirs.oldest <= own.wal.end;
        if !(up && fits && there) {
            if up && !there {
                self.sometimes.count("standby refused: the WAL that it needs is gone");
            } else if up {
                self.sometimes.count("standby refused by its source");
                self.acknowledges_blindly(member, source);
            }
            let jitter = self.dice.ms(0, 50);
            return self.tell_server(RETRY.after(jitter), member, ForServer::Connect(tries));
        }
        let stream = Stream::Joined { run, mute_since: None, busy: Busy::No };
        self.members[member].postgres.stream = stream;
        self.deeds.push(Deed::Joined { member, source });
        self.advance_slots(source);
        self.acknowledge(source);
        self.kick(source);
        self.consistent(member);
    }

    /// A receiver fetches the history of its source's timeline before anything else; recovery is bound for it, if it
    /// comes of what recovery was bound for before.
    fn takes_history(&mut self, member: usize, history: BranchId) {
        let postgres = &mut self.members[member].postgres;
        let Some(disk) = &mut postgres.disk else { return };
        disk.history = Some(history);
        let bound = postgres.target.unwrap_or(disk.wal.branch);
        if self.wals.descends(history, bound) {
            postgres.target = Some(history);
        }
    }

    /// Everybody who streams from here and is not being sent WAL is sent what there is.
    pub(crate) fn kick(&mut self, source: usize) {
        let from = &self.members[source].postgres;
        let (source_run, Some(wal)) = (from.run, from.wal()) else { return };
        for member in 0..self.members.len() {
            if member == source || !self.streams(member, source, source_run) {
                continue;
            }
            let postgres = &mut self.members[member].postgres;
            let more = postgres.disk.is_some_and(|disk| disk.wal != wal);
            if let (Stream::Joined { busy: busy @ Busy::No, .. }, true) =
                (&mut postgres.stream, more)
            {
                *busy = Busy::Yes;
                let span = self.net.delay(&mut self.dice);
                self.tell_server(span, member, ForServer::Ship { source, run: source_run, wal });
            }
        }
    }

    pub(crate) fn arrive(&mut self, member: usize, source: usize, source_run: u32, wal: Wal) {
        if !self.streams(member, source, source_run) {
            return;
        }
        let now = self.now;
        let postgres = &self.members[member].postgres;
        if now < postgres.stalled_until.max(postgres.disk_hangs_until) {
            // A receiver whose disk hangs flushes nothing.
            let ship = ForServer::Ship { source, run: source_run, wal };
            return self.tell_server(RETRY, member, ship);
        }
        let way = self.net.open(source, member);
        let postgres = &mut self.members[member].postgres;
        let tries = postgres.tries;
        let Stream::Joined { mute_since, busy, .. } = &mut postgres.stream else { return };
        if !way {
            let since = *mute_since.get_or_insert(now);
            if now.since(since) >= self.plan.receiver_timeout {
                return self.hangup(member, tries);
            }
            let ship = ForServer::Ship { source, run: source_run, wal };
            return self.tell_server(RETRY, member, ship);
        }
        *mute_since = None;
        let own = postgres.disk;
        if own.is_some_and(|own| own.wal.branch != wal.branch && own.history != Some(wal.branch)) {
            self.takes_history(member, wal.branch);
            let span = self.net.delay(&mut self.dice);
            let ship = ForServer::Ship { source, run: source_run, wal };
            return self.tell_server(span, member, ship);
        }
        *busy = Busy::No;
        if self.append(member, wal) {
            self.deeds.push(Deed::Received { member, source });
            self.acknowledge(source);
            self.kick(source);
            self.kick(member);
            self.consistent(member);
        } else {
            self.hangup(member, tries);
        }
    }

    /// What a WAL receiver does with WAL: false if it is not a continuation of its own.
    pub(crate) fn append(&mut self, member: usize, wal: Wal) -> bool {
        let lag = self.conduct.replay_lag;
        let span = if lag.0 == 0 { At(0) } else { self.dice.span(At(0), lag) };
        let paused = self.members[member].postgres.replay == Replay::Paused;
        let Some(disk) = &mut self.members[member].postgres.disk else { return false };
        if !self.wals.holds(wal, disk.wal) {
            return disk.wal.branch == wal.branch;
        }
        disk.wal = wal;
        let reached = |branch: &BranchId| self.wals.descends(wal.branch, *branch);
        disk.history = disk.history.filter(|history| !reached(history));
        let target = &mut self.members[member].postgres.target;
        *target = target.filter(|target| !reached(target));
        let Some(disk) = &mut self.members[member].postgres.disk else { return false };
        if paused {
            return true;
        }
        if span.0 == 0 {
            disk.replayed = wal.end;
        } else {
            self.tell_server(span, member, ForServer::Replay(wal.end));
        }
        true
    }

    /// Somebody pauses replay, or lets it go on with all that there is.
    pub(crate) fn set_replay(&mut self, member: usize, replay: Replay) {
        let postgres = &mut self.members[member].postgres;
        postgres.replay = replay;
        if let (Replay::Runs, Some(disk)) = (replay, &mut postgres.disk) {
            disk.replayed = disk.wal.end;
        }
    }

    pub(crate) fn replay(&mut self, member: usize, end: Lsn) {
        if let Some(disk) = &mut self.members[member].postgres.disk {
            disk.replayed = disk.replayed.max(end.min(disk.wal.end));
        }
    }

    /// A receiver gives its connection up and tries anew.
    pub(crate) fn hangup(&mut self, member: usize, tries: u32) {
        let postgres = &mut self.members[member].postgres;
        let Some(source) = postgres.source else { return };
        if postgres.tries != tries || postgres.stream == Stream::Idle {
            return;
        }
        let Stream::Joined { run, mute_since, .. } = postgres.stream else { return };
        let from = &self.members[source].postgres;
        let alive = run == from.run && !from.doomed;
        let way = self.net.joined(member, source);
        if alive && way && mute_since.is_none() {
            return;
        }
        let postgres = &mut self.members[member].postgres;
        postgres.stream = Stream::Idle;
        postgres.tries += 1;
        let tries = postgres.tries;
        self.tell_server(At::ms(5), member, ForServer::Connect(tries));
    }

    /// Connections across a cut are given up after a while.
    pub(crate) fn hangups(&mut self) {
        for member in 0..self.members.len() {
            let tries = self.members[member].postgres.tries;
            self.tell_server(self.plan.receiver_timeout, member, ForServer::Hangup(tries));
        }
    }
}
