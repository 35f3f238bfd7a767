//! Whether a port is free, or held by whoever ought to hold it: this member's own haad. Only looks.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use haa_core::units::Address;
use tokio::net::TcpListener;

use super::Finding;

/// The haad that runs with this state directory: it has its lock open.
pub(super) struct Running {
    /// Its process.
    pub(super) pid: u32,
    /// As `/proc` names them: `socket:[12345]`.
    sockets: BTreeSet<PathBuf>,
}

impl Running {
    /// `None` when there is none, or its files are not ours to look at.
    pub(super) fn with(state: &Path) -> Option<Self> {
        let lock = state.join(crate::agent::LOCK).canonicalize().ok()?;
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        processes
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
            .find_map(|(pid, process)| {
                let links = std::fs::read_dir(process.join("fd")).ok()?.flatten();
                let open: BTreeSet<PathBuf> =
                    links.filter_map(|link| std::fs::read_link(link.path()).ok()).collect();
                open.contains(&lock).then_some(Self { pid, sockets: open })
            })
    }

    /// One of its sockets listens at this port.
    fn listens_at(&self, port: u16) -> bool {
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
            let table = std::fs::read_to_string(table).unwrap_or_default();
            table
                .lines()
                .filter_map(|line| listener(line, port))
                .any(|inode| self.sockets.contains(Path::new(&format!("socket:[{inode}]"))))
        })
    }
}

/// The inode of a socket that listens at `port`, from a line of `/proc/net/tcp`.
fn listener(line: &str, port: u16) -> Option<&str> {
    const LISTENS: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, at) = words.get(1)?.rsplit_once(':')?;
    let here = u16::from_str_radix(at, 16).is_ok_and(|at| at == port);
    (here && *words.get(3)? == LISTENS).then_some(*words.get(9)?)
}

/// Whether haad, when it is started next, could listen here.
pub(super) async fn port(key: &str, listen: &Address, running: Option<&Running>) -> Finding {
    let wildcard = Address { host: "0.0.0.0".to_owned(), port: listen.port };
    let at = if listen.host == "*" { &wildcard } else { listen };
    let error = match TcpListener::bind(at.to_string()).await {
        Ok(_) => return Finding::Fine(format!("{key}: {listen} is free")),
        Err(error) => error,
    };
    let own = running.filter(|running| running.listens_at(listen.port));
    match (error.kind(), own) {
        (ErrorKind::AddrInUse, Some(running)) => Finding::Fine(format!(
            "{key}: {listen} is in use by this member's own haad, process {}",
            running.pid
        )),
        (ErrorKind::AddrInUse, None) => Finding::Wrong(format!(
            "{key}: {listen} is in use: stop what listens there (ss -ltnp 'sport = :{}'), or choose \
             another port",
            listen.port
        )),
        _ => Finding::Wrong(format!(
            "{key}: cannot listen on {listen} ({error}): is it this machine's?"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Memory;

    #[tokio::test]
    async fn a_port_of_our_own_haad_is_no_obstacle_and_one_of_anybody_else_is() {
        let state = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port_of = listener.local_addr().expect("bound").port();
        let at = Address { host: "127.0.0.1".to_owned(), port: port_of };
        assert!(Running::with(state.path()).is_none(), "nobody has its lock");
        assert!(port("api.listen", &at, None).await.is_wrong());
        let _haad = Memory::open(state.path()).expect("usable");
        let running = Running::with(state.path()).expect("this process has its lock");
        assert_eq!(running.pid, std::process::id());
        let found = port("api.listen", &at, Some(&running)).await;
        assert!(!found.is_wrong() && found.to_string().contains("own haad"), "{found}");
        let strange = Running { pid: running.pid, sockets: BTreeSet::new() };
        assert!(port("api.listen", &at, Some(&strange)).await.is_wrong());
    }
}
