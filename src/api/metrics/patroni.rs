//! The names that dashboards and alerts know from Patroni, as far as haa knows the value. Decides nothing.

use haa_core::observe::{DataDir, PostgresFacts, Server};
use haa_core::routes::Status;
use haa_core::units::Millis;

use super::super::document::unix_ms;
use super::sheet::{Sheet, seconds};

/// haad's version, as Patroni writes its own: two digits each.
pub(super) fn version(sheet: &mut Sheet) {
    let parts = env!("CARGO_PKG_VERSION").split('.').map_while(|part| part.parse::<u64>().ok());
    let version = parts.fold(0, |number, part| number * 100 + part);
    sheet.number("patroni_version", "The version of haad, two digits for each part", version);
}

pub(super) fn known(sheet: &mut Sheet, status: &Status, now: Millis) {
    sheet.truth(
        "patroni_primary",
        "1 where /primary is 200: this member leads and accepts writes",
        status.primary(now),
    );
    sheet.truth(
        "patroni_standby_leader",
        "1 where /standby-leader is 200",
        status.leads_standbys(now),
    );
    // Whoever has not read the cluster has not read its settings.
    if status.cluster.is_some() {
        let paused = u64::from(status.settings.pause);
        sheet.number("patroni_is_paused", "1 while the cluster is paused", paused);
    }
    store(sheet, status, now);
    let facts = status.postgres.as_ref();
    if let Some(facts) = facts.filter(|facts| !facts.is_stale(now, status.settings.timing)) {
        postgres(sheet, status, facts, now);
    }
}

/// What etcd says, while it is young enough to be told.
fn store(sheet: &mut Sheet, status: &Status, now: Millis) {
    let Some(heard) = status.store_heard_at else { return };
    let age = now.since(heard);
    let seen = unix_ms().saturating_sub(age.0) / 1000;
    sheet.number("patroni_dcs_last_seen", "Unix time of etcd's last answer", seen);
    let mode = u64::from(status.failsafe);
    let help = "1 while this primary goes on without etcd, by the consent of all";
    sheet.number("patroni_failsafe_mode_is_active", help, mode);
    if age < status.settings.timing.ttl {
        let unlocked = u64::from(status.leader.is_none());
        sheet.number("patroni_cluster_unlocked", "1 while nobody holds the leader key", unlocked);
    }
}

fn postgres(sheet: &mut Sheet, status: &Status, facts: &PostgresFacts, now: Millis) {
    let running = !matches!(facts.server, Server::Stopped(_) | Server::Starting | Server::Silent);
    sheet.number("patroni_postgres_running", "1 while Postgres answers", u64::from(running));
    if facts.server_version > 0 && !matches!(facts.data, DataDir::Empty) {
        let version = u64::from(facts.server_version);
        sheet.number("patroni_postgres_server_version", "As server_version_num", version);
    }
    if let Some(timeline) = facts.server.timeline() {
        sheet.number("patroni_postgres_timeline", "Postgres' timeline", u64::from(timeline.0));
    }
    let standby = status.own_standby();
    if running && !matches!(facts.server, Server::Refusing(_)) {
        let is = u64::from(standby.is_some());
        sheet.number("patroni_replica", "1 while Postgres is in recovery", is);
        let waits = u64::from(!facts.parameters.pending.is_empty());
        let help = "1 while parameters wait for a restart of Postgres";
        sheet.number("patroni_pending_restart", help, waits);
        let streams = u64::from(standby.is_some_and(|standby| standby.streaming));
        sheet.number("patroni_postgres_streaming", "1 while Postgres streams", streams);
    }
    if let Some(sync) = &status.sync {
        let votes = sync.voters.contains_key(&status.me) && standby.is_some();
        let help = "1 for a replica that commits may wait for";
        sheet.number("patroni_quorum_standby", help, u64::from(votes));
        sheet.number("patroni_sync_standby", "0: haa's voters are a quorum", 0);
    }
    match &facts.server {
        Server::Primary(primary) => {
            let end = primary.position.lsn.0;
            sheet.number("patroni_xlog_location", "End of the flushed WAL, in bytes", end);
            started(sheet, primary.started_unix_ms);
        }
        Server::Standby(standby) => {
            let (received, replayed) = (standby.position.lsn.0, standby.replayed.0);
            sheet.number("patroni_xlog_received_location", "WAL on the disk, in bytes", received);
            sheet.number("patroni_xlog_replayed_location", "WAL replayed, in bytes", replayed);
            let paused = u64::from(standby.paused);
            sheet.number("patroni_xlog_paused", "1 while replay is paused", paused);
            if let Some(age) = standby.replay_age_ms {
                let at = unix_ms().saturating_sub(now.since(facts.began_at).0 + age) / 1000;
                let help = "Unix time of the last commit that was replayed";
                sheet.number("patroni_xlog_replayed_timestamp", help, at);
            }
            started(sheet, standby.started_unix_ms);
        }
        Server::Starting | Server::Silent | Server::Refusing(_) | Server::Stopped(_) => {}
    }
}

fn started(sheet: &mut Sheet, unix_ms: u64) {
    let help = "Unix time of the postmaster's start";
    sheet.seconds("patroni_postmaster_start_time", help, seconds(unix_ms));
}
