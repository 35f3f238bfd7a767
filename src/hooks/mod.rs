//! The operator's own programs, run when something has happened to this member. Decides nothing, and holds nothing up
//! but the promotion that `before_promote` is asked about.
//!
//! | module | owns |
//! |---|---|
//! | `moments` | what of the published status is worth a run, and what its program is told |
//! | `before` | `before_promote`: asked, and its answer passed on |
//! | `record` | what came of each run: counted, and the last trouble of each kept |

mod before;
mod moments;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haa_core::input::Leave;
use haa_core::routes::Status;
use prometheus_client::registry::Registry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use crate::agent::clock;
use crate::config::{Command, Config};
use crate::postgres::Promotion;
use crate::program::{self, Run};
pub use before::Veto;
use moments::{Event, Moment, Moments, Whose};
use record::Record;
pub use record::{Failures, Trouble};

/// So many wait for a program that is slow, each for its own; with one more, the oldest that waits goes.
const WAITING: usize = 16;
/// An agent that ends lets what has happened to it be told for so long.
const FAREWELL: Duration = Duration::from_secs(10);

/// The programs of this member, and who runs them.
pub struct Hooks {
    moments: Moments,
    whose: Arc<Whose>,
    waiting: BTreeMap<Event, broadcast::Sender<Moment>>,
    running: JoinSet<()>,
    record: Record,
}

/// Where promotions are asked about, and where it is told that one was not to be.
pub struct Asked {
    /// To be given to Postgres, if there is a program to ask.
    pub gate: Option<mpsc::Sender<Promotion>>,
    /// Each promotion that was not to be.
    pub vetoes: mpsc::Receiver<Veto>,
}

impl Hooks {
    /// Runs nothing yet. To be called on a tokio runtime.
    #[must_use]
    pub fn start(config: &Config, registry: &mut Registry) -> (Self, Asked) {
        let hooks = &config.hooks;
        let record = Record::register(registry);
        let whose = Arc::new(Whose::of(config));
        let (mut waiting, mut running) = (BTreeMap::new(), JoinSet::new());
        for (event, command) in [
            (Event::RoleChange, &hooks.on_role_change),
            (Event::Start, &hooks.on_start),
            (Event::Stop, &hooks.on_stop),
        ] {
            let Some(command) = command else { continue };
            let (to, from) = broadcast::channel(WAITING);
            waiting.insert(event, to);
            let (command, record, whose) = (command.clone(), record.clone(), Arc::clone(&whose));
            let hook = Hook { event, command, patience: hooks.timeout, record, whose };
            running.spawn(hook.serve(from));
        }
        let (told, vetoes) = mpsc::channel(WAITING);
        let gate = hooks.before_promote.as_ref().map(|command| {
            let (gate, asked) = mpsc::channel(1);
            let hook = Hook {
                event: Event::BeforePromote,
                command: command.clone(),
                patience: hooks.before_promote_timeout,
                record: record.clone(),
                whose: Arc::clone(&whose),
            };
            tokio::spawn(before::serve(hook, asked, told));
            gate
        });
        let moments = Moments::default();
        (Self { moments, whose, waiting, running, record }, Asked { gate, vetoes })
    }

    /// What ails.
    #[must_use]
    pub fn failures(&self) -> watch::Receiver<Failures> {
        self.record.failures()
    }

    /// What has happened since the last status is told to the programs. Never waits.
    pub fn know(&mut self, status: &Status) {
        for moment in self.moments.see(&self.whose, status, clock::now()) {
            if let Some(to) = self.waiting.get(&moment.event) {
                // Whoever takes it lives as long as this.
                drop(to.send(moment));
            }
        }
    }

    /// What has happened is told, within a while; what runs then is ended. Nobody is waited for where Postgres is left
    /// to the next agent: it has to be here within the lease.
    pub async fn leave(mut self, leave: Leave) {
        self.waiting.clear();
        let farewell = match leave {
            Leave::StopPostgres => FAREWELL,
            Leave::LeavePostgres => Duration::ZERO,
        };
        let told = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(farewell, told).await.is_err() {
            tracing::warn!("hooks that are still at work after {farewell:?} are ended");
            self.running.shutdown().await;
        }
    }
}

/// One program.
struct Hook {
    event: Event,
    command: Command,
    patience: Duration,
    record: Record,
    whose: Arc<Whose>,
}

impl Hook {
    /// One after the other.
    async fn serve(self, mut waiting: broadcast::Receiver<Moment>) {
        loop {
            match waiting.recv().await {
                // Why it failed is kept in the record.
                Ok(moment) => drop(self.run(&moment, self.patience).await),
                Err(RecvError::Lagged(dropped)) => self.record.dropped(self.event, dropped),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Runs it; if it fails, why, in a sentence.
    async fn run(&self, moment: &Moment, patience: Duration) -> Result<(), String> {
        let told = moment.variables(&self.whose);
        let (name, command) = (self.event.word(), &self.command);
        let ended = program::run(Run { name, command, told, patience, last: 1 }).await;
        self.record.ended(self.event, &self.command, ended)
    }
}
