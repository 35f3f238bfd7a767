//! The cluster's documents: its members, its settings, its history. Shapes only; decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use haa_core::observe::PeerState;
use haa_core::records::{Ask, MemberRole, SyncRecord};
use haa_core::routes::{MemberStatus, Status};
use haa_core::settings::Durability;
use haa_core::units::{Lsn, MemberName, Millis, Term, Timeline};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::document::{rfc3339, tags};
use super::parameters::{self, Standing};
use super::schedule::{self, Restart};
use super::{Api, Call, Untold, complaint, json, not_yet, told};
use crate::agent::clock;
use crate::store::Chapter;
use crate::verdict::{self, Health, Planned};

/// The store has this long to show the history.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Cluster<'a> {
    scope: &'a str,
    /// Only if it is so, as today's tools have it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pause: bool,
    members: Vec<Member<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commits: Option<Commits<'a>>,
    /// The cluster that this one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    standby_of: Option<String>,
    /// Why the member that was asked does not stand while nobody leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<&'a str>,
    /// The next one, as today's tools have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_switchover: Option<Switchover<'a>>,
    /// Every command that waits for its time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scheduled: Vec<Planned>,
}

/// A switchover that waits for its time.
#[derive(Serialize)]
struct Switchover<'a> {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a MemberName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a MemberName>,
}

impl<'a> Switchover<'a> {
    fn next(status: &'a Status) -> Option<Self> {
        let all = status.requests.values().filter_map(|asked| match (&asked.ask, &asked.due) {
            (Ask::Switchover { to }, Some(due)) if schedule::waits(asked) => Some((due, to)),
            _ => None,
        });
        let (due, to) = all.min_by_key(|(due, _)| due.at_unix_ms)?;
        Some(Self { at: rfc3339(due.at_unix_ms), from: due.from.as_ref(), to: to.as_ref() })
    }
}

/// What an acknowledgement means at this moment.
#[derive(Serialize)]
struct Commits<'a> {
    durability: Durability,
    /// How many voters beside the primary have it.
    k: u32,
    /// The primary among them.
    voters: Vec<&'a MemberName>,
    /// `quorum` with nobody else left: commits are on the primary alone, until a replica is back.
    alone: bool,
}

impl<'a> Commits<'a> {
    fn of(sync: &'a SyncRecord) -> Self {
        let voters = sync.voters.keys().collect();
        let alone = sync.is_quorum() && sync.k == 0;
        Self { durability: sync.durability, k: sync.k, voters, alone }
    }
}

#[derive(Serialize)]
struct Member<'a> {
    name: &'a MemberName,
    role: &'static str,
    state: &'static str,
    api_url: String,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Timeline>,
    /// Whom it streams from.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a MemberName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<Lag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive_lsn: Option<Lsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_lsn: Option<Lsn>,
    /// Nothing was heard of it for `suspect_after`: what is said of it may be over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
    /// An operator has taken it out of use.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    drained: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_restart: Option<Restart>,
    #[serde(flatten)]
    parameters: Standing<'a>,
}

/// Bytes not replayed, or the word `unknown`.
#[derive(Serialize)]
#[serde(untagged)]
enum Lag {
    Bytes(u64),
    Word(&'static str),
}

/// What a member is at this moment, as far as is known.
struct Seen<'a> {
    state: &'static str,
    upstream: Option<&'a MemberName>,
    received: Option<Lsn>,
    replayed: Option<Lsn>,
    progress: Option<u8>,
}

/// `GET /cluster`
pub(super) fn cluster(api: &Api, _: &Uri) -> Response {
    let Some(status) = api.status.borrow().clone() else { return not_yet() };
    let now = clock::now();
    let members =
        status.members.iter().map(|(name, known)| member(api.scheme, &status, name, known, now));
    let members = members.collect();
    let commits = status.sync.as_ref().filter(|_| status.follows.is_none()).map(Commits::of);
    let standby_of = status.follows.as_ref().map(|follows| follows.site.to_string());
    let waits = status.waits.as_deref();
    let pause = status.settings.pause;
    let scheduled = verdict::planned(&status);
    let scheduled_switchover = Switchover::next(&status);
    let scope = &api.cluster;
    let cluster = Cluster {
        scope,
        pause,
        members,
        commits,
        standby_of,
        waits,
        scheduled_switchover,
        scheduled,
    };
    json(StatusCode::OK, &cluster)
}

/// `GET /status`: whether the cluster is well, and what would happen if its primary died now.
pub(super) fn verdict(api: &Api, _: &Uri) -> Response {
    match api.status.borrow().as_ref() {
        Some(status) => {
            let verdict = verdict::of(status, clock::now());
            // Whoever asks goes on to another member.
            let code = match verdict.health {
                Health::Unknown => StatusCode::SERVICE_UNAVAILABLE,
                Health::Healthy | Health::Degraded | Health::Down => StatusCode::OK,
            };
            json(code, &verdict)
        }
        None => not_yet(),
    }
}

