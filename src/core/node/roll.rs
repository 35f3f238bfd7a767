//! The list in `sync`: who may lead after us. Kept by the leader: who streams and is close joins, who is gone or
//! too far behind leaves. Never decides who leads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::line::Line;
use crate::observe::{PeerState, Primary, Standby};
use crate::off::Mechanism;
use crate::records::{Holder, Key, Record, SyncRecord};
use crate::units::{Incarnation, Lsn, MemberName, Millis, Term};

use super::Node;
use super::desk::{Change, Purpose, seen};

/// What a leader remembers of the members on its list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Roll {
    /// Since when the store does not show them.
    away_since: BTreeMap<MemberName, Millis>,
    /// The leadership that the rest is about.
    term: Term,
    /// How far they had flushed when last seen.
    reached: BTreeMap<MemberName, Lsn>,
    /// Since when they are too far behind.
    behind_since: BTreeMap<MemberName, Millis>,
}

impl Roll {
    /// Note how far the listed members are; who has been too far behind for longer than `patience`?
    fn laggards(
        &mut self,
        now: Millis,
        listed: &BTreeMap<MemberName, Incarnation>,
        (primary, began): (&Primary, Lsn),
        (limit, patience): (u64, Millis),
    ) -> Vec<MemberName> {
        self.reached.retain(|name, _| listed.contains_key(name));
        self.behind_since.retain(|name, _| listed.contains_key(name));
        for (name, incarnation) in listed {
            let sender = primary.replicas.get(name);
            let flushed = sender.filter(|sender| sender.incarnation == *incarnation);
            let reached = match flushed {
                Some(sender) => sender.flushed,
                // Nobody who is listed was further than `limit` behind when we began.
                None => self.reached.get(name).copied().unwrap_or(began),
            };
            self.reached.insert(name.clone(), reached);
            if primary.position.lsn.bytes_since(reached) > limit {
                self.behind_since.entry(name.clone()).or_insert(now);
            } else {
                self.behind_since.remove(name);
            }
        }
        let late = self.behind_since.iter().filter(|(_, since)| now.since(**since) >= patience);
        late.map(|(name, _)| name.clone()).collect()
    }
}

impl Node {
    /// Members that stream from us, are to, and are close join the list. Those leave it
    /// whose data are not what it says, that the store has not shown for `forget_after`, or that have been too far
    /// behind for one ttl: after the loss of all, they might be the first to be back.
    pub(super) fn keep_list(&mut self, now: Millis, term: Term, primary: &Primary) {
        let mut gone = self.gone_for_good(now);
        gone.extend(self.laggards(now, term, primary));
        let Some(view) = self.belief.view.as_ref() else { return };
        let Some(sync) = view.sync.as_ref() else { return };
        let mut members = sync.value.members.clone();
        members.retain(|name, incarnation| {
            let record = self.belief.member(name);
            let current = record.and_then(|record| record.incarnation);
            let away = record.is_some_and(|record| !record.tags.attends());
            let goes = gone.contains(name) || away && !sync.value.voters.contains_key(name);
            *name == self.config.name
                || !goes && current.is_none_or(|current| current == *incarnation)
        });
        let limit = self.belief.settings().maximum_lag_on_failover;
        for (name, sender) in &primary.replicas {
            let record = self.belief.member(name);
            let record = record.filter(|record| record.tags.attends());
            let record = record.and_then(|record| record.incarnation);
            let close = primary.position.lsn.bytes_since(sender.flushed) <= limit;
            if sender.streaming && close && record == Some(sender.incarnation) {
                members.insert(name.clone(), sender.incarnation);
            }
        }
        // Foretold at the election; what Postgres says now counts.
        self.write_list(members, primary.line());
    }

    /// The same of a standby cluster's leader, which hears who streams. Its line goes on with the other cluster's.
    pub(super) fn keep_followers(&mut self, now: Millis, standby: &Standby) {
        let gone = self.gone_for_good(now);
        let Some(view) = self.belief.view.as_ref() else { return };
        let Some(sync) = view.sync.as_ref() else { return };
        let mut members = sync.value.members.clone();
        members.retain(|name, _| *name == self.config.name || !gone.contains(name));
        // Ours may have been made anew.
        members.extend(self.belief.data().map(|(_, data)| (self.config.name.clone(), data)));
        for (name, kept) in &view.members {
            let beat = self.belief.heard(now, name);
            let streams = beat.is_some_and(|beat| beat.state == PeerState::Streaming);
            let follows = streams && kept.value.tags.attends();
            if let Some(data) = kept.value.incarnation.filter(|_| follows) {
                members.insert(name.clone(), data);
            }
        }
        self.write_list(members, standby.line());
    }

    fn write_list(&mut self, members: BTreeMap<MemberName, Incarnation>, line: Line) {
        let Some(view) = self.belief.view.as_ref() else { return };
        let Some(sync) = view.sync.as_ref() else { return };
        if members == sync.value.members && line == sync.value.line {
            return;
        }
        let compare = vec![
            (Key::Sync, sync.revision),
            (Key::Leader, seen(view.leader.as_ref())),
            (Key::Term, seen(view.term.as_ref())),
        ];
        let version = sync.value.version + 1;
        let record = SyncRecord { version, members, line, ..sync.value.clone() };
        self.desk.txn(Purpose::Sync, compare, Change::default().put(Record::Sync(record)));
    }

    /// Listed members that are gone for good: the store has not shown them for `forget_after`, or an operator says so.
    fn gone_for_good(&mut self, now: Millis) -> Vec<MemberName> {
        let Some(view) = self.belief.view.as_ref() else { return Vec::new() };
        let listed = view.sync.iter().flat_map(|sync| sync.value.members.keys());
        let away: Vec<MemberName> =
            listed.filter(|name| !view.members.contains_key(*name)).cloned().collect();
        self.roll.away_since.retain(|name, _| away.contains(name));
        let patience = self.belief.settings().timing.forget_after;
        let mut gone = |name: &MemberName| {
            now.since(*self.roll.away_since.entry(name.clone()).or_insert(now)) >= patience
        };
        away.into_iter().filter(|name| gone(name) || self.belief.is_being_removed(name)).collect()
    }

    fn laggards(&mut self, now: Millis, term: Term, primary: &Primary) -> Vec<MemberName> {
        if self.off.is(Mechanism::Laggards) {
            return Vec::new();
        }
        let settings = self.belief.settings();
        let bounds = (settings.maximum_lag_on_failover, settings.timing.ttl);
        let began = match self.belief.term_key().map(|kept| &kept.value.holder) {
            Some(Holder::Leader { position, .. }) => position.lsn,
            Some(Holder::Candidate { .. } | Holder::Released { .. }) | None => primary.position.lsn,
        };
        if self.roll.term != term {
            self.roll = Roll { term, ..Roll::default() };
        }
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let mut listed = sync.map_or_else(BTreeMap::new, |sync| sync.value.members.clone());
        listed.remove(&self.config.name);
        self.roll.laggards(now, &listed, (primary, began), bounds)
    }
}
