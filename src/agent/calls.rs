//! What the API asks of etcd, and what etcd is told for people. Never part of a decision, and never in the loop's way.

use std::sync::Arc;

use haa_core::records::{Ask, RequestRecord, RequestState};
use haa_core::units::MemberName;
use tokio::sync::mpsc;

use super::chain;
use super::reload::Reloader;
use crate::api::document::unix_ms;
use crate::api::{Call, Unwritten};
use crate::doctor::Examiner;
use crate::hooks::Veto;
use crate::postgres::LostSlot;
use crate::store::{Sent, Store, StoreError, Told};

/// What people are to know of: promotions that an operator's program was against, and slots that were lost.
pub(super) struct News {
    pub(super) vetoes: mpsc::Receiver<Veto>,
    pub(super) lost: mpsc::Receiver<LostSlot>,
}

impl News {
    /// Each is an event. The history is for people: one try.
    pub(super) async fn tell(mut self, member: MemberName, store: Arc<Store>) {
        loop {
            let (ask, by, why) = tokio::select! {
                Some(Veto { term, why }) = self.vetoes.recv() => {
                    let ask = Ask::Promote { member: member.clone(), term };
                    (ask, format!("{member}'s hook"), why)
                }
                Some(LostSlot { name, why }) = self.lost.recv() => {
                    (Ask::KeepSlot { member: member.clone(), slot: name }, member.to_string(), why)
                }
                else => return,
            };
            let state = RequestState::Refused { why };
            tell(&store, Told::ByItself, RequestRecord::told(ask, by, unix_ms(), state)).await;
        }
    }
}

/// Into the history for people: one try.
pub(super) async fn tell(store: &Store, kind: Told, event: RequestRecord) {
    if let Err(error) = store.tell(kind, event).await {
        tracing::warn!(error = chain(&error), "nobody is told of it but this log");
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
                    drop(reply.send(store.ask(id, record).await.map_err(unwritten)));
                }
                Call::Plan { plan, reply } => {
                    drop(reply.send(store.plan(plan).await.map_err(unwritten)));
                }
                Call::Withdraw { id, unseen, why, reply } => {
                    let withdrawn = match unseen {
                        Some(request) => store.forestall(id, request, why).await,
                        None => store.withdraw(id, why).await,
                    };
                    drop(reply.send(withdrawn.map_err(unwritten)));
                }
                Call::Change { since, settings, event, reply } => {
                    let changed = store.change(since, *settings, event).await;
                    drop(reply.send(changed.map_err(unwritten)));
                }
                Call::Events { reply } => {
                    let events = store.events().await.map_err(|error| chain(&error));
                    drop(reply.send(events));
                }
                Call::Vet { wanted, whole, slots, reply } => {
                    let vetter = &reloader.vetter;
                    let said = vetter.objections_for_all((&wanted, &whole), &slots).await;
                    drop(reply.send(said));
                }
                Call::Reload { by, reply } => drop(reply.send(reloader.reload(by).await)),
                Call::Refused { event } => tell(&store, Told::Refusal, event).await,
                Call::Examine { reply } => drop(reply.send(examiner.examine().await)),
                Call::History { reply } => {
                    let history = store.history().await.map_err(|error| chain(&error));
                    drop(reply.send(history));
                }
            }
        });
    }
}

/// As far as anybody knows.
fn unwritten(error: StoreError) -> Unwritten {
    let why = chain(&error);
    match error.sent() {
        Sent::No => Unwritten::No(why),
        Sent::Perhaps => Unwritten::Perhaps(why),
    }
}
