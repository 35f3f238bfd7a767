//! One client per etcd endpoint, tried in turn with a deadline each. Never repeats what may have
//! been sent unless the caller says that it may be repeated.
//!
//! etcd-client's own balancer keeps choosing dead and frozen endpoints, therefore each client knows
//! just one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use haa_core::units::Millis;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{AttemptError, Sent, StoreError, chain, sent};
use super::meters::Meters;
use crate::agent::clock;
use crate::config;

/// How long one attempt at one endpoint may take, connecting included.
const ATTEMPT: Duration = Duration::from_millis(400);
/// How long a client may take to be made. With a login that is more than an attempt: etcd checks passwords slowly
/// on purpose, and slower on a busy machine.
const MADE: Duration = Duration::from_secs(3);
/// etcd closes connections that ping more often than every 5 s, or ping while nothing is under way.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(3);
/// Between two rounds over all endpoints.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// An answer, and our clock when the attempt that was answered began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) asked_at: Millis,
    /// Whose answer it is.
    pub(super) endpoint: usize,
}

/// A failed attempt, and our clock when it began.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) error: AttemptError,
    pub(super) asked_at: Millis,
}

/// All endpoints. The one that worked last is asked first.
pub(super) struct Clients {
    endpoints: Vec<Endpoint>,
    preferred: AtomicUsize,
    pub(super) meters: Meters,
}

struct Endpoint {
    url: String,
    door: Arc<Door>,
    down: AtomicBool,
}

/// The way to one etcd: its client, and who makes it.
struct Door {
    url: String,
    options: ConnectOptions,
    client: Mutex<Option<Client>>,
    /// One login at a time, and whoever waits takes it too: many at once would keep each other from ending.
    making: tokio::sync::Mutex<()>,
}

/// Pauses between rounds: short at first, with jitter, so that the members do not ask in step.
pub(super) fn pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

impl Clients {
    /// Connects to nobody yet.
    pub(super) fn new(etcd: &config::Etcd) -> Result<Self, StoreError> {
        if etcd.endpoints.is_empty() {
            return Err(StoreError::NoEndpoint);
        }
        let endpoints: Result<Vec<Endpoint>, StoreError> =
            etcd.endpoints.iter().map(|url| Endpoint::new(url, etcd)).collect();
        let meters = Meters::default();
        Ok(Self { endpoints: endpoints?, preferred: AtomicUsize::new(0), meters })
    }

