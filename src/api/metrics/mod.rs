//! `GET /metrics`: what is counted as it happens, and what the status says at this moment. Never a number that nobody
//! measured: what is not known is left out.
//!
//! | module | owns |
//! |---|---|
//! | `sheet` | what is written at one scrape |
//! | `patroni` | the names that today's dashboards know |
//! | `member` | this member: its role, its leadership, its Postgres, its guard |
//! | `cluster` | the cluster, as this member sees it |
//! | `router` | what the router counts |

use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use haa_core::routes::Status;
use haa_core::units::{MemberName, Millis};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::{Api, complaint, typed};
use crate::agent::clock;
use sheet::Sheet;

mod cluster;
mod member;
mod patroni;
mod router;
mod sheet;

/// Whose a series is.
type Whose = [(&'static str, String); 2];

/// What is counted as it happens, for as long as the agent runs.
#[derive(Debug)]
pub struct Metrics {
    whose: Whose,
    counted: Registry,
    answers: Family<[(&'static str, String); 2], Counter>,
}

impl Metrics {
    /// Where each room registers what it counts.
    #[must_use]
    pub fn registry(cluster: &str, name: &MemberName) -> Registry {
        registry(&whose(cluster, name))
    }

    /// With what the rooms have registered.
    #[must_use]
    pub fn new(cluster: &str, name: &MemberName, mut counted: Registry) -> Self {
        let answers = Family::default();
        let help = "Answers of the API by path and status code";
        counted.register("haa_http_answers", help, answers.clone());
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        counted.register("haa_build", "The version of haad", version);
        Self { whose: whose(cluster, name), counted, answers }
    }

    /// The page, in the text format of OpenMetrics, which Prometheus reads.
    fn page(&self, sheet: Sheet) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.counted)?;
        encode_registry(&mut text, &sheet.registry())?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn whose(cluster: &str, name: &MemberName) -> Whose {
    [("scope", cluster.to_owned()), ("name", name.to_string())]
}

/// Every series says whose it is.
fn registry(whose: &Whose) -> Registry {
    let labels = whose.iter().map(|(key, value)| ((*key).into(), value.clone().into()));
    Registry::with_labels(labels)
}

/// `GET /metrics`: always 200. What rests on a loop that stands still is left out.
pub(super) fn metrics(api: &Api, _: &Uri) -> Response {
    let now = clock::now();
    let turned_at = *api.alive_at.borrow();
    let mut sheet = Sheet::new(&api.metrics.whose);
    sheet.age(
        "haa_loop_turn_age_seconds",
        "Since the agent's loop last turned",
        now.since(turned_at),
    );
    patroni::version(&mut sheet);
    if let Some(guard) = &api.guard {
        member::guard(&mut sheet, *guard.borrow(), now);
    }
    member::slots(&mut sheet, &api.slots.borrow());
    member::held(&mut sheet, &api.held.borrow(), &api.slots.borrow());
    if let Some(counters) = &api.router {
        router::ports(&mut sheet, &counters.shown(None));
    }
    let status = api.status.borrow().clone();
    if let Some(status) = status.filter(|status| status.awake(now, turned_at).is_ok()) {
        known(&mut sheet, &status, now);
    }
    match api.metrics.page(sheet) {
        Ok(text) => typed(StatusCode::OK, KIND, text.into()),
        Err(error) => {
            let says = format!("the metrics could not be written: {error}");
            complaint(StatusCode::INTERNAL_SERVER_ERROR, says)
        }
    }
}

/// What the encoder writes.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn known(sheet: &mut Sheet, status: &Status, now: Millis) {
    patroni::known(sheet, status, now);
    member::known(sheet, status, now);
    cluster::known(sheet, status, now);
}

/// Counts each answer, by the path that took it.
pub(super) async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    // What people mistype is not a name of a series.
    let path = path.map_or("unknown", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let code = response.status().as_u16().to_string();
    api.metrics.answers.get_or_create(&[("path", path), ("code", code)]).inc();
    response
}
