//! Transactions and linearizable reads. A transaction is sent once; when its outcome is unknown,
//! the store is read back. Never repeats a write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp};
use etcd_client::{TxnOpResponse, TxnResponse};
use haa_core::effect;
use haa_core::input::{Input, LeaseNews, Outcome, Seen, Via};
use haa_core::records::{Key, StoreView};
use haa_core::units::{LeaseId, Millis, Revision};
use tokio::time::Instant;

use super::Shared;
use super::clients::{Answer, Miss, PAUSE_MIN, pauses};
use super::error::{AttemptError, Sent, chain};
use super::keys::encode;
use super::view::Tree;

/// A read is repeated until it is answered; after this long its failure is worth a word.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// A tree, the view of it, and our clock when it was asked for.
pub(super) struct Read {
    pub(super) tree: Tree,
    pub(super) view: StoreView,
    pub(super) asked_at: Millis,
}

/// Reads everything, linearizably, until etcd answers with something that can be used.
pub(super) async fn read(shared: &Shared) -> Read {
    let mut pauses = pauses();
    loop {
        let ranges = shared.ranges();
        let answer = shared
            .clients
            .any(READ_PATIENCE, |client| {
                let ask = Txn::new().and_then(ranges.clone());
                async move { client.kv_client().txn(ask).await }
            })
            .await;
        match answer {
            Ok(Answer { value, asked_at, .. }) => {
                let tree = shared.tree(&value);
                if let Ok(view) = shared.reader.view(&tree) {
                    return Read { tree, view, asked_at };
                }
            }
            Err(miss) => tracing::debug!(error = chain(&miss.error), "etcd cannot be read"),
        }
        if let Some(pause) = pauses.next() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Wishes to read: one is performed, at most one waits. In a long outage they would pile up.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waits: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

/// Reads and tells, unless a read that has not begun yet will tell just as well.
pub(super) async fn tell_read(shared: &Shared) {
    if shared.reads.waits.swap(true, Ordering::SeqCst) {
        return;
    }
    let _turn = shared.reads.turn.lock().await;
    shared.reads.waits.store(false, Ordering::SeqCst);
    let Read { view, asked_at, .. } = read(shared).await;
    shared.deliver(seen(view, Via::Read { asked_at })).await;
}

/// Performs a transaction and tells what came of it, with a view that is at least as young.
pub(super) async fn tell(shared: &Shared, txn: effect::Txn) {
    let (outcome, asked_at, shown) = match send(shared, build(shared, &txn)).await {
        Ok(Answer { value, asked_at, .. }) => {
            let outcome = if value.succeeded() { Outcome::Committed } else { Outcome::Refused };
            (outcome, asked_at, shared.reader.view(&shared.tree(&value)).ok())
        }
        Err(Miss { error, asked_at }) if error.lease_unknown() => {
            if let Some(id) = only_lease(&txn) {
                shared.deliver(Input::Lease(LeaseNews::Gone { id })).await;
            }
            (Outcome::Refused, asked_at, None)
        }
        Err(Miss { error, asked_at }) => {
            tracing::warn!(
                txn = %txn.id, error = chain(&error),
                "the outcome of a transaction is unknown; etcd is read to see it"
            );
            // A node that wishes the same again at once must not become a storm.
            tokio::time::sleep(PAUSE_MIN).await;
            (Outcome::Unknown, asked_at, None)
        }
    };
    let view = match shown {
        Some(view) => view,
        None => read(shared).await.view,
    };
    shared.deliver(seen(view, Via::Txn { id: txn.id, asked_at, outcome })).await;
}

/// Sends it to one endpoint; to the next only if there was no connection to send it on.
pub(super) async fn send(shared: &Shared, txn: Txn) -> Result<Answer<TxnResponse>, Miss> {
    let mut order = shared.clients.order();
    let mut at = order.next().expect("there is at least one endpoint: checked at start");
    loop {
        let ask = txn.clone();
        let call = |client: Client| async move { client.kv_client().txn(ask).await };
        let miss = match shared.clients.once(at, call).await {
            Ok(answer) => return Ok(answer),
            Err(miss) => miss,
        };
        match (miss.error.sent(), order.next()) {
            (Sent::No, Some(next)) => at = next,
            (Sent::No, None) | (Sent::Perhaps, _) => return Err(miss),
        }
    }
}

/// Writes these unless one of the keys has changed since. The answer says whether they were written. Tried again for so
/// long as there is nobody to send it to.
pub(super) async fn write(
    shared: &Shared,
    unchanged: &[(Key, Revision)],
    puts: &[(Key, Vec<u8>)],
    patience: Duration,
) -> Result<bool, AttemptError> {
    let end = Instant::now() + patience;
    let mut pauses = pauses();
    let puts =
        puts.iter().map(|(key, json)| TxnOp::put(shared.keys.path(key), json.as_slice(), None));
    let compare = unchanged.iter().map(|(key, since)| {
        Compare::mod_revision(shared.keys.path(key), CompareOp::Equal, since.0)
    });
    let txn = Txn::new().when(compare.collect::<Vec<_>>()).and_then(puts.collect::<Vec<_>>());
    loop {
        match send(shared, txn.clone()).await {
            Ok(answer) => return Ok(answer.value.succeeded()),
            Err(miss) if miss.error.sent() == Sent::No && Instant::now() < end => {}
            Err(miss) => return Err(miss.error),
        }
        tokio::time::sleep(pauses.next().unwrap_or(PAUSE_MIN)).await;
    }
}

/// Whether a write of unknown outcome is seen: its key shows what is ours. Looked for again and again for so long, for
/// what was sent may be done after the first look.
pub(super) async fn is_seen(
    shared: &Shared,
    key: &Key,
    ours: impl Fn(&KeyValue) -> bool + Send + Sync,
    patience: Duration,
) -> bool {
    let path = shared.keys.path(key);
    let seen = async {
        let mut pauses = pauses();
        loop {
            let asked = shared.clients.any(patience, |client| {
                let path = path.clone();
                async move { client.kv_client().get(path, None).await }
            });
            if asked.await.is_ok_and(|answer| answer.value.kvs().iter().any(&ours)) {
                return;
            }
            tokio::time::sleep(pauses.next().unwrap_or(PAUSE_MIN)).await;
        }
    };
    tokio::time::timeout(patience, seen).await.is_ok()
}

/// Both branches end with the same ranges, so that the answer shows what the transaction left.
fn build(shared: &Shared, txn: &effect::Txn) -> Txn {
    let path = |key: &Key| shared.keys.path(key);
    let compare: Vec<Compare> = txn
        .compare
        .iter()
        .map(|(key, revision)| Compare::mod_revision(path(key), CompareOp::Equal, revision.0))
        .collect();
    let puts = txn.put.iter().map(|(record, lease)| {
        let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
        TxnOp::put(path(&record.key()), encode(record), options)
    });
    let deletes = txn.delete.iter().map(|key| TxnOp::delete(path(key), None));
    let ranges = shared.ranges();
    let then: Vec<TxnOp> = puts.chain(deletes).chain(ranges.iter().cloned()).collect();
    Txn::new().when(compare).and_then(then).or_else(ranges)
}

impl Shared {
    /// Reads of all that a decision may need.
    fn ranges(&self) -> Vec<TxnOp> {
        let range = |(first, end): (String, String)| {
            TxnOp::get(first, Some(GetOptions::new().with_range(end)))
        };
        self.keys.without_told().map(range).to_vec()
    }

    /// What the ranges of a transaction showed.
    fn tree(&self, response: &TxnResponse) -> Tree {
        let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        let mut tree = Tree::at(revision);
        for part in response.op_responses() {
            if let TxnOpResponse::Get(range) = part {
                range.kvs().iter().for_each(|kv| self.reader.put(&mut tree, kv));
            }
        }
        tree
    }
}

/// The lease that a refusal for want of a lease must mean; `None` if there is more than one.
fn only_lease(txn: &effect::Txn) -> Option<LeaseId> {
    let mut leases = txn.put.iter().filter_map(|(_, lease)| *lease);
    let first = leases.next()?;
    leases.all(|lease| lease == first).then_some(first)
}

pub(super) fn seen(view: StoreView, via: Via) -> Input {
    Input::Store(Box::new(Seen { view, via }))
}
