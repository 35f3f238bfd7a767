//! `/config`: the settings as they are, and other ones. Checked as a whole before they are written, by comparison with
//! what they were; answered when every member goes by them. Never decides what follows from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, on};
use haa_core::observe::{PeerState, Server};
use haa_core::records::{Altered, Ask, RequestState};
use haa_core::routes::Status;
use haa_core::settings::{KeptSlot, Settings};
use haa_core::units::{MemberName, Revision};
use serde::Deserialize;
use serde_json::Value;

use super::carry::{request, written};
use super::commands::{Refusal, body, current, who};
use super::planned::{patch_at, put_at};
use super::schedule::plan;
use super::tokens::Role;
use super::{Api, Call, READ, Untold, json, not_yet, told};
use crate::config::settings::{changes, merged, read};

/// Whoever lives goes by new settings by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// In a patch: not now. No setting is called so.
const SCHEDULED_AT: &str = "scheduled_at";

/// A program of Postgres is asked once for each parameter.
const VETTING: Duration = Duration::from_secs(20);

/// A document, whatever it is.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Document(Value);

/// `GET`, `PATCH` and `PUT`.
pub(super) fn paths() -> MethodRouter<Arc<Api>> {
    on(READ, shown).patch(patch).put(put)
}

/// The settings in force; their revision is the tag.
async fn shown(State(api): State<Arc<Api>>) -> Response {
    let Some(status) = api.status.borrow().clone() else { return not_yet() };
    document(StatusCode::OK, &status.settings, status.settings_revision)
}

/// What is named is replaced, `null` goes back to the default, everything else stays.
async fn patch(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Viewer)?;
        let seen = seen(request.headers())?;
        let Document(mut patch) = body(request).await?;
        let at = patch.as_object_mut().and_then(|patch| patch.remove(SCHEDULED_AT));
        who.may(if pauses(&patch) { Role::Operator } else { Role::Admin })?;
        let status = current(&api)?;
        if let Some(at) = at {
            if pauses(&patch) {
                return pause_at(&api, &at, &who.by, &patch).await;
            }
            unchanged(&status, seen)?;
            return patch_at(&api, (&at, &who.by), &status, &patch).await;
        }
        let next = merged(&status.settings, &patch).map_err(senseless)?;
        change(&api, &status, (next, Whose::named_in(&patch)), (who.by, seen)).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// What is named is so, everything else goes back to its default.
async fn put(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Admin)?;
        let seen = seen(request.headers())?;
        let Document(whole) = body(request).await?;
        let Value::Object(mut whole) = whole else {
            return Err(senseless(vec!["settings: a JSON object is wanted".to_owned()]));
        };
        let at = whole.remove(SCHEDULED_AT);
        let status = current(&api)?;
        let next = read(&whole).map_err(senseless)?;
        let named = Whose::named_in(&Value::Object(whole));
        if let Some(at) = at {
            unchanged(&status, seen)?;
            return put_at(&api, (&at, &who.by), &status, next).await;
        }
        change(&api, &status, (next, named), (who.by, seen)).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// To pause a cluster and to resume it is not to change what it goes by.
fn pauses(patch: &Value) -> bool {
    patch.as_object().is_some_and(|patch| patch.keys().eq(["pause"]))
}

/// A pause that is to begin at a time, or to end.
async fn pause_at(api: &Api, at: &Value, by: &str, patch: &Value) -> Result<Response, Refusal> {
    let (Some(at), Some(pause)) = (at.as_str(), patch["pause"].as_bool()) else {
        let says = "scheduled_at: a time in a text, such as \"+2h\", with pause true or false";
        return Err(senseless(vec![says.to_owned()]));
    };
    let (from, to) = (Some((!pause).to_string()), Some(pause.to_string()));
    let changes = vec![Altered { key: "pause".to_owned(), from, to }];
    plan(api, at, by, vec![Ask::Settings { changes }.into()]).await
}

pub(super) fn senseless(sentences: Vec<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentences.join("; "))
}

