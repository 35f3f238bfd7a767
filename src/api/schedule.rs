//! Commands that are to begin at a time: read, written down, and forgotten again. When one is due the cluster decides.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use haa_core::records::{Altered, Ask, Due, Manner, RequestId, RequestRecord, RequestState};
use haa_core::routes::Status;
use haa_core::units::MemberName;
use serde::Serialize;

use super::carry::{request, written};
use super::commands::{Begun, Refusal, Who, current, finish, who};
use super::document::{rfc3339, unix_ms};
use super::requests::cancelled;
use super::tokens::Role;
use super::{Api, Call, json};
use crate::moment;

/// What nobody could begin with so long after it was due, nobody expects any more.
const GRACE: Duration = Duration::from_secs(15 * 60);
/// Further ahead it is a slip of the pen.
const AHEAD: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// So many may wait: every member keeps them in memory.
const MOST: usize = 100;
/// This member shows it by then, or a moment later.
const SHOWN: Duration = Duration::from_secs(1);

/// One command of a plan.
pub(super) struct Step {
    pub(super) ask: Ask,
    /// Of a switchover: who is to lead until then.
    pub(super) from: Option<MemberName>,
}

impl From<Ask> for Step {
    fn from(ask: Ask) -> Self {
        Self { ask, from: None }
    }
}

/// Writes down what is to begin at that time, each once the one before it is done. A later one has longer.
pub(super) async fn plan(
    api: &Api,
    at: &str,
    by: &str,
    steps: Vec<Step>,
) -> Result<Response, Refusal> {
    let now = unix_ms();
    let at_unix_ms = in_time(at, now)?;
    let waiting = current(api)?.requests.values().filter(|asked| waits(asked)).count();
    if waiting + steps.len() > MOST {
        let says =
            format!("{waiting} commands wait for their time, {MOST} may: cancel some of them");
        return Err(Refusal::new(StatusCode::CONFLICT, says));
    }
    let what: Vec<String> = steps.iter().map(|step| step.ask.sentence()).collect();
    let (mut plan, mut after) = (Vec::new(), None);
    let mut until_unix_ms = at_unix_ms;
    for Step { ask, from } in steps {
        until_unix_ms += u64::try_from(grace(&ask).as_millis()).unwrap_or(u64::MAX);
        let (id, record) = request(ask, by.to_owned(), RequestState::Scheduled);
        let after = after.replace(id.clone());
        let due = Some(Due { at_unix_ms, until_unix_ms, after, from });
        plan.push((id, RequestRecord { due, ..record }));
    }
    let first = plan.first().map(|(id, _)| id.clone()).unwrap_or_default();
    let mut published = api.status.clone();
    let what = what.join(", then ");
    written(api, |reply| Call::Plan { plan, reply }).await.map_err(|why| {
        why.refusal(&format!(
            "whether '{what}' was taken is not known; haactl requests (or GET /requests) shows it if it was"
        ))
    })?;
    let shows = |status: &Option<Arc<Status>>| {
        status.as_ref().is_some_and(|status| status.requests.contains_key(&first))
    };
    let _ = tokio::time::timeout(SHOWN, published.wait_for(shows)).await;
    let message = format!(
        "'{what}' begins at {}, {}: haactl requests shows it, and haactl requests cancel {} takes it back",
        rfc3339(at_unix_ms),
        moment::distance(at_unix_ms, now),
        first.get(..8).unwrap_or(&first)
    );
    Ok(json(StatusCode::ACCEPTED, &Begun { message, request: first }))
}

/// To be late with these harms nobody; not to do them does: what is paused or drained would stay so.
fn grace(ask: &Ask) -> Duration {
    match ask {
        Ask::Undrain { .. } => AHEAD,
        Ask::Settings { changes } if changes.iter().all(is_resume) => AHEAD,
        Ask::Settings { .. }
        | Ask::Switchover { .. }
        | Ask::Failover { .. }
        | Ask::Drain { .. }
        | Ask::Restart { .. }
        | Ask::Reinit { .. }
        | Ask::Remove { .. }
        | Ask::PromoteCluster { .. }
        | Ask::DemoteCluster { .. }
        | Ask::Promote { .. }
        | Ask::KeepSlot { .. }
        | Ask::Reload { .. }
        | Ask::Command { .. } => GRACE,
    }
}

fn is_resume(change: &Altered) -> bool {
    change.key == "pause" && change.to.as_deref() != Some("true")
}

