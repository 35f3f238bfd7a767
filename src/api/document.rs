//! The member's document, in the words that today's tools read. Shapes only; decides nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haa_core::observe::{DataDir, Server, Shutdown, Walsender};
use haa_core::records::{MemberRole, Tags};
use haa_core::routes::Status;
use haa_core::units::{MemberName, Millis, Term, Timeline};
use serde::Serialize;
use serde_json::Value;

use super::parameters::{self, Standing};
use super::schedule::{self, Restart};

/// `GET /patroni`, and the body of every health check.
#[derive(Serialize)]
pub(super) struct Member<'a> {
    state: &'static str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    postmaster_start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xlog: Option<Xlog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Timeline>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replication: Vec<Replication<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dcs_last_seen: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, Value>,
    /// Only if it is so, as today's tools have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pause: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_system_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_restart: Option<Restart>,
    #[serde(flatten)]
    parameters: Standing<'a>,
    patroni: Software<'a>,
    haa: Ours<'a>,
}

/// WAL positions, in bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum Xlog {
    Primary {
        location: u64,
    },
    Standby {
        received_location: u64,
        replayed_location: u64,
        replayed_timestamp: Option<String>,
        paused: bool,
    },
}

/// Who streams from a primary.
#[derive(Serialize)]
struct Replication<'a> {
    application_name: &'a MemberName,
    state: &'static str,
    flush_location: u64,
    replay_location: u64,
}

#[derive(Serialize)]
struct Software<'a> {
    version: &'a str,
    scope: &'a str,
    name: &'a MemberName,
}

/// What only haa says.
#[derive(Serialize)]
struct Ours<'a> {
    role: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<&'a str>,
    term: Term,
    leader: Option<&'a MemberName>,
    /// Why this check does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

/// What this member is, as of `now` of our clock. `why`: why the check that was asked does not pass.
pub(super) fn member<'a>(
    status: &'a Status,
    cluster: &'a str,
    now: Millis,
    why: Option<&'static str>,
) -> Member<'a> {
    let facts = status.postgres.as_ref();
    let server = facts.map(|facts| &facts.server);
    let (xlog, started) = match server {
        Some(Server::Primary(primary)) => (
            Some(Xlog::Primary { location: primary.position.lsn.0 }),
            Some(primary.started_unix_ms),
        ),
        Some(Server::Standby(standby)) => {
            let looked_at = facts.map_or(now, |facts| facts.began_at);
            let xlog = Xlog::Standby {
                received_location: standby.position.lsn.0,
                replayed_location: standby.replayed.0,
                replayed_timestamp: standby
                    .replay_age_ms
                    .map(|age| ago(now.since(looked_at).0 + age)),
                paused: standby.paused,
            };
            (Some(xlog), Some(standby.started_unix_ms))
        }
        Some(Server::Starting | Server::Silent | Server::Refusing(_) | Server::Stopped(_))
        | None => (None, None),
    };
    Member {
        state: state(status),
        role: role(status),
        postmaster_start_time: started.map(timestamp),
        server_version: facts.map(|facts| facts.server_version).filter(|version| *version > 0),
        xlog,
        timeline: server.and_then(Server::timeline),
        replication_state: match server {
            Some(Server::Standby(standby)) if standby.streaming => Some("streaming"),
            _ => None,
        },
        replication: match server {
            Some(Server::Primary(primary)) => primary.replicas.iter().map(replication).collect(),
            _ => Vec::new(),
        },
        dcs_last_seen: status
            .store_heard_at
            .map(|at| unix_ms().saturating_sub(now.since(at).0) / 1000),
        tags: tags(&status.record.tags),
        pause: status.settings.pause,
        database_system_identifier: status.record.system_id.map(|id| id.to_string()),
        scheduled_restart: schedule::restart(status, &status.me),
        parameters: parameters::standing(facts.map(|facts| &facts.parameters)),
        patroni: Software { version: env!("CARGO_PKG_VERSION"), scope: cluster, name: &status.me },
        haa: Ours {
            role: &status.role,
            reason: &status.reason,
            waits: status.waits.as_deref(),
            term: status.term,
            leader: status.leader.as_ref().map(|(name, _)| name),
            why,
        },
    }
}

