//! What is counted of the talk with etcd: requests, errors, renewals. Counts only.

use std::time::Duration;

use haa_core::input::LeaseNews;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::error::{AttemptError, Sent};

/// An attempt ends after 0.4 s, a renewal after 1 s.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The counts.
#[derive(Debug)]
pub(super) struct Meters {
    requests: Family<[(&'static str, String); 1], Histogram>,
    errors: Family<[(&'static str, String); 2], Counter>,
    renewals: Family<[(&'static str, &'static str); 1], Counter>,
    renewal: Histogram,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            requests: Family::new_with_constructor(histogram),
            errors: Family::default(),
            renewals: Family::default(),
            renewal: histogram(),
        }
    }
}

impl Meters {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "haa_etcd_request_duration_seconds",
            "Requests to etcd that were answered, connecting included",
            self.requests.clone(),
        );
        registry.register(
            "haa_etcd_request_errors",
            "Requests to etcd without an answer, or with an error for one",
            self.errors.clone(),
        );
        registry.register(
            "haa_lease_renewals",
            "Renewals of the lease by what came of them",
            self.renewals.clone(),
        );
        registry.register(
            "haa_lease_renewal_duration_seconds",
            "Renewals that etcd confirmed, from the first attempt on",
            self.renewal.clone(),
        );
    }

    pub(super) fn request(&self, endpoint: &str, took: Duration, error: Option<&AttemptError>) {
        let endpoint = ("endpoint", endpoint.to_owned());
        let what = match error {
            // That it does not know a lease is an answer.
            None => return self.answered(endpoint, took),
            Some(error) if error.lease_unknown() => return self.answered(endpoint, took),
            Some(error) if error.sent() == Sent::No => "unreachable",
            Some(AttemptError::Late { .. }) => "late",
            Some(AttemptError::Failed { .. }) => "failed",
        };
        self.errors.get_or_create(&[endpoint, ("error", what.to_owned())]).inc();
    }

    fn answered(&self, endpoint: (&'static str, String), took: Duration) {
        self.requests.get_or_create(&[endpoint]).observe(took.as_secs_f64());
    }

    pub(super) fn renewal(&self, news: &LeaseNews, took: Duration) {
        let outcome = match news {
            LeaseNews::Alive { .. } => {
                self.renewal.observe(took.as_secs_f64());
                "renewed"
            }
            LeaseNews::Gone { .. } => "gone",
            LeaseNews::Silent { .. } => "unanswered",
        };
        self.renewals.get_or_create(&[("outcome", outcome)]).inc();
    }
}
