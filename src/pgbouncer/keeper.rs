//! The task that holds PgBouncers and lets them go, as the status says. The only one that tells them anything, one
//! thing after the other: no `RESUME` overtakes a `PAUSE`.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use futures_util::future::try_join_all;
use haa_core::routes::{PoolsAre, Status};
use haa_core::units::Term;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Ask;
use super::console::{Console, ConsoleError};
use crate::agent::chain;
use crate::config::Pgbouncer;

/// The status that asks for a hold is published in the same breath as the hold is asked for.
const SAME_BREATH: Duration = Duration::from_secs(1);

/// Of a leader that is none any more, amid its hold: it may have been frozen, and another may lead since long.
const LATE: &str = "a PgBouncer may hold its clients, if a PAUSE of this member came to it after \
                    the RESUME of the next leader: RESUME in its console";

/// Why they are not held.
#[derive(Debug, thiserror::Error)]
pub(super) enum HoldError {
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error("the hand-over was given up while PgBouncers were being held")]
    Unwanted,
    #[error(
        "nobody is there who holds PgBouncers: restart haad, and please report it with the log"
    )]
    Nobody,
}

/// The task.
pub(super) struct Keeper {
    consoles: Vec<Console>,
    status: watch::Receiver<Option<Arc<Status>>>,
    /// In which term they were last told to let their clients through; `None` after a hold.
    freed: Option<Term>,
    /// Those who tell them.
    freeing: JoinSet<()>,
    /// Ends them before their next attempt.
    enough: CancellationToken,
}

impl Keeper {
    pub(super) fn new(config: &Pgbouncer, status: watch::Receiver<Option<Arc<Status>>>) -> Self {
        Self {
            consoles: Console::all(config),
            status,
            freed: None,
            freeing: JoinSet::new(),
            enough: CancellationToken::new(),
        }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
        loop {
            tokio::select! {
                ask = asked.recv() => {
                    let Some(ask) = ask else { return };
                    let held = self.hold().await;
                    if ask.reply.send(held).is_err() {
                        tracing::debug!("nobody waits for the hold any more");
                    }
                }
                news = self.status.changed() => {
                    if news.is_err() {
                        return;
                    }
                    self.follow().await;
                }
            }
        }
    }

    /// Whoever accepts writes lets their clients through: once a term, and after each hold.
    async fn follow(&mut self) {
        let now = are(self.status.borrow_and_update().as_deref());
        match now {
            PoolsAre::Soon(term) | PoolsAre::Free(term) if self.freed == Some(term) => {}
            PoolsAre::Soon(term) | PoolsAre::Free(term) => {
                self.stop_freeing().await;
                self.freed = Some(term);
                for console in self.consoles.iter().cloned() {
                    let status = self.status.clone();
                    self.freeing.spawn(free(console, term, status, self.enough.clone()));
                }
            }
            PoolsAre::Held => {}
            PoolsAre::Left => self.stop_freeing().await,
        }
    }

    /// An attempt under way comes to its end: it has deadlines, and nothing is told after it.
    async fn stop_freeing(&mut self) {
        self.enough.cancel();
        while self.freeing.join_next().await.is_some() {}
        self.enough = CancellationToken::new();
        self.freed = None;
    }

    async fn hold(&mut self) -> Result<(), HoldError> {
        self.stop_freeing().await;
        let wanted = self.status.wait_for(|status| are(status.as_deref()) == PoolsAre::Held);
        if !timeout(SAME_BREATH, wanted).await.is_ok_and(|seen| seen.is_ok()) {
            return Err(HoldError::Unwanted);
        }
        let unwanted = unwanted(self.status.clone());
        tokio::select! {
            held = try_join_all(self.consoles.iter().map(pause)) => Ok(held.map(drop)?),
            () = unwanted => {
                if are(self.status.borrow().as_deref()) == PoolsAre::Left {
                    tracing::warn!("{LATE}");
                }
                Err(HoldError::Unwanted)
            }
        }
    }
}

/// Returns when nobody asks for a hold any more.
async fn unwanted(mut status: watch::Receiver<Option<Arc<Status>>>) {
    let other = status.wait_for(|status| are(status.as_deref()) != PoolsAre::Held);
    if other.await.is_err() {
        tracing::debug!("the agent ends amid a hold");
    }
}

/// What the status says of them.
fn are(status: Option<&Status>) -> PoolsAre {
    status.map_or(PoolsAre::Left, |status| status.pools)
}

/// Whoever cannot be reached serves nobody either.
async fn pause(console: &Console) -> Result<(), ConsoleError> {
    match console.pause().await {
        Err(error @ (ConsoleError::Unreachable { .. } | ConsoleError::Silent { .. })) => {
            tracing::warn!(error = %chain(&error), "this PgBouncer is not held in the hand-over");
            Ok(())
        }
        other => other,
    }
}

/// Until it has done so; an error is told once, and again when it is another. Logs in while this member is opened.
async fn free(
    console: Console,
    term: Term,
    status: watch::Receiver<Option<Arc<Status>>>,
    enough: CancellationToken,
) {
    let mut waits = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build();
    let mut told = String::new();
    while !enough.is_cancelled() {
        let freed = async {
            let session = console.open().await?;
            tokio::select! {
                () = opens(status.clone(), term) => console.release(&session).await.map(Some),
                () = enough.cancelled() => Ok(None),
            }
        };
        match freed.await {
            Ok(Some(())) => {
                tracing::info!(pgbouncer = %console.at, %term, "its clients are let through");
                return;
            }
            Ok(None) => return,
            Err(error) => {
                let text = chain(&error);
                if text != told {
                    tracing::warn!(error = %text, "a PgBouncer may still hold its clients");
                    told = text;
                }
            }
        }
        let wait = waits.next().unwrap_or(Duration::from_secs(2));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = enough.cancelled() => {}
        }
    }
}

/// Returns when this member accepts writes in this term.
async fn opens(mut status: watch::Receiver<Option<Arc<Status>>>, term: Term) {
    let open = status.wait_for(|status| are(status.as_deref()) == PoolsAre::Free(term));
    if open.await.is_err() {
        std::future::pending::<()>().await;
    }
}
