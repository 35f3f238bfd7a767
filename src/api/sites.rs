//! Commands about two clusters of which one follows the other. Asks the leader of this one; knows nothing of the other.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use haa_core::records::Ask;
use haa_core::site::Site;
use haa_core::units::{Address, Position};
use serde::Deserialize;
use serde_json::Value;

use super::Api;
use super::carry::carry_out;
use super::commands::{Refusal, body, current, who};
use super::tokens::Role;
use crate::config::name_objection;

/// `POST /promote-cluster`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PromoteCluster {
    at_least: Option<String>,
    scheduled_at: Option<Value>,
}

/// `POST /demote-cluster`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DemoteCluster {
    to: Vec<String>,
    slot: Option<String>,
    scheduled_at: Option<Value>,
}

/// Nobody can say in advance what only the other cluster knows then.
const NOT_PROMOTED_IN_ADVANCE: &str = "\
    scheduled_at: promote-cluster takes no time: only then is it known whether the other cluster has closed its \
    writes, and where they end; if it has not, both would accept writes. Let a script demote that one first, and \
    promote this one with what it says";
const NOT_DEMOTED_IN_ADVANCE: &str = "\
    scheduled_at: demote-cluster takes no time: nobody would accept writes from then on until somebody promotes the \
    other cluster, with what this one says then. Let a script do both, one after the other";

/// Make a standby cluster one that accepts writes.
pub(super) async fn promote(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Admin)?;
        let asked: PromoteCluster = body(request).await?;
        if asked.scheduled_at.is_some() {
            return Err(wrong(NOT_PROMOTED_IN_ADVANCE.to_owned()));
        }
        let at_least = match asked.at_least.map(|at| at.parse::<Position>()) {
            None => None,
            Some(Ok(at)) => Some(at),
            Some(Err(why)) => return Err(wrong(format!("at_least: {why}"))),
        };
        carry_out(&api, Ask::PromoteCluster { at_least }, &who).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// Have this cluster follow another.
pub(super) async fn demote(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Admin)?;
        let asked: DemoteCluster = body(request).await?;
        if asked.scheduled_at.is_some() {
            return Err(wrong(NOT_DEMOTED_IN_ADVANCE.to_owned()));
        }
        let mut hosts = Vec::new();
        for host in asked.to {
            let address: Address = host.parse().map_err(|why| wrong(format!("to: {why}")))?;
            let status = current(&api)?;
            if status.members.values().any(|member| member.record.postgres == address) {
                return Err(wrong(format!("to: {address} is a member of this very cluster")));
            }
            if address.host.contains(',') || address.port == 0 {
                return Err(wrong(format!(
                    "to: '{address}' is not an address such as 10.0.0.1:5432"
                )));
            }
            hosts.push(address);
        }
        if hosts.is_empty() {
            let says = "to: whom? {\"to\": [\"10.1.0.1:5432\"]} is wanted, with every member of the other cluster";
            return Err(wrong(says.to_owned()));
        }
        if let Some(why) = asked.slot.as_deref().and_then(name_objection) {
            return Err(wrong(format!("slot: {why}")));
        }
        let to = Site { hosts, slot: asked.slot };
        carry_out(&api, Ask::DemoteCluster { to }, &who).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

const fn wrong(says: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, says)
}