fn replication<'a>((name, sender): (&'a MemberName, &Walsender)) -> Replication<'a> {
    Replication {
        application_name: name,
        state: if sender.streaming { "streaming" } else { "catchup" },
        flush_location: sender.flushed.0,
        replay_location: sender.replayed.0,
    }
}

/// The tags that say something.
pub(super) fn tags(tags: &Tags) -> BTreeMap<&str, Value> {
    let mut shown: BTreeMap<&str, Value> = BTreeMap::new();
    for (key, value) in &tags.free {
        shown.insert(key, Value::from(value.as_str()));
    }
    if tags.nofailover {
        shown.insert("nofailover", Value::from(true));
    }
    if tags.noloadbalance {
        shown.insert("noloadbalance", Value::from(true));
    }
    if tags.clonefrom {
        shown.insert("clonefrom", Value::from(true));
    }
    if tags.nosync {
        shown.insert("nosync", Value::from(true));
    }
    if tags.nostream {
        shown.insert("nostream", Value::from(true));
    }
    if let Some(upstream) = &tags.replicatefrom {
        shown.insert("replicatefrom", Value::from(upstream.as_str()));
    }
    if tags.failover_priority != 0 {
        shown.insert("failover_priority", Value::from(tags.failover_priority));
    }
    shown
}

fn role(status: &Status) -> &'static str {
    match status.postgres.as_ref().map(|facts| (&facts.server, &facts.data)) {
        Some((Server::Primary(_), _)) => "primary",
        Some((_, DataDir::Empty)) | None => "uninitialized",
        Some((Server::Refusing(_), _)) if is_open(status) => "primary",
        Some((Server::Standby(_), _))
            if matches!(status.record.role, MemberRole::StandbyLeader { .. }) =>
        {
            "standby_leader"
        }
        Some((
            Server::Standby(_)
            | Server::Starting
            | Server::Silent
            | Server::Refusing(_)
            | Server::Stopped(_),
            _,
        )) => "replica",
    }
}

const fn is_open(status: &Status) -> bool {
    matches!(status.record.role, MemberRole::Primary { .. })
}

fn state(status: &Status) -> &'static str {
    match status.postgres.as_ref().map(|facts| &facts.server) {
        Some(Server::Primary(_) | Server::Standby(_) | Server::Refusing(_)) => "running",
        Some(Server::Starting) | None => "starting",
        Some(Server::Silent) => "silent",
        Some(Server::Stopped(how)) => match (&status.record.role, how) {
            (MemberRole::Initialising, _) => "initializing new cluster",
            (MemberRole::Cloning, _) => "creating replica",
            (MemberRole::Rewinding, _) => "rewinding",
            (_, Shutdown::Crashed) => "crashed",
            (_, Shutdown::Primary(_) | Shutdown::Standby | Shutdown::NoData) => "stopped",
        },
    }
}

/// The wall clock, milliseconds since 1970: for people and tools to read, never for a decision.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn ago(ms: u64) -> String {
    timestamp(unix_ms().saturating_sub(ms))
}

/// `2026-01-31 12:00:00.123+00:00`, as Patroni writes it.
fn timestamp(unix_ms: u64) -> String {
    let text = rfc3339(unix_ms);
    text.replace('T', " ").replace('Z', "+00:00")
}

/// `2026-01-31T12:00:00.123Z`
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    // The last second that can be written is that of the year 9999.
    let shown = Duration::from_millis(unix_ms.min(253_402_300_799_999));
    humantime::format_rfc3339_millis(UNIX_EPOCH + shown).to_string()
}
