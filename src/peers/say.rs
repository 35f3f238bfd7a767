//! The speaking side: one stream to one peer, opened again whenever it ends. Holds no beat back.

use std::time::Duration;

use backon::BackoffBuilder;
use haa_core::observe::Heartbeat;
use haa_core::units::{Address, MemberName};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::proto::Beat;
use super::proto::peers_client::PeersClient;
use crate::api::tokens::Tokens;
use crate::tls::{Dialer, Http};

/// To whom.
pub(super) struct Peer {
    pub(super) name: MemberName,
    pub(super) address: Address,
    pub(super) cluster: String,
    pub(super) tokens: Tokens,
    pub(super) dialer: Dialer,
}

/// How a stream to a peer could end.
#[derive(Debug, thiserror::Error)]
enum SayError {
    #[error("could not reach the agent of {name} at {address}")]
    Reach {
        name: MemberName,
        address: Address,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("the agent of {name} at {address} ended the stream of heartbeats: {why}")]
    Ended { name: MemberName, address: Address, why: String },
    #[error(
        "no token is valid: heartbeats to {name} need one line in the token file that has not expired"
    )]
    NoToken { name: MemberName },
}

/// Speak until cancelled.
pub(super) async fn speak(peer: Peer, beats: watch::Receiver<Option<Heartbeat>>) {
    let waits = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_jitter()
        .without_max_times();
    let mut wait = waits.build();
    let mut told = String::new();
    loop {
        let began = tokio::time::Instant::now();
        if let Err(error) = stream(&peer, beats.clone()).await {
            let text = crate::agent::chain(&error);
            // The same failure again and again is said once.
            if text != told {
                tracing::warn!(peer = %peer.name, error = %text, "heartbeats to a peer do not pass");
                told = text;
            }
        }
        if began.elapsed() > Duration::from_secs(5) {
            wait = waits.build();
            told.clear();
        }
        tokio::time::sleep(wait.next().unwrap_or(Duration::from_secs(1))).await;
    }
}

async fn stream(peer: &Peer, beats: watch::Receiver<Option<Heartbeat>>) -> Result<(), SayError> {
    let (name, address) = (peer.name.clone(), peer.address.clone());
    let token = peer.tokens.own().ok_or_else(|| SayError::NoToken { name: name.clone() })?;
    let reach = |source| SayError::Reach { name: name.clone(), address: address.clone(), source };
    // TLS, if any, is the dialer's.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(reach)?;
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(1))
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true);
    let (dialer, to) = (peer.dialer.clone(), peer.address.clone());
    let dial = tower::service_fn(move |_| {
        let (dialer, to) = (dialer.clone(), to.clone());
        async move { dialer.dial(&to, Http::Two).await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(dial).await.map_err(reach)?;
    let cluster = peer.cluster.clone();
    let said = WatchStream::new(beats).filter_map(move |beat| {
        let heartbeat = serde_json::to_vec(&beat?).ok()?;
        Some(Beat { cluster: cluster.clone(), heartbeat })
    });
    let mut request = Request::new(said);
    let ended = |status: Status| SayError::Ended {
        name: name.clone(),
        address: address.clone(),
        why: status.message().to_owned(),
    };
    let value = format!("Bearer {token}").parse().map_err(|_| {
        ended(Status::invalid_argument("the token has characters that no header can bear"))
    })?;
    request.metadata_mut().insert("authorization", value);
    PeersClient::new(channel).hear(request).await.map_err(ended)?;
    Ok(())
}
