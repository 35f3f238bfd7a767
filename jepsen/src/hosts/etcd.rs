//! How etcd is started on a host. Never kills it.

use std::net::Ipv4Addr;

use super::host::{Host, Launch};
use super::tools::Tools;

/// The client URL of the etcd at this address.
pub(super) fn endpoint(address: Ipv4Addr) -> String {
    format!("http://{address}:2379")
}

/// What to start on `host`, one of `all`.
pub(super) fn launch<'a>(tools: &'a Tools, host: &Host, all: &[&Host]) -> Launch<'a> {
    let peer = |host: &Host| format!("http://{}:2380", host.address);
    let cluster: Vec<String> =
        all.iter().map(|host| format!("{}={}", host.name, peer(host))).collect();
    let client = endpoint(host.address);
    let pairs = [
        ("--name", host.name.clone()),
        ("--data-dir", host.home.join("data").to_string_lossy().into_owned()),
        ("--listen-client-urls", client.clone()),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer(host)),
        ("--initial-advertise-peer-urls", peer(host)),
        ("--initial-cluster", cluster.join(",")),
        ("--logger", "zap".to_owned()),
    ];
    Launch {
        program: &tools.etcd,
        arguments: pairs.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect(),
        variables: Vec::new(),
        log: host.home.join("log"),
        user: tools.user,
    }
}
