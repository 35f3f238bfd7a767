//! Replication slots: whose are to be on our server, and when that is looked after. Never waits for them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::units::{MemberName, Millis};

use super::Node;

/// Looked after again after this long, in case somebody dropped one.
const AGAIN: Millis = Millis(10_000);
/// Nobody follows without a slot, and before somebody follows no client is let in.
const AGAIN_WHILE_SHUT: Millis = Millis(1_000);

/// When they were looked after last, and whose they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slots(Option<(Millis, BTreeSet<MemberName>)>);

impl Slots {
    /// A promotion has made these, as far as it could.
    pub(super) fn were_tried(&mut self, now: Millis, whose: BTreeSet<MemberName>) {
        self.0 = Some((now, whose));
    }
}

impl Node {
    /// Everybody that is or was here, but us.
    pub(super) fn whose_slots(&self) -> BTreeSet<MemberName> {
        let Some(view) = self.belief.view.as_ref() else { return BTreeSet::new() };
        let listed = view.sync.iter().flat_map(|sync| sync.value.members.keys());
        let others = view.members.keys().chain(listed);
        others.filter(|name| **name != self.config.name).cloned().collect()
    }

    /// Asks for the slots when they have changed, and now and then.
    pub(super) fn keep_slots(&mut self, now: Millis, open: bool) {
        let again = if open { AGAIN } else { AGAIN_WHILE_SHUT };
        let whose = self.whose_slots();
        let known = self.slots.0.as_ref().filter(|(_, known)| *known == whose);
        let due = known.map_or(now, |(at, _)| at.after(again));
        if now < due {
            return self.desk.wake_at(due);
        }
        self.slots.were_tried(now, whose.clone());
        self.desk.wish(Effect::Slots(whose));
    }
}
