//! SIGTERM and SIGINT: the agent stops in order, and if that takes too long, at once. SIGHUP: it reads its file again.
//! Decides nothing else.

use std::sync::Arc;
use std::time::Duration;

use haa_core::input::{Input, Leave};
use haa_core::routes::Status;
use haa_core::settings::Timing;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::reload::Reloader;

/// For the hand-over before Postgres stops, and for what outlives an orderly stop. systemd's `TimeoutStopSec=` in
/// `deploy/` is longer than this and the usual `stop_timeout`.
const BESIDES: Duration = Duration::from_secs(35);

/// How long an end in order may take, whatever the store says: Postgres has `stop_timeout` of it.
fn patience(timing: Timing) -> Duration {
    Duration::from_millis(timing.stop_timeout.0).saturating_add(BESIDES)
}

/// Passes the first signal on as a wish to stop; the second ends the process, as does the end of its patience. The
/// settings are those in force, else `timing`. Signals are taken at once: one that came earlier than the first turn of
/// this task would end the agent without a word.
pub(super) fn pass(
    inputs: mpsc::Sender<Input>,
    leave: Leave,
    status: watch::Receiver<Option<Arc<Status>>>,
    timing: Timing,
) -> impl Future<Output = ()> {
    let taken = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = taken else {
            tracing::error!("cannot listen for signals: only SIGKILL will end this agent");
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let asked = inputs.send(Input::Stop(leave)).await;
        let second = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        if asked.is_ok() {
            let timing = status.borrow().as_ref().map_or(timing, |status| status.settings.timing);
            let hurried = tokio::time::timeout(patience(timing), second).await.is_ok();
            let why = if hurried { "asked to stop again" } else { "did not end in time" };
            tracing::error!(why, "leaving at once; the lease runs out by itself");
            std::process::exit(1);
        }
    }
}

/// SIGHUP: `haad.toml` is read again, each time. Taken at once: it would end the agent.
pub(super) fn reload(reloader: Arc<Reloader>) -> impl Future<Output = ()> {
    let taken = signal(SignalKind::hangup());
    async move {
        let Ok(mut hangups) = taken else {
            tracing::error!("cannot listen for SIGHUP: haactl reload does the same");
            return;
        };
        while hangups.recv().await.is_some() {
            drop(reloader.reload("SIGHUP".to_owned()).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haa_core::units::Millis;

    #[test]
    fn the_agent_outwaits_the_stop_of_its_postgres() {
        for stop_timeout in [Millis(1), Timing::default().stop_timeout, Millis(600_000)] {
            let timing = Timing { stop_timeout, ..Timing::default() };
            assert!(patience(timing) > Duration::from_millis(stop_timeout.0));
        }
    }
}
