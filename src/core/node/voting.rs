//! The voters: one change at a time. What loosens goes to etcd first; what tightens goes to Postgres first, and to etcd
//! after the barrier (I6). Never decides who leads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::input::Outcome;
use crate::lease::Leadership;
use crate::list::List;
use crate::observe::{Door, Primary};
use crate::off::{Mechanism, Off};
use crate::records::{Key, Record, SyncRecord};
use crate::settings::Durability;
use crate::units::{Incarnation, Lsn, MemberName, Millis, Revision, Term};

use super::Node;
use super::desk::{Change, Purpose, seen};

/// Names with the incarnation of their data.
pub(super) type Names = BTreeMap<MemberName, Incarnation>;

/// So long the voters stay as the promotion had them, so that nothing comes before the first clients. Voters who are
/// not there by then may have to be changed before there are any.
const OPENS_SOON: Millis = Millis(500);

/// A list that is not seen effective is wished again after this long.
const AGAIN: Millis = Millis(1_000);

/// Where the WAL ended once a list was effective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Barrier {
    /// First seen by a look that came in then: its positions may be older than that.
    Seen(Millis),
    /// By a later look.
    At(Lsn),
}

/// A change of V or k: one row of the table in docs/protocol.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// As it is.
    Stay,
    /// As it is, and no commit is acknowledged.
    Hold,
    /// A voter more.
    Add(MemberName, Incarnation),
    /// A voter less.
    Remove(MemberName),
    /// One copy more.
    Raise,
    /// One copy less.
    Lower,
    /// From some voters to none but the primary.
    Alone,
    /// From none to some, or from `async`.
    Found(Names, u32),
    /// To `async`.
    Leave,
}

/// What to do next about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Wait,
    List(List),
    Write(Box<SyncRecord>),
}

/// The beginning of a timeline, which enough voters are to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opening {
    term: Term,
    lsn: Lsn,
    /// When it was first seen.
    #[serde(default)]
    at: Millis,
}

/// What a leader remembers about its voters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Voting {
    /// The list that is effective, and how far it was seen to be so.
    barrier: Option<(List, Barrier)>,
    /// `sync` as we wrote it last: nothing of ours that is still on its way can change it.
    affirmed: Option<Revision>,
    /// The list that we wished for last.
    asked: Option<(List, Millis)>,
}

impl Voting {
    /// A write of `sync` of ours was answered.
    pub(super) fn learn(&mut self, outcome: Outcome, revision: Revision) {
        self.affirmed = match outcome {
            Outcome::Committed => Some(revision),
            Outcome::Refused | Outcome::Unknown => None,
        };
    }

    /// A commit that `list` acknowledged before it was effective everywhere is on enough of it.
    fn passed(&self, list: &List, primary: &Primary, off: Off) -> bool {
        let (List::Any { k, names } | List::FirstPadded { k, names }) = list else { return true };
        match self.barrier.as_ref().filter(|(of, _)| of == list) {
            Some(_) if off.is(Mechanism::Barrier) => true,
            Some((_, Barrier::At(lsn))) => flushed(primary, names, *lsn) >= *k as usize,
            Some((_, Barrier::Seen(_))) | None => false,
        }
    }

    fn note(&mut self, now: Millis, effective: &List, (looked_at, inserted): (Millis, Lsn)) {
        match &self.barrier {
            Some((list, Barrier::At(_))) if list == effective => {}
            Some((list, Barrier::Seen(seen))) if list == effective => {
                if looked_at >= *seen {
                    self.barrier = Some((effective.clone(), Barrier::At(inserted)));
                }
            }
            Some(_) | None => self.barrier = Some((effective.clone(), Barrier::Seen(now))),
        }
    }
}

/// How many of these have flushed up to here, as the primary sees them.
fn flushed(primary: &Primary, names: &Names, to: Lsn) -> usize {
    let has = |(name, incarnation): &(&MemberName, &Incarnation)| {
        let sender = primary.replicas.get(*name);
        sender.is_some_and(|sender| sender.incarnation == **incarnation && sender.flushed >= to)
    };
    names.iter().filter(has).count()
}

