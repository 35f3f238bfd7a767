//! What the API asks of etcd, and what etcd is told for people. Never part of a decision, and never in the loop's way.

use std::sync::Arc;

use haa_core::records::{Ask, RequestRecord, RequestState};
use haa_core::units::MemberName;
use tokio::sync::mpsc;

use super::chain;
use super::reload::{Reloader, told};
use crate::api::Call;
use crate::api::document::unix_ms;
use crate::doctor::Examiner;
use crate::hooks::Veto;
use crate::postgres::Members;
use crate::store::Store;

/// A promotion that an operator's program was against is an event. The history is for people: one try.
pub(super) async fn tell_vetoes(
    member: MemberName,
    mut vetoes: mpsc::Receiver<Veto>,
    store: Arc<Store>,
) {
    while let Some(Veto { term, why }) = vetoes.recv().await {
        let (ask, by) = (Ask::Promote { member: member.clone(), term }, format!("{member}'s hook"));
        let state = RequestState::Refused { why };
        let event = RequestRecord { ask, by, asked_unix_ms: unix_ms(), state };
        let id = format!("{:032x}", rand::random::<u128>());
        if let Err(error) = store.tell(id, event).await {
            tracing::warn!(error = chain(&error), "nobody is told of the veto but this log");
        }
    }
}

/// What the API asks of etcd and of the setup: each by itself.
pub(super) async fn answer_calls(
    mut called: mpsc::Receiver<Call>,
    store: Arc<Store>,
    examiner: Arc<Examiner>,
    reloader: Arc<Reloader>,
) {
    while let Some(call) = called.recv().await {
        let (store, examiner) = (Arc::clone(&store), Arc::clone(&examiner));
        let reloader = Arc::clone(&reloader);
        tokio::spawn(async move {
            match call {
                Call::Ask { id, record, reply } => {
                    let asked = store.ask(id, record).await.map_err(|error| chain(&error));
                    drop(reply.send(asked));
                }
                Call::Withdraw { id, why, reply } => {
                    let withdrawn = store.withdraw(id, why).await.map_err(|error| chain(&error));
                    drop(reply.send(withdrawn));
                }
                Call::Change { since, settings, event, reply } => {
                    let changed = store.change(since, *settings, event).await;
                    drop(reply.send(changed.map_err(|error| chain(&error))));
                }
                Call::Events { reply } => {
                    let events = store.events().await.map_err(|error| chain(&error));
                    drop(reply.send(events));
                }
                Call::Vet { wanted, whole, reply } => {
                    let all = Members::All;
                    drop(reply.send(reloader.vetter.objections(all, &wanted, &whole).await));
                }
                Call::Reload { reply } => drop(reply.send(told(reloader.reload().await))),
                Call::Examine { reply } => drop(reply.send(examiner.examine().await)),
                Call::History { reply } => {
                    let history = store.history().await.map_err(|error| chain(&error));
                    drop(reply.send(history));
                }
            }
        });
    }
}
