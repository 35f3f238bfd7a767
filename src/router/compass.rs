//! What the status says to the router, and word of every change. Decides nothing: the core says who goes where.

use std::sync::Arc;

use haa_core::routes::Status;
use haa_core::seat::{Access, Reign, Seat};
use haa_core::units::Millis;
use tokio::sync::watch;

use crate::agent::clock;

/// Asks the newest status.
#[derive(Clone, Debug)]
pub(super) struct Compass {
    status: watch::Receiver<Option<Arc<Status>>>,
    alive_at: watch::Receiver<Millis>,
    /// Changes when the leader does, and else never: thousands of connections wait for it.
    reign: watch::Receiver<Option<Reign>>,
}

impl Compass {
    /// Begins to follow; the task ends with the agent.
    pub(super) fn follow(
        status: watch::Receiver<Option<Arc<Status>>>,
        alive_at: watch::Receiver<Millis>,
    ) -> Self {
        let (told, reign) = watch::channel(None);
        let mut news = status.clone();
        tokio::spawn(async move {
            loop {
                let now = news.borrow_and_update().as_ref().and_then(|status| status.reign());
                told.send_if_modified(|old| {
                    let changed = *old != now;
                    *old = now;
                    changed
                });
                if news.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { status, alive_at, reign }
    }

    /// Whom a new connection may go to, or why there is nobody. What is published after this is news.
    pub(super) fn seats(&mut self, access: Access) -> Result<Vec<Seat>, &'static str> {
        let status = self.status.borrow_and_update().clone();
        let status = status.ok_or("this router has just started and knows nothing yet")?;
        status.seats(clock::now(), *self.alive_at.borrow(), access)
    }

    /// The next word of the agent after what was last asked for.
    pub(super) async fn news(&mut self) {
        if self.status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends when a connection to this server must be cut.
    pub(super) async fn leaves(&mut self, mut seat: Seat) {
        loop {
            let now = self.reign.borrow_and_update().clone();
            match seat.under(now.as_ref()) {
                Some(stays) => seat = stays,
                None => return,
            }
            if self.reign.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
