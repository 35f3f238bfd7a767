//! This member: its role, its leadership, its Postgres, its guard. Decides nothing.

use std::collections::BTreeMap;

use haa_core::observe::{PostgresFacts, Server};
use haa_core::records::MemberRole;
use haa_core::routes::Status;
use haa_core::units::Millis;

use super::sheet::{Sheet, by, seconds};
use crate::guard::Standing;
use crate::postgres::{Held, Shown};

pub(super) fn known(sheet: &mut Sheet, status: &Status, now: Millis) {
    sheet.word("haa_role", "What the agent is doing about the leadership", ("role", &status.role));
    sheet.number("haa_term", "The highest term seen", status.term.0);
    sheet.truth("haa_leadership", "1 while this member can prove that it leads", status.leads(now));
    if let Some(proof) = status.leadership {
        let left = Millis(proof.until().0.saturating_sub(now.0));
        let help = "Until the leadership ends if nothing renews it";
        sheet.age("haa_leadership_left_seconds", help, left);
    }
    if let Some(heard) = status.store_heard_at {
        let help = "Since etcd last answered";
        sheet.age("haa_etcd_answer_age_seconds", help, now.since(heard));
    }
    if let Some(facts) = &status.postgres {
        if let Some(percent) = facts.progress {
            progress(sheet, status.record.role, percent);
        }
        postgres(sheet, facts, now);
    }
}

fn progress(sheet: &mut Sheet, role: MemberRole, percent: u8) {
    let (name, help) = if role == MemberRole::Rewinding {
        ("haa_rewind_progress_percent", "How far the rewind is, in percent")
    } else {
        ("haa_clone_progress_percent", "How far the clone is, in percent")
    };
    sheet.number(name, help, u64::from(percent));
}

fn postgres(sheet: &mut Sheet, facts: &PostgresFacts, now: Millis) {
    let help = "Since the last look at Postgres began";
    sheet.age("haa_postgres_look_age_seconds", help, now.since(facts.began_at));
    let Server::Primary(primary) = &facts.server else { return };
    if let Some(took) = primary.flush.took_ms {
        let help = "How long the last small write took to get to the disk";
        sheet.seconds("haa_wal_flush_seconds", help, seconds(took));
    }
    if let Some(waiting) = primary.flush.waiting_ms {
        let help = "How long a small write has been waiting for the disk";
        sheet.seconds("haa_wal_flush_waiting_seconds", help, seconds(waiting));
    }
}

/// The deadline as the guard has confirmed it.
pub(super) fn guard(sheet: &mut Sheet, standing: Standing, now: Millis) {
    let there = u64::from(standing != Standing::Nobody);
    sheet.number("haa_guard_present", "1 while the guard answers", there);
    if let Standing::Until(until) = standing {
        let left = Millis(until.0.saturating_sub(now.0));
        let help = "Until the guard closes Postgres if the agent does not move its deadline";
        sheet.age("haa_guard_deadline_seconds", help, left);
    }
}

/// Of the operator's that are kept, as they were looked after last.
pub(super) fn slots(sheet: &mut Sheet, slots: &BTreeMap<String, Shown>) {
    let help = "1 where a slot that is kept serves, or would after a failover to this member";
    let ready =
        slots.iter().map(|(name, slot)| (by("slot", name), u64::from(slot.ailing.is_none())));
    sheet.each("haa_slot_ready", help, ready);
}

/// Of all, and of those that are kept as they were looked after last.
pub(super) fn held(
    sheet: &mut Sheet,
    held: &BTreeMap<String, Held>,
    kept: &BTreeMap<String, Shown>,
) {
    let mut bytes: BTreeMap<&String, u64> =
        kept.iter().filter_map(|(name, slot)| Some((name, slot.holds?))).collect();
    bytes.extend(held.iter().map(|(name, held)| (name, held.bytes)));
    let help = "Bytes of WAL that a slot holds on this member";
    sheet.each(
        "haa_slot_wal_bytes",
        help,
        bytes.into_iter().map(|(name, n)| (by("slot", name), n)),
    );
    let help = "Bytes of WAL that may be written before a slot loses some";
    let left = held.iter().filter_map(|(name, held)| Some((by("slot", name), held.left?)));
    sheet.each("haa_slot_wal_left_bytes", help, left);
}
