//! What operators want Postgres to be told: by the cluster's settings, and by this member's file, which goes before
//! them. Never writes Postgres' own files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haa_core::units::Revision;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::files;
use crate::config;

/// Kept so that Postgres starts with them while etcd is away.
const FILE: &str = "haa.parameters.json";

/// All of it, as it is at one moment.
#[derive(Clone, Debug)]
pub(super) struct Wished {
    /// Of the settings that `told.shared` is from.
    pub(super) revision: Revision,
    pub(super) told: Told,
    /// How the operator's archive gives back WAL.
    pub(super) restore_command: Option<String>,
}

/// What Postgres reads of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The cluster's parameters.
    pub(super) shared: BTreeMap<String, String>,
    /// This member's.
    pub(super) own: BTreeMap<String, String>,
    /// The operator's postgresql.conf, included before all of these.
    pub(super) include: Option<PathBuf>,
    /// The operator's lines of `pg_hba.conf`.
    pub(super) hba: Vec<String>,
}

/// What a member's file asks of its Postgres, and can be asked while it runs.
#[derive(Clone, Debug)]
pub struct Asked {
    parameters: BTreeMap<String, String>,
    include: Option<PathBuf>,
    hba: Vec<String>,
    restore_command: Option<String>,
}

impl Asked {
    /// Of this configuration.
    #[must_use]
    pub fn of(config: &config::Postgres) -> Self {
        Self {
            parameters: config.parameters.clone(),
            include: config.include.clone(),
            hba: config.hba.clone(),
            restore_command: config.restore_command.clone(),
        }
    }
}

impl Told {
    /// What is asked for this parameter.
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.own.get(name).or_else(|| self.shared.get(name)).map(String::as_str)
    }

    /// What is asked of all members, and not of this one otherwise.
    pub(super) fn only_shared(&self) -> impl Iterator<Item = (&String, &String)> {
        self.shared.iter().filter(|(name, _)| !self.own.contains_key(*name))
    }
}

/// Whether there was anything to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Some,
}

/// The newest of it.
pub(super) struct Wishes {
    now: watch::Sender<Arc<Wished>>,
    file: PathBuf,
}

impl Wishes {
    /// As this member's file has it, and the settings were when they were last known.
    pub(super) fn of(config: &config::Postgres, state: &Path) -> Self {
        let file = state.join(FILE);
        let shared = read(&file).unwrap_or_else(|error| {
            let file = file.display();
            tracing::warn!(%error, "{file} cannot be read: the cluster's parameters come with its settings");
            None
        });
        let told = Told {
            shared: shared.unwrap_or_else(|| config.shared_parameters.clone()),
            own: config.parameters.clone(),
            include: config.include.clone(),
            hba: config.hba.clone(),
        };
        let restore_command = config.restore_command.clone();
        let wished = Wished { revision: Revision::ABSENT, told, restore_command };
        Self { now: watch::Sender::new(Arc::new(wished)), file }
    }

    pub(super) fn now(&self) -> Arc<Wished> {
        self.now.borrow().clone()
    }

    /// This member's file asks for this from now on.
    pub(super) fn ask(&self, asked: Asked) -> Change {
        let Asked { parameters: own, include, hba, restore_command } = asked;
        let before = self.now();
        let told = Told { shared: before.told.shared.clone(), own, include, hba };
        let change = if told == before.told { Change::None } else { Change::Some };
        let wished = Wished { revision: before.revision, told, restore_command };
        self.now.send_replace(Arc::new(wished));
        change
    }

    /// The cluster's parameters are these from now on, and are kept.
    pub(super) fn share(
        &self,
        revision: Revision,
        shared: BTreeMap<String, String>,
    ) -> io::Result<Change> {
        let before = self.now();
        let change = if before.told.shared == shared { Change::None } else { Change::Some };
        if change == Change::Some || !self.file.exists() {
            files::write_private(&self.file, serde_json::to_vec(&shared)?)?;
        }
        let told = Told { shared, ..before.told.clone() };
        let wished = Wished { revision, told, restore_command: before.restore_command.clone() };
        self.now.send_replace(Arc::new(wished));
        Ok(change)
    }
}

fn read(file: &Path) -> io::Result<Option<BTreeMap<String, String>>> {
    match std::fs::read(file) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
