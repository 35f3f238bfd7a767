//! What came of each run: counted, logged, and the last trouble of each program kept. Never runs one.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::moments::Event;
use crate::api::document::unix_ms;
use crate::config::Command;
use crate::program::Wrong;

/// The last trouble of each program whose last run came to nothing.
pub type Failures = BTreeMap<&'static str, Trouble>;

/// Why a run came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Wall clock when it was over, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// In a sentence.
    pub why: String,
}

/// Clones share what they know.
#[derive(Clone)]
pub(super) struct Record {
    runs: Family<[(&'static str, &'static str); 2], Counter>,
    failures: watch::Sender<Failures>,
}

impl Record {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let runs = Family::default();
        registry.register(
            "haa_hooks",
            "Runs of the operator's programs, by what came of them",
            Family::clone(&runs),
        );
        Self { runs, failures: watch::Sender::new(Failures::new()) }
    }

    pub(super) fn failures(&self) -> watch::Receiver<Failures> {
        self.failures.subscribe()
    }

    /// So many were not told: their program was too slow.
    pub(super) fn dropped(&self, event: Event, many: u64) {
        self.count(event, "dropped", many);
        let why = format!("it was too slow to be told of {many} events");
        tracing::warn!(hook = event.word(), "{why}");
        self.ails(event, why);
    }

    /// Why it came to nothing, if it did.
    pub(super) fn ended(
        &self,
        event: Event,
        command: &Command,
        ended: Result<Duration, Wrong>,
    ) -> Result<(), String> {
        let hook = event.word();
        let wrong = match ended {
            Ok(took) => {
                tracing::info!(hook, ?took, "hook done");
                self.count(event, "done", 1);
                self.failures.send_if_modified(|failures| failures.remove(hook).is_some());
                return Ok(());
            }
            Err(wrong) => wrong,
        };
        let result = match wrong {
            Wrong::NotStarted(_) | Wrong::Failed(..) => "failed",
            Wrong::Late(..) => "late",
        };
        let why = format!("the hook {hook} ({}) {wrong}", command.program.display());
        tracing::warn!("{why}");
        self.count(event, result, 1);
        self.ails(event, why.clone());
        Err(why)
    }

    fn ails(&self, event: Event, why: String) {
        let trouble = Trouble { at_unix_ms: unix_ms(), why };
        self.failures.send_modify(|failures| drop(failures.insert(event.word(), trouble)));
    }

    fn count(&self, event: Event, result: &'static str, many: u64) {
        self.runs.get_or_create(&[("hook", event.word()), ("result", result)]).inc_by(many);
    }
}
