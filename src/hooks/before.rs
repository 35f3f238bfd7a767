//! `before_promote`: asked about each promotion, and its answer passed on. What follows from a refusal, others decide.

use std::time::Duration;

use haa_core::units::{Millis, Term};
use tokio::sync::mpsc;

use super::Hook;
use super::moments::{Event, Moment, Part};
use crate::agent::clock;
use crate::postgres::Promotion;

/// A promotion that was not to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    /// Of which leadership.
    pub term: Term,
    /// Why, in a sentence.
    pub why: String,
}

/// Answers one after the other. Whoever does not wait for the answer any more ends the program.
pub(super) async fn serve(
    hook: Hook,
    mut asked: mpsc::Receiver<Promotion>,
    vetoes: mpsc::Sender<Veto>,
) {
    while let Some(Promotion { proof, timeline, mut answer }) = asked.recv().await {
        let term = proof.term();
        let moment = Moment {
            event: Event::BeforePromote,
            role: Part::Replica,
            old_role: None,
            term,
            timeline: Some(timeline),
            primary: None,
            reason: "this member was elected".to_owned(),
        };
        let Millis(left) = proof.until().since(clock::now());
        let patience = hook.patience.min(Duration::from_millis(left));
        let allowed = tokio::select! {
            allowed = hook.run(&moment, patience) => allowed,
            () = answer.closed() => continue,
        };
        if let Err(why) = &allowed {
            // Nobody may be there to tell of it.
            drop(vetoes.try_send(Veto { term, why: why.clone() }));
        }
        drop(answer.send(allowed));
    }
}
