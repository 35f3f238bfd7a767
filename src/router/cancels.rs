//! CancelRequests: to the server whose session it is, or, where the key was under TLS, to each that it may be.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use haa_core::units::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::packet::Key;
use super::server;

/// A server closes the connection when it has passed the signal on; nobody waits longer than this for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which session is where.
#[derive(Debug, Default)]
pub(super) struct Cancels {
    keys: Mutex<BTreeMap<Key, Address>>,
    /// Sessions whose key could not be seen, by server.
    unseen: Mutex<BTreeMap<Address, usize>>,
}

/// Known for as long as this lives.
#[derive(Debug)]
pub(super) enum Known<'a> {
    /// By its key.
    Key(&'a Cancels, Key),
    /// Only that there is one.
    Unseen(&'a Cancels, Address),
}

impl Cancels {
    /// A session with this key is at this server.
    pub(super) fn key(&self, key: Key, at: Address) -> Known<'_> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.clone(), at);
        Known::Key(self, key)
    }

    /// A session under TLS is at this server.
    pub(super) fn unseen(&self, at: Address) -> Known<'_> {
        let mut unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner);
        *unseen.entry(at.clone()).or_default() += 1;
        Known::Unseen(self, at)
    }

    /// Where the session with this key can be. `usual`: where a new connection would go; it may have come through
    /// another router, or through an earlier run of this one.
    pub(super) fn servers(&self, key: &Key, usual: Vec<Address>) -> Vec<Address> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = keys.get(key) {
            return vec![at.clone()];
        }
        let unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = usual;
        servers.extend(unseen.keys().cloned());
        servers.sort();
        servers.dedup();
        servers
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        match self {
            Self::Key(cancels, key) => {
                let mut keys = cancels.keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.remove(key);
            }
            Self::Unseen(cancels, at) => {
                let mut unseen = cancels.unseen.lock().unwrap_or_else(PoisonError::into_inner);
                match unseen.get_mut(at) {
                    Some(count) if *count > 1 => *count -= 1,
                    Some(_) | None => drop(unseen.remove(at)),
                }
            }
        }
    }
}

/// Tells these servers, and returns when each of them has closed the connection: the client takes its own being
/// closed as the sign that the signal was sent.
pub(super) async fn forward(key: &Key, servers: Vec<Address>) {
    let request = &key.request();
    let tell = servers.iter().map(|at| async move {
        let told = async {
            let mut stream = server::connect(at).await?;
            stream.write_all(request).await?;
            stream.read(&mut [0]).await
        };
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, %at, "a CancelRequest was not passed on"),
            Err(_) => tracing::debug!(%at, "a CancelRequest was not taken in time"),
        }
    });
    futures_util::future::join_all(tell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_key_names_its_server_and_an_unknown_one_all_that_it_can_be() {
        let at = |port| Address { host: "h".to_owned(), port };
        let key = |last| Key::new(&[0, 0, 0, 1, 2, 2, 2, last]).unwrap();
        let cancels = Cancels::default();
        let known = cancels.key(key(1), at(1));
        let unseen = [cancels.unseen(at(2)), cancels.unseen(at(2))];
        assert_eq!(cancels.servers(&key(1), vec![at(3)]), [at(1)]);
        assert_eq!(cancels.servers(&key(9), vec![at(3), at(2)]), [at(2), at(3)]);
        drop(known);
        assert_eq!(cancels.servers(&key(1), vec![]), [at(2)]);
        let [one, two] = unseen;
        drop(one);
        assert_eq!(cancels.servers(&key(1), vec![]), [at(2)]);
        drop(two);
        assert!(cancels.servers(&key(1), vec![]).is_empty());
        assert!(cancels.keys.lock().unwrap().is_empty());
    }
}
