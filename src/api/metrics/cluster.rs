//! The cluster, as this member sees it: its verdict, its voters, its members. Decides nothing.

use std::collections::BTreeSet;

use haa_core::observe::PeerState;
use haa_core::records::SyncRecord;
use haa_core::routes::Status;
use haa_core::settings::Durability;
use haa_core::units::{Lsn, MemberName, Millis};

use super::sheet::{Labels, Sheet, by, seconds};
use crate::verdict::{self, Health, Loss, Outlook};

pub(super) fn known(sheet: &mut Sheet, status: &Status, now: Millis) {
    let verdict = verdict::of(status, now);
    let health = match verdict.health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Down => "down",
        Health::Unknown => "unknown",
    };
    sheet.word("haa_cluster_health", "The verdict of haactl status", ("health", health));
    if let Some(outlook) = &verdict.outlook {
        takeover(sheet, outlook);
    }
    if let Some(sync) = &status.sync {
        commits(sheet, sync);
    }
    members(sheet, status, now);
}

/// If the primary died now.
fn takeover(sheet: &mut Sheet, outlook: &Outlook) {
    let possible = u64::from(outlook.successor.is_some());
    let help = "1 where another member would lead if the primary died now";
    sheet.number("haa_takeover_possible", help, possible);
    if let Some(ms) = outlook.host_ms {
        let help = "About how long nobody would accept writes if the primary's host died now";
        sheet.seconds("haa_takeover_expected_seconds", help, seconds(ms));
    }
    let lost = match outlook.loss {
        Loss::Nothing => 0,
        Loss::Bytes(bytes) => bytes,
        Loss::Unavailable => return,
    };
    let help = "WAL that the successor was last heard to lack, where acknowledged commits may be";
    sheet.number("haa_takeover_loss_bytes", help, lost);
}

/// What an acknowledgement means.
fn commits(sheet: &mut Sheet, sync: &SyncRecord) {
    let durability = match sync.durability {
        Durability::Quorum => "quorum",
        Durability::Async => "async",
    };
    let help = "What an acknowledged commit means";
    sheet.word("haa_durability", help, ("durability", durability));
    if !sync.is_quorum() {
        return;
    }
    let voters = u64::try_from(sync.voters.len()).unwrap_or(u64::MAX);
    sheet.number("haa_voters", "Voters, the primary among them", voters);
    let help = "How many voters beside the primary have flushed an acknowledged commit";
    sheet.number("haa_commit_replicas", help, u64::from(sync.k));
    let help = "1 while the primary goes on alone: commits are on it and on nobody else";
    sheet.number("haa_alone", help, u64::from(sync.k == 0));
}

/// One member, as far as it was heard.
struct Seen {
    streams: bool,
    stalled: bool,
    flushed: Option<Lsn>,
    replayed: Option<Lsn>,
    behind_ms: Option<u64>,
}

fn seen(status: &Status, now: Millis, name: &MemberName) -> Option<Seen> {
    if *name == status.me {
        let facts = status.postgres.as_ref()?;
        if facts.is_stale(now, status.settings.timing) {
            return None;
        }
        let standby = status.own_standby();
        return Some(Seen {
            streams: standby.is_some_and(|standby| standby.streaming),
            stalled: status.stalled,
            flushed: standby.map(|standby| standby.position.lsn),
            replayed: standby.map(|standby| standby.replayed),
            behind_ms: standby.and_then(haa_core::observe::Standby::behind_ms),
        });
    }
    let beat = verdict::lately(status, now, name)?;
    Some(Seen {
        streams: beat.state == PeerState::Streaming,
        stalled: beat.stalled,
        flushed: beat.position.map(|position| position.lsn),
        replayed: beat.replayed,
        behind_ms: beat.behind_ms,
    })
}

fn members(sheet: &mut Sheet, status: &Status, now: Millis) {
    let listed = status.sync.iter().flat_map(|sync| sync.members.keys().chain(sync.voters.keys()));
    let all: BTreeSet<&MemberName> = status.members.keys().chain(listed).collect();
    let known = all.iter().map(|name| (*name, seen(status, now, name)));
    let known: Vec<(&MemberName, Option<Seen>)> = known.collect();
    let others = known.iter().filter(|(name, _)| **name != status.me);
    let help = "1 for a member that was heard lately, 0 for one that is silent or gone";
    let heard = others.map(|(name, seen)| (by("member", name), u64::from(seen.is_some())));
    sheet.each("haa_member_heard", help, heard);

    let full = all.iter().filter_map(|name| {
        let full = verdict::disk::is_full(status, now, name)?;
        Some((by("member", name), u64::from(full)))
    });
    let help = "1 for a member whose disk is full: its tables cannot grow";
    sheet.each("haa_disk_full", help, full.collect::<Vec<_>>());

    let leader = status.leader.as_ref().map(|(leader, _)| leader);
    let replicas: Vec<(&MemberName, &Seen)> = known
        .iter()
        .filter(|(name, _)| Some(*name) != leader)
        .filter_map(|(name, seen)| Some((*name, seen.as_ref()?)))
        .collect();
    let streams = each(&replicas, |seen| Some(u64::from(seen.streams)));
    sheet.each("haa_replica_streaming", "1 for a replica that streams", streams);
    let stalled = each(&replicas, |seen| Some(u64::from(seen.stalled)));
    let help = "1 for a replica that replays nothing, though there is WAL";
    sheet.each("haa_replica_stalled", help, stalled);
    let lag = each(&replicas, |seen| status.lag(seen.flushed?));
    let help = "WAL of the primary that a replica does not have on its disk";
    sheet.each("haa_replica_flush_lag_bytes", help, lag);
    let lag = each(&replicas, |seen| status.lag(seen.replayed?));
    let help = "WAL of the primary that a replica has not replayed";
    sheet.each("haa_replica_replay_lag_bytes", help, lag);
    let delay = each(&replicas, |seen| seen.behind_ms.map(seconds));
    let help = "Since what a replica has and did not replay was committed";
    sheet.each("haa_replica_replay_delay_seconds", help, delay);
}

/// For each of which it is known.
fn each<N>(
    replicas: &[(&MemberName, &Seen)],
    value: impl Fn(&Seen) -> Option<N>,
) -> Vec<(Labels, N)> {
    let with = |(name, seen): &(&MemberName, &Seen)| Some((by("member", name), value(seen)?));
    replicas.iter().filter_map(with).collect()
}
