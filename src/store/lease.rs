//! Leases: granted, renewed once, revoked. Never decides when.

use std::time::Duration;

use haa_core::input::{Input, LeaseNews};
use haa_core::units::{LeaseId, Millis};

use super::Shared;
use super::error::{chain, lease_unknown};

/// A grant or a renewal may be repeated; after this long the node hears that etcd is silent.
const PATIENCE: Duration = Duration::from_secs(1);
/// Letting go is worth a longer try: it saves the others the wait for the lease to run out.
const REVOKE_PATIENCE: Duration = Duration::from_secs(3);

/// What became of a renewal.
#[derive(Clone, Copy)]
enum Renewal {
    Alive,
    Gone,
}

/// A new lease. A repeated grant leaves one behind that nobody knows; it runs out by itself.
pub(super) async fn grant(shared: &Shared, ttl: Millis) {
    // etcd counts whole seconds; longer than asked is safe, shorter is not.
    let seconds = i64::try_from(ttl.0.div_ceil(1000)).unwrap_or(i64::MAX);
    let granted = shared
        .clients
        .any(PATIENCE, |client| async move { client.lease_client().grant(seconds, None).await })
        .await;
    let news = match granted {
        Ok(answer) => {
            LeaseNews::Alive { id: LeaseId(answer.value.id()), asked_at: answer.asked_at }
        }
        Err(miss) => {
            tracing::debug!(error = chain(&miss.error), "no answer to a grant of a lease");
            LeaseNews::Silent { asked_at: miss.asked_at }
        }
    };
    shared.deliver(Input::Lease(news)).await;
}

/// One renewal, asked until somebody answers.
pub(super) async fn keep_alive(shared: &Shared, id: LeaseId) {
    let renewed = shared
        .clients
        .any(PATIENCE, |client| async move {
            match client.lease_client().keep_alive(id.0).await {
                Ok(_) => Ok(Renewal::Alive),
                Err(error) if lease_unknown(&error) => Ok(Renewal::Gone),
                Err(error) => Err(error),
            }
        })
        .await;
    let news = match renewed {
        Ok(answer) => match answer.value {
            Renewal::Alive => LeaseNews::Alive { id, asked_at: answer.asked_at },
            Renewal::Gone => LeaseNews::Gone { id },
        },
        Err(miss) => {
            tracing::debug!(lease = %id, error = chain(&miss.error), "no answer to a renewal");
            LeaseNews::Silent { asked_at: miss.asked_at }
        }
    };
    shared.deliver(Input::Lease(news)).await;
}

/// Lets go of a lease and of every key on it.
pub(super) async fn revoke(shared: &Shared, id: LeaseId) {
    let revoked = shared
        .clients
        .any(REVOKE_PATIENCE, |client| async move {
            match client.lease_client().revoke(id.0).await {
                Ok(_) => Ok(()),
                Err(error) if lease_unknown(&error) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await;
    if let Err(miss) = revoked {
        tracing::warn!(
            lease = %id, error = chain(&miss.error),
            "a lease could not be let go; it runs out by itself"
        );
    }
}
