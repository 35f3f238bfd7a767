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
    /// How long it lasts from a renewal on, as etcd granted it.
    pub ttl: Millis,
    /// How long it lets us lead from then on, by the settings that were in force at the last renewal.
    pub counts: Millis,
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
    /// One that etcd granted, or renewed, while these settings were in force. `margin` pays for clock rate and for
    /// closing writes. Where `ttl` was changed since the lease was granted, the shorter one counts: the lease ends by
    /// the old, and others wait by the new. Settings that change later count from the next renewal on, or whoever
    /// lowers `ttl` would end a leadership that was renewed a moment too long ago.
    #[must_use]
    pub fn granted(id: LeaseId, asked_at: Millis, ttl: Millis, timing: Timing) -> Self {
        let margin = timing.margin.max(Timing::least_margin(ttl));
        Self { id, asked_at, ttl, counts: ttl.min(timing.ttl).before(margin) }
    }

    /// Counts from when we asked, not from when the answer came: the store began its own countdown somewhere
    /// in between.
    #[must_use]
    pub fn leadership(self, term: Term, now: Millis) -> Option<Leadership> {
        let until = self.asked_at.after(self.counts);
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
