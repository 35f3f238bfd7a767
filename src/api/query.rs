//! Parameters of a question. What cannot be read is refused by name, never ignored.

use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;
use haa_core::checks::Measure;
use haa_core::reads::ReplicaDemand;
use haa_core::units::Millis;

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

/// Before a command: what it is to do stands in its body, and is not passed over in its address.
pub(super) async fn commanded(request: Request, next: Next) -> Response {
    let uri = request.uri();
    match uri.query().filter(|query| !query.is_empty() && !request.method().is_safe()) {
        None => next.run(request).await,
        Some(query) => {
            let (path, query) = (uri.path(), query.escape_debug());
            let says = "takes no parameter in its address, but JSON in its body; here was";
            BadQuery(format!("{path} {says} '{query}'")).response()
        }
    }
}

/// `?lag=`, `?max_lag=`, `?min_lsn=`, `?replication_state=`, `?tag_KEY=`
pub(super) fn demand(uri: &Uri) -> Result<ReplicaDemand, BadQuery> {
    let mut demand = ReplicaDemand::default();
    for (key, value) in pairs(uri)? {
        if !demanded(&mut demand, &key, &value)? {
            return Err(unknown(&key, DEMANDS));
        }
    }
    Ok(demand)
}

const DEMANDS: &str = "lag, max_lag, min_lsn, replication_state, tag_KEY";

/// Takes one parameter, if it is one of a demand.
fn demanded(demand: &mut ReplicaDemand, key: &str, value: &str) -> Result<bool, BadQuery> {
    match (key, key.strip_prefix("tag_")) {
        ("lag" | "max_lag", _) => match (size::bytes(value), span(value)) {
            (Some(bytes), _) => demand.max_lag = Some(bytes),
            (None, Some(span)) => demand.max_age = Some(span),
            (None, None) => {
                return Err(bad(
                    key,
                    value,
                    "bytes, a size such as 16kB or 10MB, or a time such as 2s",
                ));
            }
        },
        ("min_lsn", _) => {
            let lsn =
                value.parse().map_err(|_| bad(key, value, "a WAL position such as 0/3000060"))?;
            demand.min_lsn = Some(lsn);
        }
        ("replication_state", _) if value == "streaming" => demand.streaming = true,
        ("replication_state", _) => return Err(bad(key, value, "streaming")),
        (_, Some(tag)) if !tag.is_empty() => {
            demand.tags.insert(tag.to_owned(), value.to_owned());
        }
        _ => return Ok(false),
    }
    Ok(true)
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

/// What a route was asked for, beside where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) format: Format,
    /// Wait so long for an answer, or for another one.
    pub(super) wait: Option<Millis>,
    pub(super) choose: Choose,
    pub(super) demand: ReplicaDemand,
}

/// Which of the replicas that meet the demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choose {
    #[default]
    All,
    /// The one that has replayed the most.
    LeastLag,
    /// The one with the fewest sessions of clients.
    LeastConnections,
}

/// What a path of routes takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// `?wait=`
    Wait,
    /// `?wait=`, `?format=`
    Format,
    /// `?wait=`, `?format=`, `?choose=`, and a demand.
    Demand,
}

/// Longer than anybody keeps a connection for one answer.
const LONGEST_WAIT: Millis = Millis(300_000);

pub(super) fn wish(uri: &Uri, takes: Takes) -> Result<Wish, BadQuery> {
    let mut wish = Wish::default();
    for (key, value) in pairs(uri)? {
        match (key.as_str(), value.as_str(), takes) {
            ("wait", _, _) => {
                let wait = span(&value).filter(|wait| *wait <= LONGEST_WAIT);
                wish.wait = Some(
                    wait.ok_or_else(|| bad(&key, &value, "a time of at most 5m, such as 30s"))?,
                );
            }
            ("format", word, Takes::Format | Takes::Demand) => wish.format = form(word)?,
            ("choose", word, Takes::Demand) => wish.choose = choice(word)?,
            (_, _, Takes::Demand) if demanded(&mut wish.demand, &key, &value)? => {}
            (_, _, Takes::Wait) => return Err(unknown(&key, "wait")),
            (_, _, Takes::Format) => return Err(unknown(&key, "format, wait")),
            (_, _, Takes::Demand) => {
                return Err(unknown(&key, &format!("choose, format, wait, {DEMANDS}")));
            }
        }
    }
    Ok(wish)
}

fn form(word: &str) -> Result<Format, BadQuery> {
    match word {
        "hostport" => Ok(Format::HostPort),
        "dsn" => Ok(Format::Dsn),
        "uri" => Ok(Format::Uri),
        "json" => Ok(Format::Json),
        _ => Err(bad("format", word, "hostport, dsn, uri or json")),
    }
}

fn choice(word: &str) -> Result<Choose, BadQuery> {
    match word {
        "all" => Ok(Choose::All),
        "least-lag" => Ok(Choose::LeastLag),
        "least-connections" => Ok(Choose::LeastConnections),
        _ => Err(bad("choose", word, "all, least-lag or least-connections")),
    }
}

fn span(value: &str) -> Option<Millis> {
    let span = humantime::parse_duration(value).ok()?;
    u64::try_from(span.as_millis()).ok().map(Millis)
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
