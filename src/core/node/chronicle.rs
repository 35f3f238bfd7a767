//! How our leadership came about, for the history: when each step was, who else could have led. Never decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observe::{PeerState, Primary};
use crate::records::{Considered, HistoryRecord, Key, Phases, Record, Verdict};
use crate::units::{MemberName, Millis, Position, Revision, Term};

use super::Node;
use super::desk::{Change, Purpose, seen};
use super::role::Role;

/// Who has not come by then is missed elsewhere.
const ATTACHED: Millis = Millis(60_000);

/// One election, as its winner saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chronicle {
    story_began: Millis,
    phases: Phases,
    candidates: BTreeMap<MemberName, Considered>,
    /// What is written, until everybody follows.
    told: Option<(Term, HistoryRecord)>,
}

impl Chronicle {
    /// We stand, because of a leader that was last heard when it `began`; that was `noticed` later.
    pub(super) fn stood(&mut self, now: Millis, began: Millis, noticed: Millis) {
        let noticed_ms = noticed.min(now).since(began).0;
        let phases = Phases { noticed_ms, stood_ms: now.since(began).0, ..Phases::default() };
        *self = Self { story_began: began, phases, ..Self::default() };
    }

    /// There are grants enough.
    pub(super) fn granted(&mut self, now: Millis, candidates: BTreeMap<MemberName, Considered>) {
        self.phases.granted_ms = now.since(self.story_began).0;
        self.candidates = candidates;
    }

    /// `leader` names us.
    pub(super) fn elected(&mut self, now: Millis) {
        self.phases.elected_ms = now.since(self.story_began).0;
    }

    /// Postgres is out of recovery.
    pub(super) fn promoted(&mut self, now: Millis) {
        self.phases.promoted_ms = now.since(self.story_began).0;
    }
}

impl Node {
    /// Who could have led instead of us, by what they said last.
    pub(super) fn considered(
        &self,
        now: Millis,
        own: Position,
    ) -> BTreeMap<MemberName, Considered> {
        let ours = Considered { position: Some(own), verdict: Verdict::Chosen };
        let others = self.belief.view.iter().flat_map(|view| {
            let listed = view.sync.iter().flat_map(|sync| sync.value.members.keys());
            view.members.keys().chain(listed)
        });
        let mut all: BTreeMap<_, _> =
            others.map(|name| (name.clone(), self.consider(now, name, own))).collect();
        all.insert(self.config.name.clone(), ours);
        all
    }

    fn consider(&self, now: Millis, name: &MemberName, own: Position) -> Considered {
        let Some(beat) = self.belief.heard(now, name) else {
            return Considered { position: None, verdict: Verdict::Silent };
        };
        let verdict = match (beat.state, beat.position) {
            _ if !self.belief.listed(name) => Verdict::NotListed,
            (PeerState::Stopped | PeerState::NotReady, _) | (_, None) => Verdict::NotRunning,
            _ if !beat.fit || beat.tags.nofailover => Verdict::Unfit,
            (_, Some(position)) if position < own => Verdict::Behind,
            (_, Some(_)) => Verdict::AsGood,
        };
        Considered { position: beat.position, verdict }
    }

    /// Clients are let in: the history is told.
    pub(super) fn tell_history(
        &mut self,
        now: Millis,
        term: Term,
        to_tell: Option<Millis>,
        primary: &Primary,
    ) {
        let (Some(took), Some(kept)) = (to_tell, self.belief.term_key()) else { return };
        let reason = kept.value.reason;
        let mut phases = self.chronicle.phases;
        phases.open_ms = now.since(self.chronicle.story_began).0;
        let record = HistoryRecord {
            leader: self.config.name.clone(),
            timeline: primary.position.timeline,
            fork: primary.lineage.last().copied(),
            reason,
            at_unix_ms: 0,
            took_ms: took.0,
            phases,
            candidates: std::mem::take(&mut self.chronicle.candidates),
        };
        self.write_history(term, record.clone(), Some(Revision::ABSENT));
        self.chronicle.told = Some((term, record));
        // The history is for people: one try, whatever comes of it.
        if let Role::Primary { to_tell, .. } = &mut self.role {
            *to_tell = None;
        }
    }

    /// Everybody who is to follow us does: that ends the story.
    pub(super) fn end_history(&mut self, now: Millis, term: Term, primary: &Primary) {
        let Some((of, told)) = &self.chronicle.told else { return };
        let took = now.since(self.chronicle.story_began);
        if *of != term || took > ATTACHED {
            self.chronicle.told = None;
            return;
        }
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let mut members = sync.iter().flat_map(|sync| sync.value.members.keys());
        let follows = |name: &MemberName| {
            *name == self.config.name
                || primary.replicas.get(name).is_some_and(|sender| sender.streaming)
        };
        if members.all(follows) {
            let phases = Phases { attached_ms: Some(took.0), ..told.phases };
            let record = HistoryRecord { phases, ..told.clone() };
            self.chronicle.told = None;
            self.write_history(term, record, None);
        }
    }

    fn write_history(&mut self, term: Term, record: HistoryRecord, at: Option<Revision>) {
        let leader = (Key::Leader, seen(self.belief.own_leader_key()));
        let compare = at.map(|revision| (Key::History(term), revision));
        let change = Change::default().put(Record::History(term, record));
        self.desk.txn(Purpose::History, compare.into_iter().chain([leader]).collect(), change);
    }
}
