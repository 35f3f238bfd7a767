//! What our Postgres discarded, told to the store: once, whatever happens to the agent meanwhile. Never decides what
//! is discarded.

use serde::{Deserialize, Serialize};

use crate::discard::Discarded;
use crate::effect::Effect;
use crate::input::Outcome;
use crate::line::Fork;
use crate::records::Record;
use crate::units::{Millis, Revision};

use super::Node;
use super::desk::{Change, Purpose};

/// After an outcome that nobody knows.
const AGAIN: Millis = Millis(1_000);

/// What the store does not show yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Telling {
    untold: Vec<Discarded>,
    retry_at: Millis,
}

impl Telling {
    /// There is a note of it on our disk.
    pub(super) fn learn(&mut self, lost: &Discarded) {
        self.untold.retain(|known| known.fork != lost.fork);
        self.untold.push(lost.clone());
    }
}

impl Node {
    /// One at a time. The key is compared with absence, and nothing else: refused means that it is there.
    pub(super) fn tell_discarded(&mut self, now: Millis) {
        let Some(lost) = self.telling.untold.first().filter(|_| self.belief.view.is_some()) else {
            return;
        };
        if now < self.telling.retry_at {
            return self.desk.wake_at(self.telling.retry_at);
        }
        let purpose = Purpose::Discarded(lost.fork);
        if self.desk.waits_for(&purpose) {
            return;
        }
        let lost = Discarded { term: self.belief.term, ..lost.clone() };
        let compare = vec![(lost.key(), Revision::ABSENT)];
        let change = Change::default().put(Record::Discarded(lost));
        self.desk.txn(purpose, compare, change);
    }

    /// The note goes only when the store is known to show what it says.
    pub(super) fn discarded_told(&mut self, now: Millis, fork: Fork, outcome: Outcome) {
        match outcome {
            Outcome::Committed | Outcome::Refused => {
                self.telling.untold.retain(|lost| lost.fork != fork);
                self.desk.wish(Effect::ForgetNote(fork));
            }
            Outcome::Unknown => self.telling.retry_at = now.after(AGAIN),
        }
    }
}