impl Turn {
    /// The record when it is done.
    fn written(&self, sync: &SyncRecord) -> SyncRecord {
        let mut next = sync.clone();
        match self {
            Self::Stay | Self::Hold => {}
            Self::Add(name, incarnation) => {
                next.voters.insert(name.clone(), *incarnation);
            }
            Self::Remove(name) => {
                next.voters.remove(name);
            }
            Self::Raise => next.k += 1,
            Self::Lower => next.k = next.k.saturating_sub(1),
            Self::Alone => {
                next.voters.retain(|name, _| *name == sync.primary);
                next.k = 0;
            }
            Self::Found(voters, k) => {
                next.voters.clone_from(voters);
                next.k = *k;
                next.durability = Durability::Quorum;
            }
            Self::Leave => {
                next.voters.clear();
                next.k = 0;
                next.durability = Durability::Async;
            }
        }
        next
    }

    /// Its row of the table, if it tightens, and the mutation that turns it round.
    const fn row(&self) -> (bool, Option<Mechanism>) {
        match self {
            Self::Stay | Self::Hold => (false, None),
            Self::Leave => (false, Some(Mechanism::OrderOfLeaving)),
            Self::Add(..) => (false, Some(Mechanism::OrderOfAdding)),
            Self::Lower => (false, Some(Mechanism::OrderOfLowering)),
            Self::Alone => (false, Some(Mechanism::OrderOfAlone)),
            Self::Remove(_) => (true, Some(Mechanism::OrderOfRemoving)),
            Self::Raise => (true, Some(Mechanism::OrderOfRaising)),
            Self::Found(..) => (true, Some(Mechanism::OrderOfFounding)),
        }
    }

    /// The list to wish for on the way to `to`, when `now` is effective. `ANY` does not show its k, so a larger one
    /// comes by way of `FIRST`; and from an empty list commits do not wait at once.
    fn way(&self, now: &List, to: List) -> List {
        match (self, now, &to) {
            (Self::Found(..), List::Nothing, _) => List::Nobody,
            (Self::Raise, List::Any { k: of, .. }, List::Any { k, names }) if of < k => {
                List::FirstPadded { k: *k, names: names.clone() }
            }
            (_, _, _) => to,
        }
    }

    fn next(
        &self,
        sync: &SyncRecord,
        now: &List,
        passed: impl Fn(&List) -> bool,
        off: Off,
    ) -> Step {
        let written = self.written(sync);
        let list = written.list();
        let (tightens, order) = self.row();
        let turned = order.is_some_and(|mechanism| off.is(mechanism));
        let write = Step::Write(Box::new(written));
        match (self, tightens) {
            (Self::Hold, _) if *now == List::Nothing => Step::List(List::Nobody),
            (Self::Hold, _) => Step::Wait,
            (Self::Stay, _) if *now == list => Step::Wait,
            (Self::Stay, _) => Step::List(list),
            (_, false) if turned && *now != list => Step::List(list),
            (_, true) if !turned && *now != list => Step::List(self.way(now, list)),
            (_, true) if !turned && !passed(&list) => Step::Wait,
            (_, _) => write,
        }
    }
}

impl Node {
    /// Postgres' list and `sync` go together, step by step. Whether `sync` is at rest.
    pub(super) fn keep_voters(
        &mut self,
        now: Millis,
        proof: Leadership,
        primary: &Primary,
    ) -> bool {
        let Some(sync) = self.own_sync(proof).cloned() else { return false };
        self.watch_voters(now, primary, &sync);
        // What was effective before our last wish tells nothing about it.
        let wished = |list: &&List| self.voting.asked.as_ref().is_none_or(|(of, _)| of == *list);
        let Some(effective) = primary.effective.as_ref().filter(wished) else {
            self.prove_list(now, proof, &sync, primary);
            return false;
        };
        let looked_at = self.belief.facts.as_ref().map_or(now, |facts| facts.began_at);
        self.voting.note(now, effective, (looked_at, primary.inserted));
        let turn = self.change_of_voters(now, &sync, primary);
        let passed = |list: &List| self.voting.passed(list, primary, self.off);
        match turn.next(&sync, effective, passed, self.off) {
            Step::Wait if turn == Turn::Stay => return true,
            Step::Wait => self.desk.look(now, Millis(20)),
            Step::List(list) => {
                let ordered = turn.row().1.is_none_or(|mechanism| !self.off.is(mechanism));
                let widens = !list.is_within(effective) && ordered;
                if widens && !self.is_affirmed() {
                    self.write_sync(sync);
                } else {
                    self.ask_list(now, proof, list);
                }
            }
            Step::Write(record) => {
                self.note_change(now, &turn, &sync);
                self.write_sync(*record);
            }
        }
        false
    }

