//! Replication slots: whose are to be on our server, and when that is looked after. Never waits for them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::effect::{Effect, Kept, SlotsWish, Strangers};
use crate::observe::Primary;
use crate::off::Mechanism;
use crate::settings::KeptSlot;
use crate::units::{MemberName, Millis, Revision, Term};

use super::Node;

/// Looked after again after this long, in case somebody dropped one.
const AGAIN: Millis = Millis(10_000);
/// A switchover waits for a copy as long as for what else a target lacks, and not for the next look at it.
const AGAIN_WITHOUT_A_COPY: Millis = Millis(1_000);
/// Nobody follows without a slot, and before somebody follows no client is let in.
const AGAIN_WHILE_SHUT: Millis = Millis(1_000);

/// What is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slots {
    /// When they were looked after last, and whose they were.
    tried: Option<(Millis, BTreeSet<MemberName>)>,
    /// The view of the store that this was told by: it need not be gone through again before they are due.
    #[serde(default)]
    told_by: Revision,
    /// When each member was in the store last, on our clock and as the store counts, as far as this run of the agent
    /// has seen.
    #[serde(default)]
    seen: BTreeMap<MemberName, (Millis, Revision)>,
    /// What was said of strangers last.
    #[serde(default)]
    strangers: Strangers,
    /// What was said of the operator's last.
    #[serde(default)]
    kept: Kept,
    /// The leadership that knows these of the operator's.
    #[serde(default)]
    known: Option<(Term, BTreeSet<String>)>,
    /// This run of the agent made the database system, and nobody has led it yet: nothing can be lost.
    #[serde(default)]
    pub(super) newborn: bool,
}

impl Slots {
    /// A promotion has made these, as far as it could.
    pub(super) fn were_tried(&mut self, now: Millis, whose: BTreeSet<MemberName>) {
        self.tried = Some((now, whose));
    }
}

impl Node {
    /// A logical slot that this member has no copy of, as it says itself.
    pub(super) fn lacks_slot(&self, target: &MemberName) -> Option<&str> {
        self.belief.peers.get(target)?.1.lacks_slot.as_deref()
    }

    /// Everybody that is here, that may lead, or that was here less than `forget_after` ago, but us: whoever is back
    /// finds the WAL that it lacks. Not those that an operator has had forgotten since.
    pub(super) fn whose_slots(&mut self, now: Millis) -> BTreeSet<MemberName> {
        let Some(view) = self.belief.view.as_ref() else { return BTreeSet::new() };
        let patience = self.belief.settings().timing.forget_after;
        let seen = &mut self.slots.seen;
        let here = (now, view.revision);
        seen.extend(view.members.keys().map(|name| (name.clone(), here)));
        seen.retain(|name, (at, last)| {
            let forgotten = self.belief.forgotten_at(name);
            now.since(*at) < patience && forgotten.is_none_or(|since| *last > since)
        });
        let listed = view.sync.iter().flat_map(|sync| sync.value.members.keys());
        let listed = listed.filter(|name| !self.belief.is_being_removed(name));
        let others = seen.keys().chain(listed);
        others.filter(|name| **name != self.config.name).cloned().collect()
    }

    /// What the store shows; what it showed last, where it has lost the settings.
    fn operators_slots(&self) -> BTreeMap<String, KeptSlot> {
        let settings = self.belief.view.as_ref().and_then(|view| view.settings.as_ref());
        settings.map_or(&self.slots.kept.slots, |kept| &kept.value.slots).clone()
    }

    /// On a standby.
    pub(super) fn ready_slots(&mut self, now: Millis) {
        (self.slots.known, self.slots.newborn) = (None, false);
        let mut slots = self.operators_slots();
        if !self.config.tags.attends() && !self.belief.is_voter() {
            // Postgres copies logical ones from a primary alone.
            slots.retain(|_, slot| matches!(slot, KeptSlot::Physical));
        }
        let lacks = self.belief.facts.as_ref().is_some_and(|facts| facts.lacks_slot.is_some());
        let again = if lacks { AGAIN_WITHOUT_A_COPY } else { AGAIN };
        self.want_slots(now, again, Kept { slots, ..Kept::default() });
    }

