//! The flush probe: a little WAL, flushed without waiting for any replica. Its own task, for it may hang with the
//! disk. Never concludes that the disk is ill.
//!
//! It is made only when something was written and nothing was flushed for a second. A primary that flushes shows by
//! that alone that its disk works; and one that nobody writes to gets no record from us, for its archive would be
//! fed for ever. So a disk that hangs under an idle primary is found with the next write: that one is inserted, is
//! not flushed, and a second later the probe begins to count.

use std::sync::Arc;
use std::time::Duration;

use haa_core::observe::{FlushProbe, Primary, Server};
use haa_core::units::{Lsn, Millis};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::sentence;
use super::site::Site;
use super::sql::{Session, SqlError};
use crate::agent::clock;

/// How long nothing was flushed before it is tried.
const STILL: Millis = Millis(1_000);

/// A hung disk may come back after hours; the probe ends with its Postgres.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// What is known of the flushes of the Postgres that runs.
pub(super) struct Flushes(watch::Sender<Known>);

#[derive(Clone, Copy, Default)]
struct Known {
    took_ms: Option<u64>,
    waits_since: Option<Millis>,
}

impl Flushes {
    pub(super) fn nothing() -> Self {
        Self(watch::Sender::new(Known::default()))
    }

    /// As of now.
    pub(super) fn shown(&self) -> FlushProbe {
        let Known { took_ms, waits_since } = *self.0.borrow();
        let waiting_ms = waits_since.map(|since| clock::now().since(since).0);
        FlushProbe { took_ms, waiting_ms }
    }
}

/// Decides after each look whether to probe.
pub(super) struct Prober {
    site: Arc<Site>,
    /// What was flushed, and when that was first seen.
    flushed: Option<(Lsn, Millis)>,
    probe: Option<JoinHandle<()>>,
}

impl Prober {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { site, flushed: None, probe: None }
    }

    /// Takes note of what a look showed.
    pub(super) fn note(&mut self, server: &Server) {
        match server {
            Server::Primary(primary) => self.primary(primary),
            // It may be the disk that silences it.
            Server::Silent | Server::Refusing(_) => {}
            Server::Stopped(_) | Server::Starting | Server::Standby(_) => self.forget(),
        }
    }

    fn primary(&mut self, primary: &Primary) {
        let now = clock::now();
        let flushed = primary.position.lsn;
        let under_way = self.probe.as_ref().is_some_and(|probe| !probe.is_finished());
        let since = match self.flushed {
            Some((before, since)) if before == flushed => since,
            _ => {
                self.flushed = Some((flushed, now));
                if !under_way {
                    // It flushes, whether a probe came through or not.
                    self.site.flush.0.send_modify(|known| known.waits_since = None);
                }
                now
            }
        };
        if !under_way && primary.inserted > flushed && now.since(since) >= STILL {
            self.probe = Some(tokio::spawn(probe(self.site.clone())));
        }
    }

    fn forget(&mut self) {
        self.flushed = None;
        if let Some(probe) = self.probe.take() {
            probe.abort();
        }
        self.site.flush.0.send_replace(Known::default());
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        if let Some(probe) = &self.probe {
            probe.abort();
        }
    }
}

/// A session that does not come about may wait for the disk itself: that counts, from the first try on.
async fn probe(site: Arc<Site>) {
    let known = &site.flush.0;
    known.send_modify(|known| {
        known.waits_since.get_or_insert_with(clock::now);
    });
    let took = flush(&site).await;
    match &took {
        Ok(took) => known.send_modify(|known| known.took_ms = Some(took.0)),
        Err(error) => tracing::debug!("no flush was probed: {}", sentence(error)),
    }
    if !matches!(took, Err(SqlError::Silent { .. })) {
        known.send_modify(|known| known.waits_since = None);
    }
}

async fn flush(site: &Site) -> Result<Millis, SqlError> {
    const PROBE: &str = "SET synchronous_commit = local; \
         SELECT pg_logical_emit_message(true, 'haa-probe', '')";
    let session = Session::open(site).await?;
    let began = clock::now();
    session.rows_within(PROBE, PATIENCE).await?;
    Ok(clock::now().since(began))
}
