//! The watch: tells every change at once, and notices when it has fallen silent. Never polls.
//!
//! A watch on a dead or frozen etcd is just silent. Progress requests are its heartbeat: they ride
//! on the stream.

use std::time::Duration;

use etcd_client::{Client, EventType, WatchOptions, WatchResponse, WatchStream};
use haa_core::input::Via;
use tokio::time::Instant;

use super::Shared;
use super::clients::pauses;
use super::error::{AttemptError, chain};
use super::txn::{Read, read, seen};
use super::view::Tree;

/// After this much silence we ask whether anybody is there.
const ASK_AFTER: Duration = Duration::from_millis(500);
/// An answer that takes longer does not come.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);

/// Why a watch ended.
enum Ended {
    /// etcd does not answer here, or not any more.
    Lost(usize, AttemptError),
    /// etcd ended it: compacted, no etcd leader, closed in order.
    Cancelled(String),
}

/// A watch that is open, and what it shows.
struct Watch<'a> {
    shared: &'a Shared,
    stream: WatchStream,
    endpoint: usize,
    tree: Tree,
}

/// Lists, watches from there, and begins anew whenever the watch ends.
pub(super) async fn run(shared: &Shared) {
    let mut pauses = pauses();
    loop {
        let Read { tree, view, asked_at } = read(shared).await;
        shared.deliver(seen(view, Via::Read { asked_at })).await;
        super::version::tell(shared).await;
        let opened = Instant::now();
        match follow(shared, tree).await {
            Ended::Lost(endpoint, error) => {
                tracing::debug!(error = chain(&error), "the watch is lost; etcd is read again");
                shared.clients.avoid(endpoint, &error);
            }
            Ended::Cancelled(reason) => {
                tracing::info!(reason, "etcd ended the watch; it is read again");
            }
        }
        // One that ends as soon as it is open must not become a storm.
        if opened.elapsed() > ASK_AFTER + ANSWER_WITHIN {
            pauses = super::clients::pauses();
        } else if let Some(pause) = pauses.next() {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn follow(shared: &Shared, tree: Tree) -> Ended {
    let (first, end) = shared.keys.all();
    let options = WatchOptions::new().with_range(end).with_start_revision(tree.revision() + 1);
    let at = shared.clients.order().next().unwrap_or(0);
    let call =
        |client: Client| async move { client.watch_client().watch(first, Some(options)).await };
    match shared.clients.once(at, call).await {
        Ok(answer) => {
            let mut watch = Watch { shared, stream: answer.value, endpoint: answer.endpoint, tree };
            watch.listen().await
        }
        Err(miss) => Ended::Lost(at, miss.error),
    }
}

impl Watch<'_> {
    async fn listen(&mut self) -> Ended {
        loop {
            let told = match tokio::time::timeout(ASK_AFTER, self.stream.message()).await {
                Ok(told) => told,
                Err(_) => match self.ask().await {
                    Ok(told) => told,
                    Err(error) => return Ended::Lost(self.endpoint, error),
                },
            };
            match told {
                Ok(Some(response)) if response.canceled() => return cancelled(&response),
                Ok(Some(response)) => self.learn(&response).await,
                Ok(None) => return Ended::Cancelled("the stream was closed".to_owned()),
                Err(error) => return self.broken(error),
            }
        }
    }

    /// Asks for a sign of life and waits for it; whatever comes is one.
    async fn ask(
        &mut self,
    ) -> Result<Result<Option<WatchResponse>, etcd_client::Error>, AttemptError> {
        let stream = &mut self.stream;
        let sign = async {
            stream.request_progress().await?;
            stream.message().await
        };
        tokio::time::timeout(ANSWER_WITHIN, sign)
            .await
            .map_err(|_| self.shared.clients.late(self.endpoint, ANSWER_WITHIN))
    }

    fn broken(&self, error: etcd_client::Error) -> Ended {
        Ended::Lost(self.endpoint, self.shared.clients.failed(self.endpoint, error))
    }

    /// Takes in the events of one response. The header's revision is not used: it can be ahead of
    /// events that are still under way.
    async fn learn(&mut self, response: &WatchResponse) {
        let (told, after) = self.shared.keys.told();
        let mut changed = false;
        for event in response.events() {
            let Some(kv) = event.kv() else { continue };
            self.tree.advance(kv.mod_revision());
            if (told.as_bytes()..after.as_bytes()).contains(&kv.key()) {
                continue;
            }
            match event.event_type() {
                EventType::Put => self.shared.reader.put(&mut self.tree, kv),
                EventType::Delete => self.shared.reader.delete(&mut self.tree, kv),
            }
            changed = true;
        }
        if changed && let Ok(view) = self.shared.reader.view(&self.tree) {
            self.shared.deliver(seen(view, Via::Watch)).await;
        }
    }
}

fn cancelled(response: &WatchResponse) -> Ended {
    if response.compact_revision() > 0 {
        let revision = response.compact_revision();
        return Ended::Cancelled(format!("history before revision {revision} was compacted"));
    }
    Ended::Cancelled(response.cancel_reason().to_owned())
}
