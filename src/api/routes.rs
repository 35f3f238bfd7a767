//! Routes: where to write and where to read, from any member. The core says where; here it gets its form, and whoever
//! wants to hear of a change waits for it.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use haa_core::routes::{Route, Routes};
use haa_core::units::Address;
use serde::Serialize;

use super::query::{Choose, Format, Takes, Wish, wish};
use super::serve::Patience;
use super::{Api, complaint, json, text};
use crate::agent::clock;

type Asked = (State<Arc<Api>>, Extension<Patience>, HeaderMap, Uri);

/// A comment on a stream on which nothing happens, so that what lies between does not give it up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `GET /routes`
pub(super) async fn all(asked: Asked) -> Response {
    answer(asked, Takes::Wait, |_, routes, _| Ok(json(StatusCode::OK, routes))).await
}

/// `GET /routes/primary`
pub(super) async fn primary(asked: Asked) -> Response {
    answer(asked, Takes::Format, |wish, routes, _| match &routes.primary {
        Some(route) => Ok(one(wish.format, route, Attributes::ReadWrite)),
        None => Err("nobody accepts writes at the moment: ask again, or look with haactl list"),
    })
    .await
}

/// `GET /routes/read`
pub(super) async fn read(asked: Asked) -> Response {
    answer(asked, Takes::Demand, |wish, routes, turn| {
        let mut found = match turn {
            Turn::Early => routes.replicas.clone(),
            Turn::Last => routes.reading(&wish.demand),
        };
        match wish.choose {
            Choose::All => {}
            Choose::LeastLag => first(&mut found, |route| route.lag_bytes),
            Choose::LeastConnections => first(&mut found, |route| route.sessions),
        }
        if found.is_empty() {
            return Err("no replica that can be read from meets this: read from the primary, \
                        or look with haactl list");
        }
        Ok(many(wish.format, &found))
    })
    .await
}

/// Leaves the one with the least of something; who does not say how much it has comes last.
fn first<T: Ord>(found: &mut Vec<Route>, of: impl Fn(&Route) -> Option<T>) {
    found.sort_by_key(|route| (of(route).is_none(), of(route)));
    found.truncate(1);
}

/// `GET /routes/stream`: the same as `/routes`, at once and whenever it changes.
pub(super) async fn stream(asked: Asked) -> Response {
    let (State(api), Extension(patience), _, uri) = asked;
    if let Some(query) = uri.query().filter(|query| !query.is_empty()) {
        let says =
            format!("/routes/stream takes no parameter; here was '{}'", query.escape_debug());
        return complaint(StatusCode::BAD_REQUEST, says);
    }
    Sse::new(changes(api, patience))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

fn changes(api: Arc<Api>, patience: Patience) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold((api, patience, None), |(api, patience, told)| async move {
        let mut status = api.status.clone();
        loop {
            status.mark_unchanged();
            let now = known(&api, &Wish::default()).map_err(|says| Unknown { error: says });
            let tag = now.as_ref().map_or_else(|_| "unknown".to_owned(), tag);
            if told.as_ref() != Some(&tag) {
                let event = match &now {
                    Ok(routes) => Event::default().event("routes").id(&tag).json_data(routes),
                    Err(unknown) => Event::default().event("unknown").json_data(unknown),
                };
                return Some((Ok(event.ok()?), (api, patience, Some(tag))));
            }
            patience.stream(status.changed()).await?.ok()?;
        }
    })
}

/// Whether there is still time for a better answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Early,
    Last,
}

/// This member cannot say where the primary is.
#[derive(Serialize)]
struct Unknown {
    error: String,
}

/// Answers; with `wait`, when there is an answer, and with `If-None-Match`, when it is another one.
async fn answer(
    (State(api), Extension(patience), headers, uri): Asked,
    takes: Takes,
    form: impl Fn(&Wish, &Routes, Turn) -> Result<Response, &'static str>,
) -> Response {
    let wish = match wish(&uri, takes) {
        Ok(wish) => wish,
        Err(bad) => return bad.response(),
    };
    let known_tag = headers.get(header::IF_NONE_MATCH).cloned();
    let until = wish.wait.map(|wait| tokio::time::Instant::now() + Duration::from_millis(wait.0));
    let mut turn = if until.is_some() { Turn::Early } else { Turn::Last };
    let mut status = api.status.clone();
    loop {
        status.mark_unchanged();
        let (response, settled) =
            attempt(&api, &wish, known_tag.as_ref(), |wish, routes| form(wish, routes, turn));
        let Some(until) = until.filter(|_| !settled && turn == Turn::Early) else {
            return response;
        };
        let changed = tokio::time::timeout_at(until, status.changed());
        match patience.wait(changed).await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(_)) | Err(_)) | None => turn = Turn::Last,
        }
    }
}

