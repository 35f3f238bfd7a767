//! Wishes on their way: what was asked and not answered yet, so that nothing is asked twice. Never decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Job, StoreWish, Txn};
use crate::input::{Input, JobResult, Outcome, Via};
use crate::line::Fork;
use crate::observe::PostgresFacts;
use crate::off::{Mechanism, Off};
use crate::records::{Key, Record, RequestId};
use crate::units::{JobId, LeaseId, Millis, Revision, Token, TxnId};

/// What a transaction is for; one of each may be on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Claiming or completing the `cluster` key.
    Cluster,
    /// Standing, leading, handing over, letting go.
    Term,
    /// Our own member record.
    Member,
    /// The list in `sync`.
    Sync,
    /// An operator's request.
    Request(RequestId),
    /// The history of our leadership.
    History,
    /// What our Postgres discarded.
    Discarded(Fork),
}

/// Answers that do not come are given up after this long. The adapters answer everything; this is for the day
/// on which one does not.
const PATIENCE: Millis = Millis(5_000);

/// What has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The work in the slot.
    Job(Job, JobResult),
    /// A transaction.
    Txn(Purpose, Outcome),
}

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    /// Not answered yet.
    There,
    /// Answered.
    Back,
}

/// Work in the one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) id: JobId,
    pub(super) job: Job,
}

/// The wishes of this round, and those on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Desk {
    effects: Vec<Effect>,
    wake: Millis,
    drawn: u64,
    seed: u64,
    #[serde(with = "pairs")]
    txns: BTreeMap<Purpose, TxnId>,
    lease_asked: Option<Millis>,
    lease_next: Millis,
    read_asked: Option<Millis>,
    /// When we last asked after another's lease, and whether the answer is still on its way.
    #[serde(default)]
    asked_after: Option<(Millis, Way)>,
    slot: Option<Slot>,
    /// Looks at Postgres that began before this tell nothing about the work that ended here.
    settled_at: Millis,
    /// The work that ended last: a look that still saw it began before that, though it may be in the same millisecond.
    #[serde(default)]
    ended: Option<JobId>,
    close_next: Millis,
    look_next: Millis,
    #[serde(skip)]
    pub(super) off: Off,
}

