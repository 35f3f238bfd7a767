//! The wall clock, told to the node while a command waits for its time. Never says what is due.

use std::sync::Arc;
use std::time::Duration;

use haa_core::input::Input;
use haa_core::records::RequestState;
use haa_core::routes::Status;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::document::unix_ms;

/// Somebody may set the clock at any time; in between the node counts on by its own.
const EVERY: Duration = Duration::from_secs(5);

/// Tells it until nobody listens any more.
pub(super) async fn tell(
    mut published: watch::Receiver<Option<Arc<Status>>>,
    inputs: mpsc::Sender<Input>,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while published.wait_for(waits).await.is_ok() {
        ticks.tick().await;
        if inputs.send(Input::Wall(unix_ms())).await.is_err() {
            return;
        }
    }
}

/// Whether something waits for its time, or has begun by it.
fn waits(status: &Option<Arc<Status>>) -> bool {
    let mut requests = status.iter().flat_map(|status| status.requests.values());
    requests.any(|request| {
        let open = match request.state {
            RequestState::Scheduled | RequestState::Pending | RequestState::Accepted { .. } => true,
            RequestState::Done { .. } | RequestState::Refused { .. } => false,
        };
        open && request.due.is_some()
    })
}