/// The revision that whoever asks has seen, by `If-Match`.
fn seen(headers: &HeaderMap) -> Result<Option<Revision>, Refusal> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let number = tag.to_str().ok().and_then(|tag| tag.trim_matches('"').parse().ok());
    let says = "If-Match: this is no tag of GET /config".to_owned();
    number.map(|number| Some(Revision(number))).ok_or(Refusal::new(StatusCode::BAD_REQUEST, says))
}

fn lost() -> Refusal {
    let says = "the settings were changed by somebody else meanwhile: look with haactl settings show \
                and ask again";
    Refusal::new(StatusCode::CONFLICT, says.to_owned())
}

/// The revision that a change goes by, if there are settings, and whoever asks has seen these.
fn unchanged(status: &Status, seen: Option<Revision>) -> Result<Revision, Refusal> {
    let since = status.settings_revision;
    if since == Revision::ABSENT {
        let says = "there are no settings yet: the cluster is not initialised, or this member has not heard \
                    from etcd; look with haactl status";
        return Err(Refusal::untaken(says.to_owned()));
    }
    if seen.is_some_and(|seen| seen != since) { Err(lost()) } else { Ok(since) }
}

async fn change(
    api: &Api,
    status: &Status,
    (next, named): (Settings, Whose),
    (by, seen): (String, Option<Revision>),
) -> Result<Response, Refusal> {
    let since = unchanged(status, seen)?;
    let changes = changes(&status.settings, &next);
    if changes.is_empty() {
        // Written before, by whoever asks again until all go by it, or by another.
        return gone_by(api, since, named).await;
    }
    vetted(api, status, &next).await?;
    let done = RequestState::Done { what: "written".to_owned() };
    let (id, record) = request(Ask::Settings { changes }, by, done);
    let settings = Box::new(next.clone());
    let whose =
        if next.postgres == status.settings.postgres { Whose::Agents } else { Whose::Postgres };
    let call = |reply| Call::Change { since, settings, event: (id, record), reply };
    let unknown = "whether the settings were written is not known; haactl settings show (or GET /config) says what \
                   they are";
    if !written(api, call).await.map_err(|why| why.refusal(unknown))? {
        return Err(lost());
    }
    gone_by(api, Revision(since.0 + 1), whose).await
}

/// Answered when every member goes by the settings of that revision or of a later one, or has had its time.
async fn gone_by(api: &Api, from: Revision, whose: Whose) -> Result<Response, Refusal> {
    let mut published = api.status.clone();
    let all = published.wait_for(|status| {
        let status = status.as_ref().filter(|status| status.settings_revision >= from);
        status.is_some_and(|status| behind(status, whose).is_empty())
    });
    let everywhere = tokio::time::timeout(PATIENCE, all).await.is_ok();
    let status = current(api)?;
    if everywhere {
        return Ok(document(StatusCode::OK, &status.settings, status.settings_revision));
    }
    Ok(json(StatusCode::ACCEPTED, &serde_json::json!({ "message": unfinished(&status, whose) })))
}

/// Parameters and slots that are to be others are checked by this member's Postgres.
pub(super) async fn vetted(api: &Api, status: &Status, next: &Settings) -> Result<(), Refusal> {
    let before = &status.settings.slots;
    let slots = next.slots.iter().filter(|(name, slot)| before.get(*name) != Some(slot));
    let slots: BTreeMap<_, _> = slots.map(|(name, slot)| (name.clone(), slot.clone())).collect();
    if status.settings.postgres.parameters != next.postgres.parameters || !slots.is_empty() {
        vet(api, (wanted(&status.settings, next), slots), next).await?;
    }
    Ok(())
}

