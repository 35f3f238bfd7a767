//! Disks that are full, and slots that lose WAL soon so that none gets full: a sentence each. Looks at none itself.

use haa_core::observe::{Room, TightSlot};
use haa_core::routes::Status;
use haa_core::units::{MemberName, Millis};

use super::{lately, readable};

/// What ails the disks, the worst first.
pub(super) fn ails(status: &Status, now: Millis) -> Vec<String> {
    let full = status.members.keys().filter(|name| is_full(status, now, name) == Some(true));
    let full = full.map(|name| format!("the disk of {name} is full: tables cannot grow there"));
    full.chain(status.members.keys().flat_map(|name| tight(status, now, name))).collect()
}

/// Whether a member's tables have no room, as far as it was heard lately.
pub(crate) fn is_full(status: &Status, now: Millis, name: &MemberName) -> Option<bool> {
    match *name == status.me {
        true => status.postgres.as_ref().map(|facts| facts.room),
        false => lately(status, now, name).map(|beat| beat.room),
    }
    .map(|room| room == Room::None)
}

fn tight(status: &Status, now: Millis, name: &MemberName) -> Vec<String> {
    let slots = match *name == status.me {
        true => status.postgres.as_ref().map(|facts| &facts.tight_slots),
        false => lately(status, now, name).map(|beat| &beat.tight_slots),
    };
    let sentence = |TightSlot { name: slot, left }: &TightSlot| {
        let left = readable(*left);
        format!(
            "the slot {slot} on {name} loses WAL when {left} more are written; haactl doctor says what to do"
        )
    };
    slots.into_iter().flatten().map(sentence).collect()
}