/// The answer as of now, and whether to wait could make no difference.
fn attempt(
    api: &Api,
    wish: &Wish,
    seen: Option<&HeaderValue>,
    form: impl Fn(&Wish, &Routes) -> Result<Response, &'static str>,
) -> (Response, bool) {
    let unavailable = |says: String| (complaint(StatusCode::SERVICE_UNAVAILABLE, says), false);
    let routes = match known(api, wish) {
        Ok(routes) => routes,
        Err(says) => return unavailable(says),
    };
    let tag = format!("\"{}\"", tag(&routes));
    let mut response = match form(wish, &routes) {
        Ok(response) => response,
        Err(says) => return unavailable(says.to_owned()),
    };
    let same = seen
        .and_then(|seen| seen.to_str().ok())
        .is_some_and(|seen| seen.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    if same {
        response = StatusCode::NOT_MODIFIED.into_response();
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    (response, !same)
}

/// What changes when clients are to go elsewhere, and not with every age and lag.
fn tag(routes: &Routes) -> String {
    let mut hash = DefaultHasher::new();
    routes.term.0.hash(&mut hash);
    for route in routes.primary.iter().chain(&routes.replicas) {
        (route.member.as_str(), &route.host, route.port).hash(&mut hash);
    }
    routes.primary.is_some().hash(&mut hash);
    format!("{}-{:016x}", routes.term.0, hash.finish())
}

/// `GET /router`
pub(super) fn router(api: &Api, _: &Uri) -> Response {
    match &api.router {
        Some(counters) => json(StatusCode::OK, &counters.shown(api.status.borrow().as_deref())),
        None => {
            let says = "this member runs no router: [router] in its haad.toml switches it on";
            complaint(StatusCode::NOT_FOUND, says)
        }
    }
}

/// Where to, with the readers that meet the demand; else why this member cannot say.
fn known(api: &Api, wish: &Wish) -> Result<Routes, String> {
    let status = api.status.borrow().clone();
    let now = clock::now();
    let turned_at = *api.alive_at.borrow();
    let Some(status) = status else {
        return Err(
            "the agent has just started and knows nothing yet: ask another member".to_owned()
        );
    };
    status.awake(now, turned_at).map_err(|why| format!("{why}: ask another member"))?;
    status.routes_for(now, &wish.demand).map_err(|age| match age {
        None => "this member has not heard from the store yet: ask another member".to_owned(),
        Some(age) => format!(
            "this member heard from the store {age} ms ago, too long to say where the primary is: \
             ask another member"
        ),
    })
}

/// What a client's library is to check of the server that it finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attributes {
    Any,
    ReadWrite,
}

fn one(format: Format, route: &Route, attributes: Attributes) -> Response {
    match format {
        Format::Json => json(StatusCode::OK, route),
        Format::HostPort | Format::Dsn | Format::Uri => {
            text(StatusCode::OK, line(format, route, attributes))
        }
    }
}

fn many(format: Format, routes: &[Route]) -> Response {
    match format {
        Format::Json => json(StatusCode::OK, &routes),
        Format::HostPort | Format::Dsn | Format::Uri => {
            let lines = routes.iter().map(|route| line(format, route, Attributes::Any));
            text(StatusCode::OK, lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn line(format: Format, route: &Route, attributes: Attributes) -> String {
    let hostport = Address { host: route.host.clone(), port: route.port }.to_string();
    let dsn = format!("host={} port={}", route.host, route.port);
    match (format, attributes) {
        (Format::HostPort | Format::Json, _) => hostport,
        (Format::Dsn, Attributes::Any) => dsn,
        (Format::Dsn, Attributes::ReadWrite) => format!("{dsn} target_session_attrs=read-write"),
        (Format::Uri, Attributes::Any) => format!("postgresql://{hostport}/"),
        (Format::Uri, Attributes::ReadWrite) => {
            format!("postgresql://{hostport}/?target_session_attrs=read-write")
        }
    }
}
