//! The lease: when we may lead, and until when. Never talks to the store.

use serde::{Deserialize, Serialize};

use crate::settings::Timing;
use crate::units::{LeaseId, Millis, Term};

/// A lease that etcd confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// etcd's number.
    pub id: LeaseId,
    /// Our clock when we asked for the renewal that was confirmed last.
    pub asked_at: Millis,
}

/// What stands in for a lease that nobody can renew: every other member promised not to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Consent {
    /// The leadership that it lets go on.
    pub term: Term,
    /// Until then: before the first of the promises can end.
    pub until: Millis,
}

/// The proof that we may accept writes, until an instant of our own clock. Only a lease can make one, or the consent of
/// all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leadership {
    term: Term,
    until: Millis,
}

impl Leadership {
    /// The leadership that it proves.
    #[must_use]
    pub const fn term(self) -> Term {
        self.term
    }

    /// From this instant on it proves nothing.
    #[must_use]
    pub const fn until(self) -> Millis {
        self.until
    }
}

impl Lease {
    /// Counts from when we asked, not from when the answer came: the store began its own countdown somewhere
    /// in between. `margin` pays for clock rate and for closing writes.
    #[must_use]
    pub fn leadership(self, term: Term, now: Millis, timing: Timing) -> Option<Leadership> {
        let until = self.asked_at.after(timing.ttl).before(timing.margin);
        (now < until).then_some(Leadership { term, until })
    }
}

impl Consent {
    /// Counts from when we asked, like a lease: each member began its own countdown when it heard us, later. As long as
    /// was asked for, whatever the settings have become since.
    #[must_use]
    pub const fn to(term: Term, asked_at: Millis, timing: Timing) -> Self {
        Self { term, until: asked_at.after(timing.ttl).before(timing.margin) }
    }

    /// The proof that it is.
    #[must_use]
    pub fn leadership(self, now: Millis) -> Option<Leadership> {
        (now < self.until).then_some(Leadership { term: self.term, until: self.until })
    }
}
