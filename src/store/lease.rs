//! Leases: granted, renewed once, revoked; and what is left of another's. Never decides when.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, GetOptions, ResponseHeader};
use haa_core::input::{Input, LeaseNews, LeaseSeen, Left};
use haa_core::records::Key;
use haa_core::units::{LeaseId, Millis};
use tokio::time::Instant;

use super::Shared;
use super::error::{chain, lease_unknown};

/// A grant or a renewal may be repeated; after this long the node hears that etcd is silent.
const PATIENCE: Duration = Duration::from_secs(1);
/// Letting go is worth a longer try: it saves the others the wait for the lease to run out.
const REVOKE_PATIENCE: Duration = Duration::from_secs(3);

/// What became of a renewal: for how long it holds; `None` where etcd does not know the lease any more.
type Renewal = Option<Millis>;

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
            let (id, ttl) = (LeaseId(answer.value.id()), span(answer.value.ttl()));
            shared.granted.store(id, ttl);
            LeaseNews::Alive { id, asked_at: answer.asked_at, ttl }
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
    let began = Instant::now();
    let known = shared.granted.of(id);
    let renewed =
        shared.clients.any(PATIENCE, |client| async move { renew(client, id, known).await }).await;
    let news = match renewed {
        Ok(answer) => match answer.value {
            Some(ttl) => {
                shared.granted.store(id, ttl);
                LeaseNews::Alive { id, asked_at: answer.asked_at, ttl }
            }
            None => LeaseNews::Gone { id },
        },
        Err(miss) => {
            tracing::debug!(lease = %id, error = chain(&miss.error), "no answer to a renewal");
            LeaseNews::Silent { asked_at: miss.asked_at }
        }
    };
    shared.clients.meters.renewal(&news, began.elapsed());
    shared.deliver(Input::Lease(news)).await;
}

/// The client keeps the ttl of the first answer to itself: for a lease that an earlier run of this agent was granted, a
/// second one is asked for on the same stream.
async fn renew(
    client: Client,
    id: LeaseId,
    known: Option<Millis>,
) -> Result<Renewal, etcd_client::Error> {
    let (mut keeper, mut answers) = match client.lease_client().keep_alive(id.0).await {
        Ok(stream) => stream,
        Err(error) if lease_unknown(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if known.is_some() {
        return Ok(known);
    }
    keeper.keep_alive().await?;
    let answer = answers.message().await?;
    Ok(answer.map(|answer| span(answer.ttl())).filter(|ttl| *ttl > Millis(0)))
}

/// As etcd tells it, in seconds.
fn span(seconds: i64) -> Millis {
    Millis(1_000).times(u64::try_from(seconds).unwrap_or(0))
}

/// What etcd granted our lease for.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<Option<(LeaseId, Millis)>>);

impl Grants {
    fn of(&self, id: LeaseId) -> Option<Millis> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(of, _)| *of == id).map(|(_, ttl)| ttl)
    }

    fn store(&self, id: LeaseId, ttl: Millis) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, ttl));
    }
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

/// What is left of another's lease. Only etcd's leader knows: one that was cut off, and has not noticed, sees no more
/// renewals. A linearizable read after it, at the same endpoint and in the same term of etcd's own, proves that it led.
pub(super) async fn time_to_live(shared: &Shared, id: LeaseId) {
    let path = shared.keys.path(&Key::Leader);
    let asked = shared.clients.any(PATIENCE, |client| left_of(client, id, path.clone())).await;
    let (left, asked_at) = match asked {
        Ok(answer) => (answer.value, answer.asked_at),
        Err(miss) => {
            tracing::debug!(lease = %id, error = chain(&miss.error), "etcd does not say what is left of a lease");
            (None, miss.asked_at)
        }
    };
    shared.deliver(Input::LeaseSeen(LeaseSeen { id, asked_at, left })).await;
}

async fn left_of(
    client: Client,
    id: LeaseId,
    path: String,
) -> Result<Option<Left>, etcd_client::Error> {
    let told = client.lease_client().time_to_live(id.0, None).await?;
    let read = client.kv_client().get(path, Some(GetOptions::new().with_count_only())).await?;
    let term = |header: Option<&ResponseHeader>| header.map(ResponseHeader::raft_term);
    let same = term(told.header()).is_some_and(|of| term(read.header()) == Some(of));
    let (Ok(seconds), Ok(granted)) = (u64::try_from(told.ttl()), u64::try_from(told.granted_ttl()))
    else {
        return Ok(None);
    };
    // "In under TTL + 1 seconds."
    let at_most = Millis(1_000).times(seconds.saturating_add(1));
    Ok(same.then_some(Left { at_most, granted: Millis(1_000).times(granted) }))
}
