//! Which releases of etcd we speak to. Never decides what follows from that.

use haa_core::input::Input;

use super::Shared;

/// Releases before this one can revoke a live lease early.
const KEEPS_LEASES: (u32, u32, u32) = (3, 5, 13);

/// Tells the node whether any endpoint that answers is of a release that may revoke leases early.
pub(super) async fn tell(shared: &Shared) {
    let mut versions = Vec::new();
    for at in 0..shared.clients.urls().count() {
        let status = shared
            .clients
            .once(at, |client| async move { client.maintenance_client().status().await })
            .await;
        if let Ok(answer) = status {
            versions.push(answer.value.version().to_owned());
        }
    }
    if !versions.is_empty() {
        let early = versions.iter().any(|version| may_revoke_early(version));
        shared.deliver(Input::StoreRevokesEarly(early)).await;
    }
}

/// Whether a leader of this release that has lost its place can still revoke leases
/// (<https://github.com/etcd-io/etcd/issues/15247>). A version that cannot be read is taken to be old.
#[must_use]
pub fn may_revoke_early(version: &str) -> bool {
    numbers(version).is_none_or(|numbers| numbers < KEEPS_LEASES)
}

/// `3.5.21+debian` as (3, 5, 21).
#[must_use]
pub fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::may_revoke_early;

    #[test]
    fn releases_are_compared_by_number() {
        for old in ["3.4.23", "3.5.9", "3.5.12", "strange"] {
            assert!(may_revoke_early(old), "{old}");
        }
        for new in ["3.5.13", "3.5.21+debian", "3.6.0-rc.1", "4.0.0"] {
            assert!(!may_revoke_early(new), "{new}");
        }
    }
}
