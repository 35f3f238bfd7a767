//! PgBouncers before this cluster: held for a hand-over, let go by whoever accepts writes. Never decides when: the
//! status says so.
//!
//! | file | owns |
//! |---|---|
//! | `keeper` | the one task that tells them anything, so that nothing overtakes anything |
//! | `console` | what is said to one of them, each answer with a deadline |

mod console;
mod keeper;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use haa_core::input::{Input, JobResult};
use haa_core::routes::Status;
use haa_core::units::JobId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::config;
use keeper::{HoldError, Keeper};

/// The PgBouncers that this member was told of; perhaps none.
pub struct Pgbouncers {
    asks: mpsc::UnboundedSender<Ask>,
    inputs: mpsc::Sender<Input>,
}

/// Somebody waits for them to be held.
struct Ask {
    reply: oneshot::Sender<Result<(), HoldError>>,
}

impl Pgbouncers {
    /// Begins to follow the status; the task ends with the agent.
    #[must_use]
    pub fn start(
        config: Option<&config::Pgbouncer>,
        status: watch::Receiver<Option<Arc<Status>>>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        if let Some(config) = config {
            tokio::spawn(Keeper::new(config, status).run(asked));
        }
        Self { asks, inputs }
    }

    /// Lets all of them hold their clients. The end comes as `Input::Job`, whatever becomes of the task.
    pub fn hold(&self, id: JobId) {
        let (reply, answer) = oneshot::channel();
        let asked = self.asks.send(Ask { reply });
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let answer = match asked {
                Ok(()) => answer.await.unwrap_or(Err(HoldError::Nobody)),
                Err(_) => Err(HoldError::Nobody),
            };
            let result = match answer {
                Ok(()) => JobResult::Done,
                Err(error) => JobResult::Failed(crate::agent::chain(&error)),
            };
            if inputs.send(Input::Job(id, result)).await.is_err() {
                tracing::debug!(%id, "nobody wants to know how the hold ended");
            }
        });
    }
}