    /// `sync` in a view that also shows this leadership, and nobody standing against it.
    fn own_sync(&self, proof: Leadership) -> Option<&SyncRecord> {
        let calm = self.belief.leader().is_some() || self.off.is(Mechanism::StandStill);
        let ours = calm && self.belief.own_leader_key()?.value.term == proof.term();
        let sync = &self.belief.view.as_ref()?.sync.as_ref()?.value;
        (ours && sync.term == proof.term() && sync.primary == self.config.name).then_some(sync)
    }

    /// A list whose effect is not proven is wished (again); to wish for the record's own may widen what is there.
    /// A walsender that hangs never takes one: going alone waits for nobody.
    fn prove_list(&mut self, now: Millis, proof: Leadership, sync: &SyncRecord, primary: &Primary) {
        let turn = self.change_of_voters(now, sync, primary);
        let released = sync.is_quorum() && sync.k == 0 && self.is_affirmed();
        match self.voting.asked.clone() {
            _ if turn == Turn::Alone => self.write_sync(turn.written(sync)),
            _ if released && turn == Turn::Stay => self.ask_list(now, proof, sync.list()),
            Some((list, _)) => self.ask_list(now, proof, list),
            None if self.is_affirmed() => self.ask_list(now, proof, self.list_under(sync)),
            None => self.write_sync(sync.clone()),
        }
    }

    /// `sync` is as we wrote it last: nothing of ours that is still on its way can change it.
    pub(super) fn is_affirmed(&self) -> bool {
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let same = sync.is_some_and(|kept| Some(kept.revision) == self.voting.affirmed);
        same && !self.desk.waits_for(&Purpose::Sync) || self.off.is(Mechanism::Affirmation)
    }

    /// Whom commits wait for under this record, until somebody joins whom `strict` waits for.
    pub(super) fn list_under(&self, sync: &SyncRecord) -> List {
        match sync.list() {
            List::Nothing if sync.is_quorum() && self.is_strict() => List::Nobody,
            list => list,
        }
    }

    fn ask_list(&mut self, now: Millis, proof: Leadership, list: List) {
        let asked = self.voting.asked.as_ref();
        if asked.is_none_or(|(last, at)| *last != list || now.since(*at) >= AGAIN) {
            self.desk.wish(Effect::List(proof, list.clone()));
            self.voting.asked = Some((list, now));
        }
        self.desk.look(now, Millis(20));
    }

    pub(super) fn write_sync(&mut self, record: SyncRecord) {
        let Some(view) = self.belief.view.as_ref() else { return };
        let mut compare = vec![(Key::Sync, seen(view.sync.as_ref()))];
        compare.push((Key::Leader, seen(view.leader.as_ref())));
        if !self.off.is(Mechanism::TermInSync) {
            compare.push((Key::Term, seen(view.term.as_ref())));
        }
        if self.off.is(Mechanism::SyncInSync) {
            compare.remove(0);
        }
        let version = record.version + 1;
        let record = SyncRecord { version, ..record };
        self.desk.txn(Purpose::Sync, compare, Change::default().put(Record::Sync(record)));
    }

    /// Whether the door is about to open.
    pub(super) fn opens_soon(&self, now: Millis) -> bool {
        self.opening.is_some_and(|opening| now.since(opening.at) < OPENS_SOON)
    }

    /// Clients are let in when enough voters have flushed the beginning of the new timeline (I13). Whether they are.
    pub(super) fn keep_door(&mut self, now: Millis, proof: Leadership, primary: &Primary) -> bool {
        match primary.door {
            Some(Door::Open) => return true,
            Some(Door::Shut) => {}
            // Whoever cannot tell has not shut it: that is asked of the promotion, which fails without it.
            None => return true,
        }
        let sync = self.belief.view.as_ref().and_then(|view| view.sync.as_ref());
        let sync = sync.map(|kept| &kept.value).filter(|sync| sync.term == proof.term());
        let Some(sync) = sync else { return false };
        // Flushed, not inserted: what nobody waits for would be flushed at leisure, and the record that begins a
        // timeline is flushed before recovery ends.
        let began = Opening { term: proof.term(), lsn: primary.position.lsn, at: now };
        let began = *self.opening.get_or_insert(began);
        if began.term != proof.term() {
            self.opening = None;
            return false;
        }
        let enough = flushed(primary, &sync.other_voters(), began.lsn) >= sync.k as usize;
        if enough || self.off.is(Mechanism::Door) {
            self.desk.wish(Effect::OpenDoor(proof));
        }
        self.desk.look(now, Millis(5));
        false
    }
}
