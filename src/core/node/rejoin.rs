//! How our WAL lies beside the leader's: follow, or rewind first. Compared before anything connects (I10).

use crate::line::{Beside, Line};
use crate::observe::Standby;
use crate::off::Mechanism;
use crate::records::MemberRole;
use crate::units::Millis;

use super::belief::{Belief, Leader};

/// What comparing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Everything that we have is part of the leader's history.
    Part,
    /// We have WAL that the leader's history does not.
    Beyond,
    /// The view that says so is older than the look: the leader may have been followed by another.
    AskAgain,
}

impl Belief {
    /// Compare an exact position, seen at `looked_at`, with the leader's history.
    pub(super) fn compare(&self, own: &Standby, leader: &Leader, looked_at: Millis) -> Compared {
        let younger = self.linear_at.is_some_and(|at| at >= looked_at);
        // The other cluster's timelines come to a member before its leader has told of them.
        let younger = younger && !self.is_past(own, leader);
        let younger = younger || self.off.is(Mechanism::FreshErase);
        match leader.line.beside(&own.line(), own.position.lsn) {
            _ if self.off.is(Mechanism::Comparison) => Compared::Part,
            Beside::Part => Compared::Part,
            Beside::Past | Beside::Elsewhere if younger => Compared::Beyond,
            Beside::Past | Beside::Elsewhere => Compared::AskAgain,
        }
    }

    /// Whether the leader can be cloned from, rewound to and streamed from: it has told that it is open.
    pub(super) fn is_open(&self, leader: &Leader) -> bool {
        let record = self.member(&leader.member);
        record.is_some_and(|record| match record.role {
            MemberRole::Primary { term }
            | MemberRole::Opening { term }
            | MemberRole::StandbyLeader { term } => term == leader.term,
            MemberRole::Promoting { .. }
            | MemberRole::Streaming
            | MemberRole::Replica
            | MemberRole::Starting
            | MemberRole::Initialising
            | MemberRole::Cloning
            | MemberRole::Rewinding
            | MemberRole::Closing
            | MemberRole::Stopped
            | MemberRole::Refused => false,
        })
    }

    /// The line of the newest leadership, whether it lives or not.
    pub(super) fn newest_line(&self) -> Option<&Line> {
        Some(&self.view.as_ref()?.sync.as_ref()?.value.line)
    }
}
