//! Parameters of a question. What cannot be read is refused by name, never ignored.

use axum::http::Uri;
use axum::response::Response;
use haa_core::checks::Measure;
use haa_core::routes::ReplicaDemand;

use super::complaint;
use crate::config::size;

/// In which form a route is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// `10.0.0.1:5432`
    HostPort,
    /// `host=10.0.0.1 port=5432`
    Dsn,
    /// `postgresql://10.0.0.1:5432/`
    Uri,
    /// A JSON document.
    #[default]
    Json,
}

/// What `/readiness` was asked to demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) max_lag: Option<u64>,
    pub(super) measure: Measure,
}

/// A parameter that cannot be used, in a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadQuery(pub(super) String);

impl BadQuery {
    pub(super) fn response(self) -> Response {
        complaint(axum::http::StatusCode::BAD_REQUEST, self.0)
    }
}

/// `?lag=`, `?replication_state=`, `?tag_KEY=`
pub(super) fn demand(uri: &Uri) -> Result<ReplicaDemand, BadQuery> {
    let mut demand = ReplicaDemand::default();
    for (key, value) in pairs(uri)? {
        match (key.as_str(), key.strip_prefix("tag_")) {
            ("lag", _) => demand.max_lag = Some(lag(&value)?),
            ("replication_state", _) if value == "streaming" => demand.streaming = true,
            ("replication_state", _) => return Err(bad(&key, &value, "streaming")),
            (_, Some(tag)) if !tag.is_empty() => {
                demand.tags.insert(tag.to_owned(), value);
            }
            _ => return Err(unknown(&key, "lag, replication_state, tag_KEY")),
        }
    }
    Ok(demand)
}

/// `?lag=`, `?mode=`
pub(super) fn readiness(uri: &Uri) -> Result<Readiness, BadQuery> {
    let mut readiness = Readiness::default();
    for (key, value) in pairs(uri)? {
        match (key.as_str(), value.as_str()) {
            ("lag", _) => readiness.max_lag = Some(lag(&value)?),
            ("mode", "apply") => readiness.measure = Measure::Applied,
            ("mode", "write") => readiness.measure = Measure::Written,
            ("mode", _) => return Err(bad(&key, &value, "apply or write")),
            _ => return Err(unknown(&key, "lag, mode")),
        }
    }
    Ok(readiness)
}

/// `?format=`
pub(super) fn format(uri: &Uri) -> Result<Format, BadQuery> {
    let mut format = Format::default();
    for (key, value) in pairs(uri)? {
        format = match (key.as_str(), value.as_str()) {
            ("format", "hostport") => Format::HostPort,
            ("format", "dsn") => Format::Dsn,
            ("format", "uri") => Format::Uri,
            ("format", "json") => Format::Json,
            ("format", _) => return Err(bad(&key, &value, "hostport, dsn, uri or json")),
            _ => return Err(unknown(&key, "format")),
        };
    }
    Ok(format)
}

fn lag(value: &str) -> Result<u64, BadQuery> {
    size::bytes(value).ok_or_else(|| bad("lag", value, "bytes, or a size such as 16kB, 10MB, 1GB"))
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, BadQuery> {
    match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(pairs)) => Ok(pairs),
        Err(_) => Err(BadQuery("the parameters cannot be read: write ?key=value&key=value".into())),
    }
}

fn bad(key: &str, value: &str, wanted: &str) -> BadQuery {
    BadQuery(format!("parameter {key}: '{}' is not {wanted}", value.escape_debug()))
}

fn unknown(key: &str, known: &str) -> BadQuery {
    BadQuery(format!("parameter {}: not known here; there are {known}", key.escape_debug()))
}
