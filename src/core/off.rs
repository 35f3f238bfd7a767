//! Mechanisms of safety that can be switched off, one at a time, so that the proof can show that it would notice.
//! Only with the feature `mutations`; never in a build for use.

/// What can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Leadership ends before the lease can.
    Margin,
    /// Only a linearizable view, asked for after the renewal, confirms a leadership.
    Confirmation,
    /// A look that began before the last work ended tells nothing.
    Settled,
    /// What was seen of Postgres too long ago counts as silence.
    Freshness,
    /// WAL is compared with the leader's line before anything connects.
    Comparison,
    /// Data are given up only on a view that is younger than the look, and than the plan.
    FreshErase,
    /// Positions are ranked by timeline first.
    Rank,
    /// Data that were made anew are no longer those on the list.
    Incarnation,
    /// Only members on the list may lead.
    List,
    /// A key that vanished where etcd revokes early is mourned.
    Mourning,
    /// After the loss of all, everybody who may stand is heard first.
    Gathering,
    /// Who lags for long leaves the list.
    Laggards,
    /// Nobody stands who is too far behind.
    LagLimit,
    /// The leader's key goes only after Postgres was seen stopped.
    ReleaseAfterStop,
    /// A candidate waits for the others' positions, and passes on to whoever has more.
    Reports,
    /// Only what was said in this attempt counts.
    ThisAttempt,
    /// A leadership's timeline number is above all that are known.
    Reservation,
    /// The leader transaction comes after detaching.
    Detach,
    /// A second agent with the same name takes nothing for its own.
    Namesake,
    /// A timeline that no leadership made may not lead.
    Elsewhere,
    /// A member joins its own database system only.
    Foreign,
    /// A Postgres that is out of recovery without a leadership is closed.
    OpenWithoutLeadership,
    /// The successor of a switchover waits for the shutdown checkpoint.
    Cover,
    /// An open Postgres that a restarted agent finds is borne only as long as was remembered.
    Remembered,
    /// A promoted Postgres is on the reserved timeline, or gives way.
    PromotedAsReserved,
    /// A cluster that is made of data that are there is made of the most.
    Claim,
    /// What another member than the creator has made for a new cluster is never part of it.
    Creator,
    /// Nobody leads whose recovery is bound for another timeline than it stands on.
    BoundElsewhere,
    /// A store that went back is not believed.
    WentBack,
    /// A grant is on disk before anybody is told, and so are the newest term and version of `sync`.
    DurableGrant,
    /// Whoever granted attaches to nobody until `term` has moved past it.
    GrantBinds,
    /// As many grants as share a voter with every acknowledgement.
    Grants,
    /// Only grants of this very attempt count.
    GrantOfAttempt,
    /// The leader transaction compares `sync`.
    SyncInLeadership,
    /// A write of `sync` compares `term`.
    TermInSync,
    /// A primary against whom somebody stands changes no voters.
    StandStill,
    /// A write of `sync` compares `sync`.
    SyncInSync,
    /// What tightens waits for the barrier.
    Barrier,
    /// A list is widened only after `sync` was written once more.
    Affirmation,
    /// A voter is added in etcd first.
    OrderOfAdding,
    /// A voter is removed in Postgres first.
    OrderOfRemoving,
    /// k is raised in Postgres first.
    OrderOfRaising,
    /// k is lowered in etcd first.
    OrderOfLowering,
    /// A primary is alone in etcd first.
    OrderOfAlone,
    /// Voters are founded in Postgres first.
    OrderOfFounding,
    /// `async` is in etcd first.
    OrderOfLeaving,
    /// A primary goes alone only when the others could not elect.
    AloneAtLast,
    /// A primary that is to be strict acknowledges nothing that no other member has.
    Strict,
    /// Clients are let in after k voters have flushed the new timeline.
    Door,
    /// Enough voters say that the leader is lost before one stands against it.
    PreVote,
    /// A voter that would be asking only itself waits for etcd's word that the leader does not renew.
    Evidence,
    /// A leader that one voter alone could depose renews often while it may have lost one.
    SignOfLife,
    /// A standby lets nobody read before its data are known to be part of a leader's history.
    UnreadAtStart,
    /// A standby that an earlier run may have asked to be promoted is started anew.
    MayBePromoting,
    /// A primary goes on without etcd only while every member lets it.
    ConsentOfAll,
    /// Only an answer to a question counts, and from when that one was asked.
    ConsentOfQuestion,
    /// A member that reaches etcd lets no primary go on without it.
    Blindness,
    /// Whoever let a primary go on neither stands nor grants meanwhile.
    ConsentBinds,
    /// Consent is on disk before anybody is told.
    DurableConsent,
    /// Neither a voter nor whoever is bound to a candidate fetches WAL that its leader has thrown away.
    FetchBinds,
    /// Another than the leader is streamed from only while it has what the leader has.
    Upstream,
    /// Data that an operator gives up are no voter's before they go.
    ReinitOfVoter,
    /// In a standby cluster nobody can prove that it may accept writes.
    NoLeadershipInStandby,
    /// A logical slot that was lost with its position is not made again as if it were new.
    LostSlots,
}

