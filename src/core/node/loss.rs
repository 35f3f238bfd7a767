//! An operator accepts the loss of acknowledged commits: the voters that held them are gone for good, and those who are
//! left cannot elect. One transaction, while nobody leads, lets no commit rest on voters any more; then an election
//! follows as in `async`. Never where voters could still elect.

use std::collections::BTreeMap;

use crate::observe::PeerState;
use crate::records::{Ask, Key, Loss, Record, RequestId, RequestRecord, RequestState, SyncRecord};
use crate::settings::Durability;
use crate::units::{MemberName, Millis, Revision};

use super::Node;
use super::desk::{Change, Purpose, seen};

impl Node {
    /// Does what an operator asked for, or says why nothing has to be lost.
    pub(super) fn give_up_voters(&mut self, now: Millis) {
        // Whoever it let go on without etcd may do so still.
        if self.consented(now).is_some() {
            return;
        }
        let led = self.belief.view.as_ref().is_none_or(|view| view.leader.is_some());
        let Some(sync) = self.belief.quorum().filter(|_| !led).cloned() else { return };
        let asked = self.open_requests().into_iter().find(|(_, request)| {
            let loss = matches!(request.ask, Ask::Failover { loss: Loss::Accepted, .. });
            loss && request.state == RequestState::Pending
        });
        let Some((id, request)) = asked else { return };
        if self.desk.waits_for(&Purpose::Request(id.clone())) {
            return;
        }
        let (there, gone): (Vec<MemberName>, Vec<MemberName>) =
            sync.voters.keys().cloned().partition(|name| self.could_vote(now, name, &sync));
        // After etcd was away, all leases may have ended, and not everybody be back.
        if self.may_wait(now, &id) {
            return;
        }
        if there.len() >= sync.grants_needed() || there.contains(&sync.primary) {
            let why = format!(
                "{} can still elect a primary without any loss, and will: see haactl status for what they wait for. If \
                 one of them never will, stop its agent first",
                names(&there)
            );
            return self.answer(&id, &request, RequestState::Refused { why });
        }
        self.rest_on_nobody((&id, &request), &gone, sync);
    }

    /// A voter with the data that the record names, whose agent has not lost its lease, and does not say that its
    /// Postgres is down. One that is not heard may be heard by others.
    fn could_vote(&self, now: Millis, name: &MemberName, sync: &SyncRecord) -> bool {
        let own = *name == self.config.name;
        let data = match self.belief.member(name) {
            Some(record) => record.incarnation,
            None => return false,
        };
        let down = self.belief.heard(now, name).is_some_and(|beat| match beat.state {
            PeerState::Stopped | PeerState::NotReady => true,
            PeerState::Standby
            | PeerState::Streaming
            | PeerState::Detached
            | PeerState::Primary => false,
        });
        sync.has_voter(name, data) && (own || !down)
    }

    /// The voters' part ends, if none that is counted as gone is back by then. Whoever is there may lead.
    fn rest_on_nobody(
        &mut self,
        (id, request): (&RequestId, &RequestRecord),
        gone: &[MemberName],
        sync: SyncRecord,
    ) {
        let Some(view) = self.belief.view.as_ref() else { return };
        let mut as_seen =
            vec![(Key::Term, seen(view.term.as_ref())), (Key::Sync, seen(view.sync.as_ref()))];
        let away = gone.iter().filter(|name| !view.members.contains_key(*name));
        as_seen.extend(away.map(|name| (Key::Member(name.clone()), Revision::ABSENT)));
        let here = view.members.iter();
        let here = here.filter_map(|(name, kept)| Some((name.clone(), kept.value.incarnation?)));
        let record = SyncRecord {
            version: sync.version + 1,
            durability: Durability::Async,
            voters: BTreeMap::new(),
            k: 0,
            members: here.collect(),
            ..sync
        };
        // The request stays open: whom it names, and that somebody was asked to lead, counts in the election.
        let change = Change::default().put(Record::Sync(record));
        self.answer_with(id, request, RequestState::Pending, (change, as_seen));
    }

    /// Somebody leads.
    pub(super) fn lose_nothing(&mut self, id: &RequestId, request: &RequestRecord) {
        let why = format!(
            "{} leads: nothing has to be lost; haactl failover hands over",
            self.config.name
        );
        self.answer(id, request, RequestState::Refused { why });
    }
}

fn names(all: &[MemberName]) -> String {
    all.iter().map(MemberName::as_str).collect::<Vec<_>>().join(" and ")
}