/// The parameters of Postgres that are to be other than they are.
fn wanted(before: &Settings, next: &Settings) -> BTreeMap<String, String> {
    let (before, next) = (&before.postgres.parameters, &next.postgres.parameters);
    let new = next.iter().filter(|(name, value)| before.get(*name) != Some(value));
    new.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// This member's Postgres judges for all: they are of one kind.
async fn vet(
    api: &Api,
    (wanted, slots): (BTreeMap<String, String>, BTreeMap<String, KeptSlot>),
    next: &Settings,
) -> Result<(), Refusal> {
    let whole = next.postgres.parameters.clone();
    let only_less = wanted.is_empty() && slots.is_empty();
    let unseen = |why: &str| {
        let says = format!(
            "the change cannot be checked by this member, and nothing was written: {why}; ask another member"
        );
        Refusal::untaken(says)
    };
    match told(api, VETTING, |reply| Call::Vet { wanted, whole, slots, reply }).await {
        Ok(Ok(objections)) if objections.is_empty() => Ok(()),
        Ok(Ok(objections)) => Err(senseless(objections)),
        // What keeps servers from starting can be taken out while none runs.
        Ok(Err(_)) if only_less => Ok(()),
        Ok(Err(why)) => Err(unseen(&why)),
        Err(Untold::Stopping | Untold::Lost) => Err(unseen("the agent is stopping")),
        Err(Untold::Late) => Err(unseen("its Postgres takes too long")),
    }
}

/// What is known of settings that were written and that not everybody is known to go by.
pub(super) fn unfinished(status: &Status, whose: Whose) -> String {
    let late: Vec<String> = behind(status, whose).iter().map(Late::sentence).collect();
    match late.join(", ") {
        late if late.is_empty() => "written; this member does not go by them yet".to_owned(),
        late => format!("written; not known to go by them yet: {late}"),
    }
}

/// Who is to go by a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The agents.
    Agents,
    /// They, and each Postgres that runs.
    Postgres,
}

impl Whose {
    /// Whom a document is about that may change nothing.
    fn named_in(document: &Value) -> Self {
        let of = |section: &str| document[section]["parameters"].as_object();
        let named = ["postgres", "postgresql"].into_iter().filter_map(of);
        match named.flatten().next() {
            Some(_) => Self::Postgres,
            None => Self::Agents,
        }
    }
}

/// Who does not go by the settings yet.
struct Late<'a> {
    name: &'a MemberName,
    /// Why its Postgres does not, if that is why.
    objection: Option<&'a str>,
}

impl Late<'_> {
    fn sentence(&self) -> String {
        match self.objection {
            Some(why) => format!("{} (its Postgres: {why})", self.name),
            None => self.name.to_string(),
        }
    }
}

/// Members that are not known to go by the settings that this one goes by, or whose running Postgres is not.
fn behind(status: &Status, whose: Whose) -> Vec<Late<'_>> {
    let since = status.settings_revision;
    let own = status.postgres.as_ref().map(|facts| {
        let runs = matches!(facts.server, Server::Standby(_) | Server::Primary(_));
        (runs, &facts.parameters)
    });
    let late = status.members.iter().filter_map(|(name, member)| {
        let heard = member.heard.as_ref().map(|(_, beat)| beat);
        let (agent, postgres) = if *name == status.me {
            (Some(since), own)
        } else {
            (
                heard.map(|beat| beat.settings),
                heard.map(|beat| (runs(beat.state), &beat.parameters)),
            )
        };
        let objection = postgres
            .filter(|_| whose == Whose::Postgres)
            .filter(|(runs, parameters)| *runs && parameters.taken < since)
            .map(|(_, parameters)| parameters.objection.as_deref());
        let late = agent < Some(since) || objection.is_some();
        late.then_some(Late { name, objection: objection.flatten() })
    });
    late.collect()
}

/// A server that does not run will begin with what is written.
const fn runs(state: PeerState) -> bool {
    match state {
        PeerState::Standby | PeerState::Streaming | PeerState::Detached | PeerState::Primary => {
            true
        }
        PeerState::Stopped | PeerState::NotReady => false,
    }
}

fn document(code: StatusCode, settings: &Settings, revision: Revision) -> Response {
    let mut response = json(code, settings);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
