//! Routes: where to write and where to read, from any member. The core says where; here it gets its form.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use haa_core::routes::{Route, Routes};
use haa_core::units::Address;

use super::query::{Format, format};
use super::{Api, complaint, json, text};
use crate::agent::clock;

/// `GET /routes`
pub(super) fn all(api: &Api, _: &Uri) -> Response {
    match known(api) {
        Ok(routes) => json(StatusCode::OK, &routes),
        Err(response) => *response,
    }
}

/// `GET /routes/primary`
pub(super) fn primary(api: &Api, uri: &Uri) -> Response {
    let (format, routes) = match (format(uri), known(api)) {
        (Err(bad), _) => return bad.response(),
        (Ok(_), Err(response)) => return *response,
        (Ok(format), Ok(routes)) => (format, routes),
    };
    let Some(route) = routes.primary else {
        let says = "nobody accepts writes at the moment: ask again, or look with haactl list";
        return complaint(StatusCode::SERVICE_UNAVAILABLE, says);
    };
    match format {
        Format::Json => json(StatusCode::OK, &route),
        Format::HostPort => text(StatusCode::OK, hostport(&route)),
        Format::Dsn => {
            text(StatusCode::OK, format!("{} target_session_attrs=read-write", dsn(&route)))
        }
        Format::Uri => {
            let uri = format!("postgresql://{}/?target_session_attrs=read-write", hostport(&route));
            text(StatusCode::OK, uri)
        }
    }
}

/// `GET /routes/read`
pub(super) fn read(api: &Api, uri: &Uri) -> Response {
    let (format, routes) = match (format(uri), known(api)) {
        (Err(bad), _) => return bad.response(),
        (Ok(_), Err(response)) => return *response,
        (Ok(format), Ok(routes)) => (format, routes.replicas),
    };
    if routes.is_empty() {
        let says = "no replica can be read from at the moment: read from the primary, \
                    or look with haactl list";
        return complaint(StatusCode::SERVICE_UNAVAILABLE, says);
    }
    let lines = |line: fn(&Route) -> String| {
        let lines: Vec<String> = routes.iter().map(line).collect();
        text(StatusCode::OK, lines.join("\n"))
    };
    match format {
        Format::Json => json(StatusCode::OK, &routes),
        Format::HostPort => lines(hostport),
        Format::Dsn => lines(dsn),
        Format::Uri => lines(|route| format!("postgresql://{}/", hostport(route))),
    }
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

fn known(api: &Api) -> Result<Routes, Box<Response>> {
    let status = api.status.borrow().clone();
    let now = clock::now();
    let turned_at = *api.alive_at.borrow();
    let says = match status.as_ref().map(|status| (status.awake(now, turned_at), status)) {
        None => "the agent has just started and knows nothing yet: ask another member".to_owned(),
        Some((Err(why), _)) => format!("{why}: ask another member"),
        Some((Ok(()), status)) => match status.routes(now) {
            Ok(routes) => return Ok(routes),
            Err(None) => {
                "this member has not heard from the store yet: ask another member".to_owned()
            }
            Err(Some(age)) => format!(
                "this member heard from the store {age} ms ago, too long to say where the primary \
                 is: ask another member"
            ),
        },
    };
    Err(Box::new(complaint(StatusCode::SERVICE_UNAVAILABLE, says)))
}

fn hostport(route: &Route) -> String {
    Address { host: route.host.clone(), port: route.port }.to_string()
}

fn dsn(route: &Route) -> String {
    format!("host={} port={}", route.host, route.port)
}