    /// The URLs, in the configured order.
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.url.as_str())
    }

    /// Every endpoint once, the one that worked last first.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + Send + use<> {
        let count = self.endpoints.len();
        let first = self.preferred.load(Ordering::Relaxed);
        (0..count).map(move |step| (first + step) % count)
    }

    /// One attempt at one endpoint.
    pub(super) async fn once<T, F, Fut>(&self, at: usize, call: F) -> Result<Answer<T>, Miss>
    where
        F: FnOnce(Client) -> Fut + Send,
        Fut: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let endpoint = &self.endpoints[at];
        let (asked_at, began) = (clock::now(), Instant::now());
        let answered = endpoint.attempt(call).await;
        self.meters.request(&endpoint.url, began.elapsed(), answered.as_ref().err());
        match answered {
            Ok(value) => {
                endpoint.heard();
                self.preferred.store(at, Ordering::Relaxed);
                Ok(Answer { value, asked_at, endpoint: at })
            }
            Err(error) => {
                if !error.lease_unknown() {
                    self.avoid(at, &error);
                }
                Err(Miss { error, asked_at })
            }
        }
    }

    /// One attempt at one endpoint, for its own sake: whatever comes of it, who is asked next stays as it is.
    pub(super) async fn aside<T, F, Fut>(&self, at: usize, call: F) -> Result<T, AttemptError>
    where
        F: FnOnce(Client) -> Fut + Send,
        Fut: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        self.endpoints[at].attempt(call).await
    }

    /// Round after round until one answers or the patience is at its end: only for what may be
    /// repeated.
    pub(super) async fn any<T, F, Fut>(
        &self,
        patience: Duration,
        call: F,
    ) -> Result<Answer<T>, Miss>
    where
        F: Fn(Client) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let end = Instant::now() + patience;
        let began = clock::now();
        let mut pauses = pauses();
        loop {
            let mut last = None;
            for at in self.order() {
                match self.once(at, &call).await {
                    Ok(answer) => return Ok(answer),
                    Err(miss) => last = Some(miss),
                }
            }
            let pause = pauses.next().unwrap_or(PAUSE_MAX);
            if let Some(miss) = last
                && Instant::now() + pause >= end
            {
                return Err(Miss { asked_at: began, ..miss });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// This endpoint failed: the next request goes to another, over a new connection when it is
    /// this one's turn.
    pub(super) fn avoid(&self, at: usize, error: &AttemptError) {
        let next = (at + 1) % self.endpoints.len();
        let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        self.endpoints[at].lost(error);
    }

    /// The attempt at this endpoint passed its deadline.
    pub(super) fn late(&self, at: usize, deadline: Duration) -> AttemptError {
        AttemptError::Late {
            endpoint: self.endpoints[at].url.clone(),
            deadline,
            sent: Sent::Perhaps,
        }
    }

    /// This endpoint answered with an error, or the way to it broke.
    pub(super) fn failed(&self, at: usize, error: etcd_client::Error) -> AttemptError {
        let (endpoint, sent) = (self.endpoints[at].url.clone(), sent(&error));
        AttemptError::Failed { endpoint, sent, source: error.into() }
    }
}

impl Endpoint {
    fn new(url: &str, etcd: &config::Etcd) -> Result<Self, StoreError> {
        let wrong = || StoreError::Endpoint { endpoint: url.to_owned() };
        let parsed: tonic::transport::Uri = url.parse().map_err(|_| wrong())?;
        let mut options = ConnectOptions::new()
            .with_connect_timeout(ATTEMPT)
            .with_keep_alive(PING_EVERY, PING_ANSWER)
            .with_keep_alive_while_idle(false)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(login) = &etcd.login {
            options = options.with_user(&login.user, &login.password);
        }
        match (parsed.scheme_str(), parsed.host(), &etcd.ca) {
            (Some("http"), Some(_), _) => {}
            (Some("https"), Some(_), Some(ca)) => {
                options = options.with_tls(tls(ca, etcd.identity.as_ref())?);
            }
            (Some("https"), Some(_), None) => {
                return Err(StoreError::NoAuthority { endpoint: url.to_owned() });
            }
            (_, _, _) => return Err(wrong()),
        }
        let (client, making) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        let door = Arc::new(Door { url: url.to_owned(), options, client, making });
        Ok(Self { url: url.to_owned(), door, down: AtomicBool::new(false) })
    }

    async fn attempt<T, F, Fut>(&self, call: F) -> Result<T, AttemptError>
    where
        F: FnOnce(Client) -> Fut,
        Fut: Future<Output = Result<T, etcd_client::Error>>,
    {
        let end = Instant::now() + ATTEMPT;
        let endpoint = || self.url.clone();
        let late = |sent| AttemptError::Late { endpoint: endpoint(), deadline: ATTEMPT, sent };
        let connected = timeout_at(end, Door::client(&self.door)).await;
        let failed = |sent, error: etcd_client::Error| AttemptError::Failed {
            endpoint: endpoint(),
            sent,
            source: error.into(),
        };
        let client =
            connected.map_err(|_| late(Sent::No))?.map_err(|error| failed(Sent::No, error))?;
        let answered = timeout_at(end, call(client)).await.map_err(|_| late(Sent::Perhaps))?;
        answered.map_err(|error| failed(sent(&error), error))
    }

    fn heard(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            tracing::info!(endpoint = self.url, "etcd answers here again");
        }
    }

    fn lost(&self, error: &AttemptError) {
        if !error.without_client() {
            *self.door.slot() = None;
        }
        if !self.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = chain(error), "an etcd endpoint failed; the next one is asked");
        }
    }
}

impl Door {
    /// The client; made, and logged in, if there is none. An attempt that gives up waiting does not end that: the
    /// next one finds it.
    async fn client(door: &Arc<Self>) -> Result<Client, etcd_client::Error> {
        let kept = door.slot().clone();
        if let Some(client) = kept {
            return Ok(client);
        }
        let own = Arc::clone(door);
        let made = tokio::spawn(timeout(MADE, async move { own.make().await })).await;
        match made {
            Ok(Ok(made)) => made,
            // Later than any attempt waits.
            Ok(Err(_)) | Err(_) => std::future::pending().await,
        }
    }

    async fn make(&self) -> Result<Client, etcd_client::Error> {
        let _alone = self.making.lock().await;
        let kept = self.slot().clone();
        if let Some(client) = kept {
            return Ok(client);
        }
        let client = Client::connect([&self.url], Some(self.options.clone())).await?;
        *self.slot() = Some(client.clone());
        Ok(client)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// tonic takes any bytes for certificates and then trusts nobody, therefore they are looked at
/// here.
fn tls(ca: &[u8], identity: Option<&(Vec<u8>, Vec<u8>)>) -> Result<TlsOptions, StoreError> {
    let need = |setting, what, pem: &[u8], mark: &str| {
        let found = String::from_utf8_lossy(pem).contains(mark);
        if found { Ok(()) } else { Err(StoreError::NoPem { setting, what }) }
    };
    need("etcd.ca_file", "certificate", ca, "-----BEGIN CERTIFICATE-----")?;
    let options = TlsOptions::new().ca_certificate(Certificate::from_pem(ca));
    let Some((certificate, key)) = identity else { return Ok(options) };
    need("etcd.cert_file", "certificate", certificate, "-----BEGIN CERTIFICATE-----")?;
    need("etcd.key_file", "private key", key, "PRIVATE KEY-----")?;
    Ok(options.identity(Identity::from_pem(certificate, key)))
}
