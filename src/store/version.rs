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

/// A version that cannot be read is taken to be old.
fn may_revoke_early(version: &str) -> bool {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = numbers.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => (major, minor, patch) < KEEPS_LEASES,
        _ => true,
    }
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