/// A time that can be waited for.
fn in_time(at: &str, now: u64) -> Result<u64, Refusal> {
    let no = |says| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, says);
    let at_unix_ms = moment::read(at, now).map_err(no)?;
    let far = u64::try_from(AHEAD.as_millis()).is_ok_and(|ahead| at_unix_ms > now + ahead);
    let (said, is) = (rfc3339(at_unix_ms), rfc3339(now));
    if at_unix_ms < now {
        return Err(no(format!("{said} is over: it is {is} by this member's clock")));
    }
    if far {
        return Err(no(format!(
            "{said} is more than a year ahead: it is {is} by this member's clock"
        )));
    }
    Ok(at_unix_ms)
}

/// Everybody's restart, one after the other: whoever leads by then is restarted by the switchover at the end.
pub(super) fn rolling(status: &Status) -> Vec<Step> {
    let restart = |member: &MemberName| {
        Step::from(Ask::Restart { member: member.clone(), manner: Manner::Rolling })
    };
    let last = Step::from(Ask::Switchover { to: None });
    status.members.keys().map(restart).chain([last]).collect()
}

/// Whether it waits for its time.
pub(super) fn waits(asked: &RequestRecord) -> bool {
    asked.state == RequestState::Scheduled
}

/// A restart that waits for its time.
#[derive(Serialize)]
pub(super) struct Restart {
    schedule: String,
}

/// The next one of this member.
pub(super) fn restart(status: &Status, name: &MemberName) -> Option<Restart> {
    let all = status.requests.values().filter(|asked| waits(asked));
    let all = all.filter_map(|asked| match (&asked.ask, &asked.due) {
        (Ask::Restart { member, .. }, Some(due)) if member == name => Some(due.at_unix_ms),
        _ => None,
    });
    all.min().map(|at| Restart { schedule: rfc3339(at) })
}

/// `DELETE /switchover`: those that wait for their time. The end of a rolling restart is not one.
pub(super) async fn forget_switchover(
    State(api): State<Arc<Api>>,
    request: Request<Body>,
) -> Response {
    let meant = |asked: &RequestRecord, _: &Status| {
        let alone = asked.due.as_ref().is_some_and(|due| due.after.is_none());
        matches!(asked.ask, Ask::Switchover { .. }) && alone
    };
    let who = who(&api, &request, Role::Operator);
    finish(forget(&api, who, "switchover", meant).await)
}

/// `DELETE /restart`: those of this member.
pub(super) async fn forget_restart(
    State(api): State<Arc<Api>>,
    request: Request<Body>,
) -> Response {
    let meant = |asked: &RequestRecord, status: &Status| match &asked.ask {
        Ask::Restart { member, .. } => *member == status.me,
        _ => false,
    };
    let who = who(&api, &request, Role::Operator);
    finish(forget(&api, who, "restart of this member", meant).await)
}

async fn forget(
    api: &Api,
    who: Result<Who, Refusal>,
    what: &str,
    meant: fn(&RequestRecord, &Status) -> bool,
) -> Result<String, Refusal> {
    let by = who?.by;
    let status = current(api)?;
    let all = status.requests.iter();
    let meant = all.filter(|(_, asked)| waits(asked) && meant(asked, &status));
    let meant: Vec<RequestId> = meant.map(|(id, _)| id.clone()).collect();
    if meant.is_empty() {
        let says = format!("no {what} waits for its time: GET /requests lists what does");
        return Err(Refusal::new(StatusCode::NOT_FOUND, says));
    }
    let mut said = Vec::new();
    for id in meant {
        let so_far = said.join("; ");
        said.push(cancelled(api, id, by.clone()).await.map_err(|why| match so_far.as_str() {
            "" => why,
            done => Refusal::new(why.code, format!("{done}; then: {}", why.says)),
        })?);
    }
    Ok(said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_within_a_year_can_be_waited_for() {
        let now = 1_795_780_800_000;
        let says = |at: &str| in_time(at, now).map_err(|no| (no.code.as_u16(), no.says));
        assert_eq!(says("+30m"), Ok(now + 1_800_000));
        for (at, why) in [
            (
                "2026-11-27T11:59:59Z",
                "2026-11-27T11:59:59.000Z is over: it is 2026-11-27T12:00:00.000Z",
            ),
            ("2027-11-29T12:00:00Z", "is more than a year ahead"),
            ("soon", "'soon' is no time such as"),
        ] {
            let (code, says) = says(at).expect_err(at);
            assert_eq!(code, 422);
            assert!(says.contains(why), "{says}");
        }
    }
}
