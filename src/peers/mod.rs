//! Agent to agent: says our heartbeats to every peer and hears theirs. Never decides, never retries a beat.

mod hear;
mod say;

use std::collections::BTreeMap;

use haa_core::observe::Heartbeat;
use haa_core::routes::Status;
use haa_core::units::{Address, MemberName};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::tokens::Tokens;
use crate::tls::Dialer;

pub use hear::router;

/// The generated messages and stubs of `proto/haa/v1/peer.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("haa.v1");
}

/// The peers that we speak to: one task each, ended when a peer goes or moves.
pub struct Peers {
    cluster: String,
    tokens: Tokens,
    dialer: Dialer,
    beat: watch::Sender<Option<Heartbeat>>,
    spoken_to: BTreeMap<MemberName, (Address, DropGuard)>,
}

impl Peers {
    /// Nobody is spoken to yet.
    #[must_use]
    pub fn new(cluster: &str, tokens: Tokens, dialer: Dialer) -> Self {
        let (beat, _) = watch::channel(None);
        Self { cluster: cluster.to_owned(), tokens, dialer, beat, spoken_to: BTreeMap::new() }
    }

    /// Say this to every peer. Who cannot take it in time gets the next one instead.
    pub fn beat(&self, beat: Heartbeat) {
        self.beat.send_replace(Some(beat));
    }

    /// Speak to the members that the store shows, at the addresses that it shows. Whom it does not show any more, while
    /// the list still names it, is spoken to as before: an etcd that was away may have ended every lease.
    pub fn know(&mut self, status: &Status) {
        let wanted: BTreeMap<&MemberName, &Address> = status
            .members
            .iter()
            .filter(|(name, _)| **name != status.me)
            .map(|(name, member)| (name, &member.record.api))
            .collect();
        let listed = status.sync.as_ref().map(|sync| &sync.members);
        self.spoken_to.retain(|name, (address, _)| match wanted.get(name) {
            Some(shown) => **shown == *address,
            None => listed.is_some_and(|members| members.contains_key(name)),
        });
        for (name, address) in wanted {
            if !self.spoken_to.contains_key(name) {
                let ended = CancellationToken::new();
                let to = say::Peer {
                    name: name.clone(),
                    address: address.clone(),
                    cluster: self.cluster.clone(),
                    tokens: self.tokens.clone(),
                    dialer: self.dialer.clone(),
                };
                let speaking = say::speak(to, self.beat.subscribe());
                tokio::spawn(ended.clone().run_until_cancelled_owned(speaking));
                self.spoken_to.insert(name.clone(), (address.clone(), ended.drop_guard()));
            }
        }
    }
}
