//! The etcds of one store, on ports that nobody else uses. Never runs a process itself.

use std::path::{Path, PathBuf};

use super::super::ports;
use super::{Etcd, EtcdError, Plan};

/// Somebody else may take a free port before etcd does; then others are tried.
const PORT_ATTEMPTS: u32 = 5;

/// Three of them, one store: to lose or freeze one.
#[derive(Debug)]
pub struct EtcdCluster {
    /// The members.
    pub members: Vec<Etcd>,
}

impl EtcdCluster {
    /// Starts three with their data and logs below `directory`, and waits until all are healthy.
    ///
    /// # Errors
    /// As for [`Etcd::start`].
    pub fn start(directory: &Path) -> Result<Self, EtcdError> {
        let names = ["e1", "e2", "e3"];
        let directories = names.map(|name| directory.join(name));
        let group: Vec<(&str, &Path)> =
            names.into_iter().zip(directories.iter().map(PathBuf::as_path)).collect();
        Ok(Self { members: start(&group)? })
    }

    /// The client URLs of all.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Etcd::endpoint).collect()
    }
}

/// Starts all of one store, on other ports if somebody was faster.
pub(super) fn start(group: &[(&str, &Path)]) -> Result<Vec<Etcd>, EtcdError> {
    let mut attempt = 1;
    loop {
        match try_group(group) {
            Err(error) if attempt < PORT_ATTEMPTS && port_taken(&error) => attempt += 1,
            ended => return ended,
        }
    }
}

/// Starts all, then waits for all: none is healthy before a majority runs.
fn try_group(group: &[(&str, &Path)]) -> Result<Vec<Etcd>, EtcdError> {
    let mut plans = Vec::new();
    for (name, directory) in group {
        let port = || {
            ports::claim().map_err(|source| EtcdError::System {
                what: "find a free port",
                directory: directory.to_path_buf(),
                source,
            })
        };
        let (client, peer) = (port()?, port()?);
        let (name, directory) = ((*name).to_owned(), directory.to_path_buf());
        plans.push(Plan { name, directory, client, peer, cluster: String::new() });
    }
    let urls: Vec<String> =
        plans.iter().map(|plan| format!("{}=http://127.0.0.1:{}", plan.name, plan.peer)).collect();
    let cluster = urls.join(",");
    let mut members: Vec<Etcd> = plans
        .into_iter()
        .map(|plan| Etcd { plan: Plan { cluster: cluster.clone(), ..plan }, child: None })
        .collect();
    members.iter_mut().try_for_each(Etcd::launch)?;
    members.iter_mut().try_for_each(Etcd::wait_healthy)?;
    Ok(members)
}

fn port_taken(error: &EtcdError) -> bool {
    match error {
        EtcdError::Ended { tail, .. } => tail.contains("address already in use"),
        EtcdError::Missing(_) | EtcdError::System { .. } | EtcdError::Silent { .. } => false,
    }
}
