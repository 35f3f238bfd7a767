//! etcd: leases, transactions, the watch. The only place that knows etcd; it never decides about
//! the cluster.
//!
//! | module | owns |
//! |---|---|
//! | `clients` | one client per endpoint, tried in turn with a deadline each |
//! | `examine` | what of etcd matters to a setup, for `haactl doctor` |
//! | `keys` | paths and JSON |
//! | `view` | a view out of keys and values |
//! | `txn` | transactions and linearizable reads |
//! | `lease` | leases |
//! | `meters` | what is counted of all this |
//! | `operators` | what operators ask for and look up |
//! | `version` | which releases of etcd there are |
//! | `watch` | changes, as they happen |

mod clients;
mod error;
mod examine;
mod history;
mod keys;
mod lease;
mod meters;
mod operators;
mod txn;
mod version;
mod view;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use haa_core::effect::StoreWish;
use haa_core::input::Input;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use error::{AttemptError, Complaint, Sent, StoreError};
pub use examine::{Examined, Said, Seen};
pub use history::Chapter;
pub use operators::Told;
pub use version::{may_revoke_early, numbers};

use crate::config;
use clients::{Answer, Clients};
use keys::Keys;
use txn::Queue;
use view::Reader;

/// How long an operator's question may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long wishes that are under way may take once we shut down: a lease that is let go saves the
/// others time.
const GRACE: Duration = Duration::from_secs(2);

/// The connection to etcd, with the tasks that serve it.
pub struct Store {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Ends the watch.
    quiet: CancellationToken,
    /// Ends everything.
    stop: CancellationToken,
    /// A store that is dropped leaves no task behind.
    _end: DropGuard,
}

/// What the tasks share.
struct Shared {
    clients: Clients,
    keys: Keys,
    reader: Reader,
    inputs: mpsc::Sender<Input>,
    reads: Queue,
    granted: lease::Grants,
}

/// What one endpoint said to `haad check`.
#[derive(Debug)]
pub struct Reach {
    /// As configured.
    pub endpoint: String,
    /// etcd's version, or what is wrong.
    pub version: Result<String, AttemptError>,
}

impl Shared {
    /// Tells the node. When nobody listens any more, there is nobody to tell.
    async fn deliver(&self, input: Input) {
        let _ = self.inputs.send(input).await;
    }
}

impl Store {
    /// Begins to watch, on the current tokio runtime; everything it learns goes to `inputs`.
    /// Connects when needed: an etcd that is down is no error.
    ///
    /// # Errors
    /// When the configuration names no endpoint or a wrong one.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        etcd: &config::Etcd,
        cluster: &str,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, StoreError> {
        let keys = Keys::new(cluster);
        let reader = Reader::new(keys.clone());
        let shared = Arc::new(Shared {
            clients: Clients::new(etcd)?,
            keys,
            reader,
            inputs,
            reads: Queue::default(),
            granted: lease::Grants::default(),
        });
        let stop = CancellationToken::new();
        let (quiet, end) = (stop.child_token(), stop.clone().drop_guard());
        let store = Self { shared, tasks: TaskTracker::new(), quiet, stop, _end: end };
        let (shared, quiet) = (Arc::clone(&store.shared), store.quiet.clone());
        store.tasks.spawn(async move { quiet.run_until_cancelled(watch::run(&shared)).await });
        Ok(store)
    }

    /// Shows what is counted here.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.clients.meters.register(registry);
    }

    /// Performs a wish in a task of its own; never blocks. What comes of it is an `Input`.
    pub fn wish(&self, wish: StoreWish) {
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(perform(&shared, wish)).await });
    }

    /// Asks every endpoint, each within the deadline of one attempt once there is a connection.
    pub async fn reach(&self) -> Vec<Reach> {
        let mut reached = Vec::new();
        for (at, endpoint) in self.shared.clients.urls().enumerate() {
            let end = tokio::time::Instant::now() + PATIENCE;
            let status = loop {
                let clients = &self.shared.clients;
                let ask =
                    clients.once(at, |c| async move { c.maintenance_client().status().await });
                match ask.await {
                    // A login can take longer than an attempt; the next one finds it done.
                    Err(miss)
                        if miss.error.without_client() && tokio::time::Instant::now() < end => {}
                    status => break status,
                }
            };
            let version = status
                .map(|answer: Answer<_>| answer.value.version().to_owned())
                .map_err(|miss| miss.error);
            reached.push(Reach { endpoint: endpoint.to_owned(), version });
        }
        reached
    }

    /// Ends the watch, gives wishes that are under way 2 s, and ends the rest.
    pub async fn shutdown(&self) {
        self.quiet.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

async fn perform(shared: &Shared, wish: StoreWish) {
    match wish {
        StoreWish::GrantLease { ttl } => lease::grant(shared, ttl).await,
        StoreWish::KeepAlive(id) => lease::keep_alive(shared, id).await,
        StoreWish::RevokeLease(id) => lease::revoke(shared, id).await,
        StoreWish::TimeToLive(id) => lease::time_to_live(shared, id).await,
        StoreWish::Read => txn::tell_read(shared).await,
        StoreWish::Txn(txn) => txn::tell(shared, txn).await,
    }
}

const fn silent(what: &'static str, source: AttemptError) -> StoreError {
    StoreError::Silent { what, patience: PATIENCE, source }
}
