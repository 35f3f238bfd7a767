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
            if self.inputs.send(Input::Peer(Box::new(heartbeat))).await.is_err() {
                return Err(Status::unavailable("this agent is stopping"));
            }
        }
        Ok(Response::new(Heard {}))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use prost::Message as _;

    use super::*;

    #[test]
    fn fuzz_what_comes_as_a_beat() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, "0123456789abcdef0123 name=alice\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (inputs, _) = mpsc::channel(1);
        let tokens = Tokens::load(&path).unwrap();
        let hearing = Hearing { cluster: "shop".to_owned(), tokens, inputs };
        let json =
            br#"{"from":"n2","instance":2,"number":1,"term":7,"state":"streaming","position":null,
            "replayed":"0/3000060","fit":true,"tags":{"zone":"a"},"hears":["n1"]}"#;
        let beat = Beat { cluster: "shop".to_owned(), heartbeat: json.to_vec() };
        assert!(hearing.read(&beat).is_ok(), "the example is good");
        let deep = Beat { heartbeat: vec![b'['; 50_000], ..beat.clone() };
        crate::fuzz::bytes(&[&beat.encode_to_vec(), &deep.encode_to_vec()], |bytes| {
            let Ok(beat) = Beat::decode(bytes) else { return };
            if let Err(refused) = hearing.read(&beat) {
                assert!(!refused.message().is_empty());
            }
        });
    }
}
