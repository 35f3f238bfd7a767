//! Health checks: a path, a question to the status, a code. The body is the member's document.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use haa_core::routes::{Answer, Status};
use haa_core::settings::Settings;
use haa_core::units::Millis;
use serde::Serialize;

use super::query::{BadQuery, demand, readiness};
use super::{Api, document, json, not_yet};
use crate::agent::clock;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Primary,
    Leader,
    StandbyLeader,
    Replica,
    ReadOnly,
    Synchronous,
    Asynchronous,
    ReadOnlySynchronous,
    Health,
    Liveness,
    Readiness,
}

/// Every path of a health check.
pub(super) static PATHS: &[(&str, Check)] = &[
    ("/", Check::Primary),
    ("/primary", Check::Primary),
    ("/master", Check::Primary),
    ("/read-write", Check::Primary),
    ("/leader", Check::Leader),
    ("/standby-leader", Check::StandbyLeader),
    ("/standby_leader", Check::StandbyLeader),
    ("/replica", Check::Replica),
    ("/read-only", Check::ReadOnly),
    ("/sync", Check::Synchronous),
    ("/synchronous", Check::Synchronous),
    ("/quorum", Check::Synchronous),
    ("/async", Check::Asynchronous),
    ("/asynchronous", Check::Asynchronous),
    ("/read-only-sync", Check::ReadOnlySynchronous),
    ("/read-only-quorum", Check::ReadOnlySynchronous),
    ("/health", Check::Health),
    ("/liveness", Check::Liveness),
    ("/readiness", Check::Readiness),
];

/// 200 or 503, with the member's document; 400 for a parameter that cannot be used.
pub(super) fn answer(check: Check, api: &Api, uri: &Uri) -> Response {
    let now = clock::now();
    let turned_at = *api.alive_at.borrow();
    let Some(status) = api.status.borrow().clone() else {
        return unpublished(check, now, turned_at);
    };
    match passes(check, &status, (now, turned_at), uri) {
        Ok(answer) => {
            let code =
                if answer.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json(code, &document::member(&status, &api.cluster, now, answer.err()))
        }
        Err(bad) => bad.response(),
    }
}

/// Before the node published anything only its loop can be judged, by the usual lease.
fn unpublished(check: Check, now: Millis, turned_at: Millis) -> Response {
    let turns = now.since(turned_at) < Settings::default().timing.ttl;
    if check == Check::Liveness && turns {
        return json(StatusCode::OK, &Beginning { state: "starting" });
    }
    not_yet()
}

/// The body of `/liveness` before anything is known.
#[derive(Serialize)]
struct Beginning {
    state: &'static str,
}

/// `/patroni`: always 200 once anything is known.
pub(super) fn member(api: &Api, _: &Uri) -> Response {
    let Some(status) = api.status.borrow().clone() else { return not_yet() };
    json(StatusCode::OK, &document::member(&status, &api.cluster, clock::now(), None))
}

/// While the agent's loop stands still, what it knew is no answer to anything.
fn passes(
    check: Check,
    status: &Status,
    (now, turned_at): (Millis, Millis),
    uri: &Uri,
) -> Result<Answer, BadQuery> {
    let answer = match check {
        Check::Primary => status.primary(now),
        Check::Leader => status.leads(now),
        Check::StandbyLeader => status.leads_standbys(now),
        Check::Replica => status.replica(&demand(uri)?),
        Check::ReadOnly => status.readable(now, &demand(uri)?),
        Check::Synchronous => status.synchronous(&demand(uri)?),
        Check::Asynchronous => status.asynchronous(&demand(uri)?),
        Check::ReadOnlySynchronous => status.readable_sync(now, &demand(uri)?),
        Check::Health => status.healthy(),
        Check::Liveness => Ok(()),
        Check::Readiness => {
            let asked = readiness(uri)?;
            status.ready(now, asked.max_lag, asked.measure)
        }
    };
    Ok(status.awake(now, turned_at).and(answer))
}
