//! What of etcd matters to a setup: releases, members, room, how quickly it answers. Asks once, judges nothing.

use std::time::{Duration, Instant};

use etcd_client::GetOptions;

use super::Store;
use super::error::chain;

/// So many reads are timed.
const READS: usize = 20;
/// Between them all, no longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Each endpoint that is configured.
    pub endpoints: Vec<Seen>,
    /// How many members etcd has, as it says itself; else why it does not.
    pub members: Result<usize, String>,
    /// How long linearizable reads took, each; else why there was none.
    pub reads: Result<Vec<Duration>, String>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As configured.
    pub endpoint: String,
    /// What it says; else what is wrong.
    pub said: Result<Said, String>,
}

/// What an endpoint says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its release.
    pub version: String,
    /// Bytes of its database.
    pub size: u64,
    /// Bytes that it may have, where this release tells.
    pub quota: Option<u64>,
    /// Its alarms, such as `memberID:1 alarm:NOSPACE`.
    pub alarms: Vec<String>,
}

impl Store {
    /// Asks every endpoint for itself, and all of them for what they hold in common.
    pub async fn examine(&self) -> Examined {
        let clients = &self.shared.clients;
        let mut endpoints = Vec::new();
        for (at, endpoint) in clients.urls().enumerate() {
            let asked = clients.aside(at, |c| async move { c.maintenance_client().status().await });
            let said = asked.await.map(|status| Said {
                version: status.version().to_owned(),
                size: u64::try_from(status.db_size()).unwrap_or_default(),
                quota: u64::try_from(status.db_size_quota()).ok().filter(|quota| *quota > 0),
                alarms: status.errors().to_vec(),
            });
            let said = said.map_err(|error| chain(&error));
            endpoints.push(Seen { endpoint: endpoint.to_owned(), said });
        }
        let listed =
            clients.any(PATIENCE, |c| async move { c.cluster_client().member_list().await });
        let members = listed.await.map(|answer| answer.value.members().len());
        let members = members.map_err(|miss| chain(&miss.error));
        Examined { endpoints, members, reads: self.timed().await }
    }

    async fn timed(&self) -> Result<Vec<Duration>, String> {
        let (first, _) = self.shared.keys.history();
        let (began, mut reads) = (Instant::now(), Vec::new());
        while reads.len() < READS && began.elapsed() < PATIENCE {
            let asked = Instant::now();
            let one = GetOptions::new().with_limit(1);
            let read = self.shared.clients.any(PATIENCE, |client| {
                let (path, one) = (first.clone(), one.clone());
                async move { client.kv_client().get(path, Some(one)).await }
            });
            match read.await {
                Ok(_) => reads.push(asked.elapsed()),
                Err(miss) if reads.is_empty() => return Err(chain(&miss.error)),
                Err(_) => break,
            }
        }
        Ok(reads)
    }
}