/// `GET /history`: `[timeline left, where, why, when, new leader]` for each leadership that left one.
pub(super) async fn history(State(api): State<Arc<Api>>) -> Response {
    let records = match records(&api).await {
        Ok(records) => records,
        Err(why) => return complaint(StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let rows: Vec<_> = records
        .iter()
        .filter_map(|(_, Chapter { record, .. })| {
            let fork = record.fork?;
            let at = rfc3339(record.at_unix_ms);
            Some((fork.timeline, fork.lsn.0, record.reason.sentence(), at, &record.leader))
        })
        .collect();
    json(StatusCode::OK, &rows)
}

/// `GET /why`: `[term, record]` for each leadership, with its phases, its candidates and what was discarded for it.
pub(super) async fn why(State(api): State<Arc<Api>>) -> Response {
    match records(&api).await {
        Ok(records) => json(StatusCode::OK, &records),
        Err(why) => complaint(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// `GET /events`: `[id, record]` for each command that has come to its end.
pub(super) async fn events(State(api): State<Arc<Api>>) -> Response {
    match stored(&api, "the events", |reply| Call::Events { reply }).await {
        Ok(events) => json(StatusCode::OK, &events),
        Err(why) => complaint(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn records(api: &Api) -> Result<Vec<(Term, Chapter)>, String> {
    stored(api, "the history", |reply| Call::History { reply }).await
}

/// What only the store knows.
async fn stored<T>(
    api: &Api,
    what: &str,
    call: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Call,
) -> Result<T, String> {
    match told(api, PATIENCE, call).await {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(why)) => Err(format!("{what} cannot be read from the store: {why}")),
        Err(Untold::Stopping | Untold::Lost) => Err("the agent is stopping".to_owned()),
        Err(Untold::Late) => Err(format!("the store did not show {what} within {PATIENCE:?}")),
    }
}

fn member<'a>(
    scheme: &str,
    status: &'a Status,
    name: &'a MemberName,
    known: &'a MemberStatus,
    now: Millis,
) -> Member<'a> {
    let leads = status.leader.as_ref().is_some_and(|(leader, _)| leader == name);
    let seen = if *name == status.me { own(status) } else { peer(status, (name, known), now) };
    let lag = seen.replayed.and_then(|replayed| status.lag(replayed));
    let record = if *name == status.me { &status.record } else { &known.record };
    let votes = status.sync.as_ref().is_some_and(|sync| sync.voters.contains_key(name));
    Member {
        name,
        role: match (leads, votes) {
            (true, _) if status.follows.is_some() => "standby_leader",
            (true, _) => "leader",
            (false, true) => "quorum_standby",
            (false, false) => "replica",
        },
        state: seen.state,
        api_url: format!("{scheme}://{}/patroni", record.api),
        host: &record.postgres.host,
        port: record.postgres.port,
        timeline: record.timeline,
        upstream: seen.upstream,
        progress: seen.progress,
        lag: (!leads).then(|| lag.map_or(Lag::Word("unknown"), Lag::Bytes)),
        receive_lsn: seen.received.filter(|_| !leads),
        replay_lsn: seen.replayed.filter(|_| !leads),
        silent: *name != status.me && verdict::lately(status, now, name).is_none(),
        drained: status.drained.contains(name),
        tags: tags(&record.tags),
        scheduled_restart: schedule::restart(status, name),
        parameters: parameters::standing(verdict::parameters(status, name, now)),
    }
}

fn own(status: &Status) -> Seen<'_> {
    let state = word(status.record.role);
    let progress = status.postgres.as_ref().and_then(|facts| facts.progress);
    match status.own_standby() {
        Some(standby) => Seen {
            state: match (status.stalled, standby.streaming) {
                (true, _) => STALLED,
                (false, true) => "streaming",
                (false, false) if status.record.tags.nostream => FED,
                (false, false) => state,
            },
            upstream: status.upstream.as_ref(),
            received: Some(standby.position.lsn),
            replayed: Some(standby.replayed),
            progress,
        },
        None => Seen { state, upstream: None, received: None, replayed: None, progress },
    }
}

/// A replica that lives on the archive, in Patroni's words.
const FED: &str = "in archive recovery";

/// A replica that replays nothing, though there is WAL.
const STALLED: &str = "stalled";

/// What it said last, if that is fresh; else what its record says.
fn peer<'a>(
    status: &'a Status,
    (name, known): (&MemberName, &MemberStatus),
    now: Millis,
) -> Seen<'a> {
    let role = word(known.record.role);
    let Some(beat) = verdict::lately(status, now, name) else {
        let state = if role == "streaming" { "running" } else { role };
        return Seen { state, upstream: None, received: None, replayed: None, progress: None };
    };
    let state = match beat.state {
        PeerState::Streaming | PeerState::Standby if beat.stalled => STALLED,
        PeerState::Streaming => "streaming",
        PeerState::Standby | PeerState::Detached if beat.tags.nostream => FED,
        PeerState::Primary | PeerState::Standby | PeerState::Detached => "running",
        PeerState::NotReady => "starting",
        PeerState::Stopped if role == "running" || role == "streaming" => "stopped",
        PeerState::Stopped => role,
    };
    Seen {
        state,
        upstream: beat.upstream.as_ref(),
        received: beat.position.map(|position| position.lsn),
        replayed: beat.replayed,
        progress: beat.progress,
    }
}

const fn word(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Primary { .. }
        | MemberRole::Promoting { .. }
        | MemberRole::Opening { .. }
        | MemberRole::Replica => "running",
        MemberRole::StandbyLeader { .. } => "streaming",
        MemberRole::Streaming => "streaming",
        MemberRole::Starting => "starting",
        MemberRole::Initialising => "initializing new cluster",
        MemberRole::Cloning => "creating replica",
        MemberRole::Rewinding => "rewinding",
        MemberRole::Closing => "stopping",
        MemberRole::Stopped => "stopped",
        MemberRole::Refused => "start failed",
    }
}
