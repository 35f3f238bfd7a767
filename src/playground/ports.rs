//! Ports of the loopback address that are ours until this process ends. Never listens on one.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Below those that Linux gives to any client (`net.ipv4.ip_local_port_range`, 32768 and up): a server that is stopped
/// for a while finds its own again.
pub(super) const RANGE: Range<u16> = 12_000..32_000;
/// How far a search goes on from a port that somebody asked to begin with.
const FURTHER: u16 = 1_000;

/// What other processes see of a claim; the kernel takes it back when this one ends.
static CLAIMS: LazyLock<Mutex<Vec<UnixListener>>> = LazyLock::new(Mutex::default);

/// One that nobody listens on and that no other caller of this function on this machine has.
///
/// # Errors
/// Every port is taken.
pub fn claim() -> io::Result<u16> {
    let first = rand::random_range(RANGE);
    claim_of((first..RANGE.end).chain(RANGE.start..first))
}

/// The same, upwards from a first one.
///
/// # Errors
/// No port among the next thousand is free.
pub(super) fn claim_from(first: u16) -> io::Result<u16> {
    claim_of(first..first.saturating_add(FURTHER))
}

fn claim_of(mut ports: impl Iterator<Item = u16>) -> io::Result<u16> {
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    let claimed = ports.find_map(|port| Some((port, take(port)?)));
    let (port, mark) = claimed.ok_or(io::ErrorKind::AddrInUse)?;
    claims.push(mark);
    Ok(port)
}

/// Holding the port itself would keep the server from it, so a name is held that only these callers know.
fn take(port: u16) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("haa-port-{port}")).ok()?;
    let mark = UnixListener::bind_addr(&name).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let first = claim().unwrap();
        assert_ne!(claim_from(first).unwrap(), first);
        // Nobody listens on it yet.
        TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_over() {
        let port = claim().unwrap() + 1;
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        assert!(claim_from(port).unwrap() > port, "{held:?}");
    }
}