    /// On a primary.
    pub(super) fn keep_slots(
        &mut self,
        now: Millis,
        (term, primary): (Term, &Primary),
        open: bool,
    ) {
        let slots = self.operators_slots();
        let names: BTreeSet<String> = slots.keys().cloned().collect();
        let newborn = self.slots.newborn || self.off.is(Mechanism::LostSlots);
        let (mut new, mut gone) = match &self.slots.known {
            Some((of, known)) if *of == term => {
                let Kept { mut new, mut gone, .. } = self.slots.kept.clone();
                new.extend(names.difference(known).cloned());
                gone.extend(known.difference(&names).cloned());
                (new, gone)
            }
            Some(_) | None if newborn => (names.clone(), BTreeSet::new()),
            Some(_) | None => (BTreeSet::new(), BTreeSet::new()),
        };
        new.retain(|name| names.contains(name));
        gone.retain(|name| !names.contains(name));
        (self.slots.known, self.slots.newborn) = (Some((term, names)), false);
        let logical = slots.values().any(|slot| matches!(slot, KeptSlot::Logical { .. }));
        let before = if logical { self.next_leaders(primary) } else { BTreeSet::new() };
        let again = if open { AGAIN } else { AGAIN_WHILE_SHUT };
        self.want_slots(now, again, Kept { slots, new, gone, before });
    }

    /// Who streams, and in `quorum` every voter. In `async` a failover may lose what nobody else has, and those who
    /// are away are not waited for.
    fn next_leaders(&self, primary: &Primary) -> BTreeSet<MemberName> {
        let streams = primary.replicas.iter().filter(|(_, sender)| sender.streaming);
        let voters = self.belief.quorum().into_iter().flat_map(|sync| sync.voters.keys());
        let all = streams.map(|(name, _)| name).chain(voters);
        all.filter(|name| **name != self.config.name).cloned().collect()
    }

    /// Asks for the slots when they have changed, and now and then.
    fn want_slots(&mut self, now: Millis, again: Millis, kept: Kept) {
        let revision = self.belief.view.as_ref().map_or(Revision(0), |view| view.revision);
        let same = self.slots.kept == kept;
        if let Some((at, _)) = &self.slots.tried
            && same
            && self.slots.told_by == revision
            && now < at.after(again)
        {
            return self.desk.wake_at(at.after(again));
        }
        self.slots.told_by = revision;
        let whose = self.whose_slots(now);
        let strangers = self.strangers(now);
        let same = same && self.slots.strangers == strangers;
        let known = self.slots.tried.as_ref().filter(|(_, known)| same && *known == whose);
        let due = known.map_or(now, |(at, _)| at.after(again));
        if now < due {
            return self.desk.wake_at(due);
        }
        self.slots.were_tried(now, whose.clone());
        self.slots.strangers = strangers.clone();
        self.slots.kept = kept.clone();
        let reached = self.served_by_others(now);
        self.desk.wish(Effect::Slots(SlotsWish { members: whose, strangers, kept, reached }));
    }

    /// Whether somebody of this name was here, as far as this run of the agent has seen.
    pub(super) fn has_seen(&self, name: &MemberName) -> bool {
        self.slots.seen.contains_key(name)
    }

    /// An agent that has not run for `forget_after` cannot know who was here before, but by an operator's word.
    fn strangers(&self, now: Millis) -> Strangers {
        let ran = now.since(self.born_at.unwrap_or(now));
        if ran >= self.belief.settings().timing.forget_after {
            return Strangers::Dropped;
        }
        let removed = self.belief.being_removed();
        if removed.is_empty() { Strangers::Kept } else { Strangers::Named(removed) }
    }
}