impl Desk {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            effects: Vec::new(),
            wake: Millis(0),
            drawn: 0,
            seed,
            txns: BTreeMap::new(),
            lease_asked: None,
            lease_next: Millis(0),
            read_asked: None,
            asked_after: None,
            slot: None,
            settled_at: Millis(0),
            ended: None,
            close_next: Millis(0),
            look_next: Millis(0),
            off: Off::NONE,
        }
    }

    /// Learn of an answer. Returns what came to its end by it, and how.
    pub(super) fn learn(&mut self, now: Millis, input: &Input) -> Option<Ended> {
        match input {
            Input::Store(seen) => match seen.via {
                Via::Watch => None,
                Via::Read { .. } => {
                    self.read_asked = None;
                    None
                }
                Via::Txn { id, outcome, .. } => {
                    let mut answered = self.txns.iter().filter(|(_, waiting)| **waiting == id);
                    let purpose = answered.next().map(|(purpose, _)| purpose.clone())?;
                    self.txns.remove(&purpose);
                    Some(Ended::Txn(purpose, outcome))
                }
            },
            Input::Lease(_) => {
                self.lease_asked = None;
                None
            }
            Input::LeaseSeen(_) => {
                self.asked_after = self.asked_after.map(|(at, _)| (at, Way::Back));
                None
            }
            Input::Job(id, result) => {
                let slot = self.slot.take_if(|slot| slot.id == *id)?;
                self.settled_at = now;
                self.ended = Some(slot.id);
                // What was seen before tells nothing, and decisions wait for the next look.
                self.wish(Effect::Look);
                Some(Ended::Job(slot.job, result.clone()))
            }
            Input::Tick
            | Input::StoreRevokesEarly(_)
            | Input::Postgres(_)
            | Input::Discarded(_)
            | Input::Tags(_)
            | Input::Promised(_)
            | Input::Peer(_)
            | Input::Wall(_)
            | Input::Stop(_) => None,
        }
    }

    /// Begin a round of decisions.
    pub(super) fn begin(&mut self, wake: Millis) {
        self.wake = wake;
    }

    /// The wishes of this round.
    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) const fn wake(&self) -> Millis {
        self.wake
    }

    /// Decide again at this instant, whatever happens before.
    pub(super) fn wake_at(&mut self, at: Millis) {
        self.wake = self.wake.min(at);
    }

    pub(super) fn wish(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        // splitmix64: every number drawn from one seed is different.
        let mut z = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A token for one attempt.
    pub(super) fn token(&mut self) -> Token {
        Token(self.draw())
    }

    // --- transactions

    pub(super) fn waits_for(&self, purpose: &Purpose) -> bool {
        self.txns.contains_key(purpose)
    }

    /// Ask for a transaction, unless one for the same purpose is on its way.
    pub(super) fn txn(&mut self, purpose: Purpose, compare: Vec<(Key, Revision)>, change: Change) {
        if self.waits_for(&purpose) {
            return;
        }
        self.drawn += 1;
        let id = TxnId(self.drawn);
        self.txns.insert(purpose, id);
        let Change { put, delete } = change;
        self.wish(Effect::Store(StoreWish::Txn(Txn { id, compare, put, delete })));
    }

    // --- lease and confirmation

    /// Ask for a lease or its renewal when that is due and none is on its way.
    pub(super) fn lease(&mut self, now: Millis, due: Millis, wish: StoreWish) {
        let due = due.max(self.lease_next);
        let waiting = self.lease_asked.is_some_and(|asked| now.since(asked) < PATIENCE);
        if waiting {
            return;
        }
        if now < due {
            self.wake_at(due);
            return;
        }
        self.lease_asked = Some(now);
        // Unanswered, it is asked again soon; a confirmed renewal pushes `due` further than this.
        self.lease_next = now.after(Millis(500));
        self.wish(Effect::Store(wish));
    }

    /// A new lease is wanted at once.
    pub(super) fn lease_is_gone(&mut self) {
        self.lease_next = Millis(0);
    }

    pub(super) fn read(&mut self, now: Millis) {
        if self.read_asked.is_none_or(|asked| now.since(asked) >= PATIENCE) {
            self.read_asked = Some(now);
            self.wish(Effect::Store(StoreWish::Read));
        }
    }

    /// Ask how long another's lease lasts, so often, and at an instant that matters; never twice at a time.
    pub(super) fn ask_after(
        &mut self,
        now: Millis,
        lease: LeaseId,
        every: Millis,
        at: Option<Millis>,
    ) {
        let due = match self.asked_after {
            None => now,
            Some((asked, Way::There)) => asked.after(PATIENCE),
            Some((asked, Way::Back)) => {
                let next = asked.after(every);
                at.filter(|at| *at > asked).map_or(next, |at| next.min(at))
            }
        };
        if now < due {
            return self.wake_at(due);
        }
        self.asked_after = Some((now, Way::There));
        self.wish(Effect::Store(StoreWish::TimeToLive(lease)));
    }

    // --- Postgres

    pub(super) const fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Whether these facts were seen after the last work ended, with none begun since.
    pub(super) fn settled(&self, facts: &PostgresFacts) -> bool {
        let saw = facts.job.is_some() && facts.job == self.ended;
        let late = facts.began_at >= self.settled_at && !saw;
        self.slot.is_none() && (late || self.off.is(Mechanism::Settled))
    }

    /// Ask for long work. The slot must be free: whoever asks has looked at settled facts.
    pub(super) fn job(&mut self, job: Job) {
        if self.slot.is_some() {
            return;
        }
        self.drawn += 1;
        let id = JobId(self.drawn);
        self.slot = Some(Slot { id, job: job.clone() });
        self.wish(Effect::Job(id, job));
    }

    /// A fresh look at Postgres, because a decision waits for one; repeated until it is made.
    pub(super) fn look(&mut self, now: Millis, every: Millis) {
        if now >= self.look_next {
            self.look_next = now.after(every);
            self.wish(Effect::Look);
        }
        self.wake_at(self.look_next);
    }

    /// Close writes at once; repeated until it is seen.
    pub(super) fn close(&mut self, now: Millis, reason: crate::reason::Reason) {
        if now >= self.close_next {
            self.close_next = now.after(Millis(500));
            self.wish(Effect::Close(reason));
        }
        self.wake_at(self.close_next);
    }

    /// The next wish to close is not a repetition.
    pub(super) fn may_close_anew(&mut self) {
        self.close_next = Millis(0);
    }
}

/// What a transaction writes and deletes.
#[derive(Default)]
pub(super) struct Change {
    put: Vec<(Record, Option<LeaseId>)>,
    delete: Vec<Key>,
}

impl Change {
    pub(super) fn put(mut self, record: Record) -> Self {
        self.put.push((record, None));
        self
    }

    pub(super) fn put_on(mut self, lease: LeaseId, record: Record) -> Self {
        self.put.push((record, Some(lease)));
        self
    }

    pub(super) fn delete(mut self, key: Key) -> Self {
        self.delete.push(key);
        self
    }
}

/// The `mod_revision` to compare a key with: that of what was seen, or "absent".
pub(super) fn seen<T>(kept: Option<&crate::records::Kept<T>>) -> Revision {
    kept.map_or(Revision::ABSENT, |kept| kept.revision)
}

/// A map whose keys are no texts, as a list of pairs.
mod pairs {
    use super::{BTreeMap, Deserialize, Purpose, Serialize, TxnId};

    pub(super) fn serialize<S: serde::Serializer>(
        map: &BTreeMap<Purpose, TxnId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Purpose, TxnId>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
