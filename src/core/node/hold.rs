//! PgBouncers in a hand-over: held once all else is ready, and never longer than it is wanted. Talks to none of them.

use serde::{Deserialize, Serialize};

use crate::effect::Job;
use crate::input::JobResult;
use crate::reason::Reason;
use crate::records::MemberRole;
use crate::routes::PoolsAre;

use super::role::Role;
use super::{Node, Pools};

/// Whether the PgBouncers hold their clients for the request that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Held {
    /// They were not asked to, or the transactions that go through them have not ended yet.
    #[default]
    NotYet,
    /// They do. The hand-over begins in the same round.
    Yes,
    /// They do not, and are not asked again: why.
    Over(String),
}

/// Whether they are to, as this round of decisions came to it. What is not wanted anew in each round is over: a request
/// that cannot go on, for whatever reason, holds nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Holding {
    /// No.
    #[default]
    No,
    /// Yes.
    Yes,
}

impl Node {
    /// Whether no client behind a PgBouncer will notice the stop but by a pause; `None` while it may still come to
    /// that. A failover waits for nobody's transactions.
    pub(super) fn is_held(&mut self, reason: Reason) -> Option<Result<(), String>> {
        // Nor does anybody whose next primary is at another site.
        let at_once = matches!(reason, Reason::Failover | Reason::ClusterDemoted);
        if self.config.pools == Pools::None || at_once {
            return Some(Ok(()));
        }
        match &self.accepted.as_ref()?.held {
            Held::NotYet => {
                self.holding = Holding::Yes;
                self.desk.job(Job::Hold);
                None
            }
            Held::Yes => Some(Ok(())),
            Held::Over(why) => Some(Err(why.clone())),
        }
    }

    /// How the work of holding them ended.
    pub(super) fn hold_ended(&mut self, result: &JobResult) {
        let Some(accepted) = self.accepted.as_mut().filter(|known| known.held == Held::NotYet)
        else {
            return;
        };
        accepted.held = match result {
            JobResult::Done => Held::Yes,
            JobResult::Failed(why) => Held::Over(why.clone()),
            JobResult::Aborted => Held::Over("it was given up".to_owned()),
        };
    }

    /// They are held for a hand-over that begins at once, or not at all.
    pub(super) fn end_unused_hold(&mut self) {
        let leads = matches!(self.role, Role::Primary { .. });
        if let Some(accepted) = self.accepted.as_mut().filter(|known| known.held == Held::Yes)
            && leads
        {
            let why = "something came between when all was ready: ask again";
            accepted.held = Held::Over(why.to_owned());
        }
    }

    /// What they are to do. Whoever accepts writes lets their clients through, whoever held them before.
    pub(super) fn pools(&self) -> PoolsAre {
        match (self.config.pools, self.member_role(), self.holding) {
            (Pools::Known, MemberRole::Primary { .. }, Holding::Yes) => PoolsAre::Held,
            (Pools::Known, MemberRole::Primary { term }, Holding::No) => PoolsAre::Free(term),
            (
                Pools::Known,
                MemberRole::Promoting { term } | MemberRole::Opening { term },
                Holding::No,
            ) => PoolsAre::Soon(term),
            (Pools::Known | Pools::None, _, _) => PoolsAre::Left,
        }
    }
}
