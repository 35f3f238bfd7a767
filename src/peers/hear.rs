//! The hearing side: heartbeats of this cluster's members become inputs. Nothing is believed without a token.

use haa_core::input::Input;
use haa_core::observe::Heartbeat;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::proto::peers_server::{Peers, PeersServer};
use super::proto::{Beat, Heard};
use crate::api::tokens::{Role, Tokens};

struct Hearing {
    cluster: String,
    tokens: Tokens,
    inputs: mpsc::Sender<Input>,
}

/// The peers' service, to be merged into the API's router.
pub fn router(cluster: &str, tokens: Tokens, inputs: mpsc::Sender<Input>) -> axum::Router {
    let hearing = Hearing { cluster: cluster.to_owned(), tokens, inputs };
    tonic::service::Routes::new(PeersServer::new(hearing)).into_axum_router()
}

impl Hearing {
    fn read(&self, beat: &Beat) -> Result<Heartbeat, Status> {
        if beat.cluster != self.cluster {
            return Err(Status::failed_precondition(format!(
                "this agent is of cluster '{}', not '{}': is an address in haad.toml wrong?",
                self.cluster, beat.cluster
            )));
        }
        serde_json::from_slice(&beat.heartbeat)
            .map_err(|error| Status::invalid_argument(format!("unreadable heartbeat: {error}")))
    }
}

#[tonic::async_trait]
impl Peers for Hearing {
    async fn hear(&self, request: Request<Streaming<Beat>>) -> Result<Response<Heard>, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let member = self.tokens.check(header).and_then(|bearer| bearer.may(Role::Admin));
        if let Err(denied) = member {
            return Err(Status::unauthenticated(denied.to_string()));
        }
        let mut beats = request.into_inner();
        while let Some(beat) = beats.message().await? {
            let heartbeat = self.read(&beat)?;
            if self.inputs.send(Input::Peer(heartbeat)).await.is_err() {
                return Err(Status::unavailable("this agent is stopping"));
            }
        }
        Ok(Response::new(Heard {}))
    }
}