/// Which mechanisms are off: none, outside of mutation tests; two where each covers the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Off {
    #[cfg(feature = "mutations")]
    which: [Option<Mechanism>; 2],
}

impl Off {
    /// Nothing is off.
    pub(crate) const NONE: Self = Self {
        #[cfg(feature = "mutations")]
        which: [None; 2],
    };

    /// This one is off too; of three, the first and the last.
    #[cfg(feature = "mutations")]
    pub(crate) const fn and(self, mechanism: Mechanism) -> Self {
        let [first, _] = self.which;
        match first {
            None => Self { which: [Some(mechanism), None] },
            Some(_) => Self { which: [first, Some(mechanism)] },
        }
    }

    /// Whether this one is off.
    #[cfg(feature = "mutations")]
    pub(crate) fn is(self, mechanism: Mechanism) -> bool {
        self.which.contains(&Some(mechanism))
    }

    /// Whether this one is off.
    #[cfg(not(feature = "mutations"))]
    #[expect(clippy::unused_self, reason = "the same call with and without the feature")]
    pub(crate) const fn is(self, _: Mechanism) -> bool {
        false
    }
}

#[cfg(feature = "mutations")]
impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 64] = [
        Self::Margin,
        Self::Confirmation,
        Self::Settled,
        Self::Freshness,
        Self::Comparison,
        Self::FreshErase,
        Self::Rank,
        Self::Incarnation,
        Self::List,
        Self::Mourning,
        Self::Gathering,
        Self::Laggards,
        Self::LagLimit,
        Self::ReleaseAfterStop,
        Self::Reports,
        Self::ThisAttempt,
        Self::Reservation,
        Self::Detach,
        Self::Namesake,
        Self::Elsewhere,
        Self::Foreign,
        Self::OpenWithoutLeadership,
        Self::Cover,
        Self::Remembered,
        Self::PromotedAsReserved,
        Self::Claim,
        Self::Creator,
        Self::BoundElsewhere,
        Self::WentBack,
        Self::DurableGrant,
        Self::GrantBinds,
        Self::Grants,
        Self::GrantOfAttempt,
        Self::SyncInLeadership,
        Self::TermInSync,
        Self::StandStill,
        Self::SyncInSync,
        Self::Barrier,
        Self::Affirmation,
        Self::OrderOfAdding,
        Self::OrderOfRemoving,
        Self::OrderOfRaising,
        Self::OrderOfLowering,
        Self::OrderOfAlone,
        Self::OrderOfFounding,
        Self::OrderOfLeaving,
        Self::AloneAtLast,
        Self::Strict,
        Self::Door,
        Self::PreVote,
        Self::Evidence,
        Self::SignOfLife,
        Self::UnreadAtStart,
        Self::MayBePromoting,
        Self::ConsentOfAll,
        Self::ConsentOfQuestion,
        Self::Blindness,
        Self::ConsentBinds,
        Self::DurableConsent,
        Self::FetchBinds,
        Self::Upstream,
        Self::ReinitOfVoter,
        Self::LostSlots,
        Self::NoLeadershipInStandby,
    ];
}
