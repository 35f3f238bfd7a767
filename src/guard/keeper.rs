//! The deadline, the postmaster that it stands for, and what is done when it has come. Never extends it by itself.

use std::fmt;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haa_core::units::Millis;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::watchdog::Watchdog;
use super::wire::{Deadline, Writes};
use crate::agent::clock;
use crate::postgres::fence::{self, Ended, Postmaster};

/// A look at files may take so long: their disk may hang, and then nothing is known of them.
const EVIDENCE: Duration = Duration::from_millis(200);
/// Between two attempts at processes that cannot be ended.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Keeper {
    data: PathBuf,
    deadline: Option<Deadline>,
    held: Option<Held>,
    closing: Option<JoinHandle<()>>,
    watchdog: Watchdog,
}

/// A postmaster, and what was said of it.
struct Held {
    postmaster: Postmaster,
    writes: Writes,
}

/// What came of a deadline.
enum Outcome {
    NothingRan,
    InRecovery,
    Closed { why: Why, at: Millis },
}

/// Why a Postgres was closed.
enum Why {
    Opened,
    Unclear(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("it accepted writes, or was about to"),
            Self::Unclear(why) => write!(f, "nothing proves that it is in recovery: {why}"),
        }
    }
}

impl Keeper {
    pub(super) const fn new(data: PathBuf, watchdog: Watchdog) -> Self {
        Self { data, deadline: None, held: None, closing: None, watchdog }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// This deadline stands from now on. Answers the postmaster that it stands for.
    pub(super) fn arm(&mut self, deadline: Deadline) -> Option<u32> {
        // Before anything is looked for: that may fail.
        self.deadline = Some(deadline);
        if !self.held.as_ref().is_some_and(|held| held.postmaster.lives()) {
            self.held = self.find();
        }
        let held = self.held.as_mut()?;
        match deadline.writes {
            // Once open, a Postgres goes back into recovery only by a new start.
            Writes::Opened => held.writes = Writes::Opened,
            Writes::AsFound => {}
        }
        Some(held.postmaster.pid())
    }

    fn find(&self) -> Option<Held> {
        let found = Postmaster::find(&self.data).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for the postmaster");
            None
        });
        found.map(|postmaster| Held { postmaster, writes: Writes::AsFound })
    }

    pub(super) fn disarm(&mut self) {
        self.deadline = None;
        self.held = None;
        self.rest_if_idle();
    }

    /// Whether a deadline stands, or one that has come is not done with.
    pub(super) const fn on_duty(&self) -> bool {
        self.deadline.is_some() || self.closing.is_some()
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<Millis> {
        let free = self.closing.is_none();
        let until = self.deadline.filter(|_| free).map(|deadline| deadline.until);
        until.into_iter().chain(self.watchdog.next()).min()
    }

    /// Acts if the deadline has come, one after the other; feeds the watchdog while there is something to watch.
    pub(super) fn look(&mut self, now: Millis) {
        if self.closing.is_none()
            && let Some(deadline) = self.deadline.take_if(|deadline| now >= deadline.until)
        {
            let end = at_deadline(self.data.clone(), deadline, self.held.take());
            self.closing = Some(tokio::spawn(end));
        }
        if self.on_duty() {
            self.watchdog.feed(now);
        }
    }

    /// Returns when a deadline that has come is done with. Never without one.
    pub(super) async fn closed(&mut self) {
        match &mut self.closing {
            Some(closing) => {
                if let Err(error) = closing.await {
                    tracing::error!(%error, "a fault in the guard; nothing was closed");
                }
            }
            None => pending().await,
        }
        self.closing = None;
        self.rest_if_idle();
    }

    fn rest_if_idle(&mut self) {
        if !self.on_duty() {
            self.watchdog.rest();
        }
    }
}

/// What is done at the deadline, and one line about it, afterwards: nobody may be reading what we say.
async fn at_deadline(data: PathBuf, deadline: Deadline, held: Option<Held>) {
    let outcome = fence_off(&data, held).await;
    let (term, shown) = (deadline.term, data.display());
    match outcome {
        Outcome::Closed { why, at } => {
            let late = at.since(deadline.until);
            tracing::error!(
                %term,
                data = %shown,
                "the guard closed Postgres {late} after the deadline, which the agent had not \
                 extended: {why}"
            );
        }
        Outcome::InRecovery => tracing::info!(
            %term,
            data = %shown,
            "the deadline has passed; Postgres is in recovery and was left alone"
        ),
        Outcome::NothingRan => tracing::debug!(%term, data = %shown, "nothing was left to close"),
    }
}

async fn fence_off(data: &Path, held: Option<Held>) -> Outcome {
    // What is held and has ended says nothing about what runs now.
    let held = held.filter(|held| held.postmaster.lives());
    let why = match &held {
        Some(Held { writes: Writes::Opened, .. }) => Why::Opened,
        Some(Held { writes: Writes::AsFound, .. }) | None => {
            if fence::runs(data).is_ok_and(|runs| !runs) {
                return Outcome::NothingRan;
            }
            match evidence(data.to_owned()).await {
                Ok(()) => {
                    end_orphans(data).await;
                    return Outcome::InRecovery;
                }
                Err(why) => Why::Unclear(why),
            }
        }
    };
    close(held.map(|held| held.postmaster), data).await;
    Outcome::Closed { why, at: clock::now() }
}

async fn evidence(data: PathBuf) -> Result<(), String> {
    let look = spawn_blocking(move || fence::in_recovery(&data));
    match timeout(EVIDENCE, look).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("its files gave no answer within {EVIDENCE:?}")),
    }
}

async fn end_orphans(data: &Path) {
    if let Err(error) = fence::kill_orphans(data).await {
        tracing::error!(%error, "cannot end what has outlived its postmaster");
    }
}

/// Until nothing is left.
async fn close(held: Option<Postmaster>, data: &Path) {
    let mut told = false;
    loop {
        let why = match fence::close(held.as_ref(), data).await {
            Ok(Ended::Yes) => return,
            Ok(Ended::NotYet) => "some of them outlive SIGKILL; is their disk hung?".to_owned(),
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut told, true) {
            tracing::error!("cannot end the processes of Postgres yet: {why}");
        }
        sleep(AGAIN).await;
    }
}
