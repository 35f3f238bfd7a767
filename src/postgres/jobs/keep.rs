//! Putting new data in the place of old, and keeping the old. Never removes a directory that haad did not name.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::postgres::error::JobError;
use crate::postgres::files::sync_parent;
use crate::postgres::site::Site;

/// Seconds since 1970, for names that people read.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A directory beside the data, removed when it goes out of scope without having taken the data's place.
pub(super) struct Scaffold {
    path: PathBuf,
    placed: Option<()>,
}

impl Scaffold {
    /// Removes what an earlier attempt left.
    pub(super) async fn new(site: &Site, suffix: &str) -> Result<Self, JobError> {
        let path = site.beside(suffix);
        let stale = path.clone();
        let removed = tokio::task::spawn_blocking(move || remove(&stale)).await;
        removed
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(JobError::file("remove", &path))?;
        Ok(Self { path, placed: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the place of the data directory. What is there is moved aside, or removed if it is empty.
    /// Returns where it went.
    pub(super) fn place(mut self, site: &Site) -> Result<Option<PathBuf>, JobError> {
        let data = site.data();
        let aside = match std::fs::remove_dir(data) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => {
                let aside = site.beside(&format!("{}{}", OLD, unix_time()));
                std::fs::rename(data, &aside).map_err(JobError::file("move aside", data))?;
                Some(aside)
            }
        };
        if let Err(error) = std::fs::rename(&self.path, data) {
            if let Some(aside) = &aside {
                std::fs::rename(aside, data).map_err(JobError::file("move back", aside))?;
            }
            return Err(JobError::file("move into place", &self.path)(error));
        }
        self.placed = Some(());
        sync_parent(data).map_err(JobError::file("make durable", data))?;
        Ok(aside)
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        if self.placed.is_none()
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(%error, "cannot remove {}", self.path.display());
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

const OLD: &str = ".old-";

/// Removes the data directories that were moved aside, but for the newest.
pub(super) async fn remove_older(site: &Site) {
    let data = site.data().to_owned();
    let removed = tokio::task::spawn_blocking(move || {
        for path in older(&data)? {
            tracing::info!("removing {}, the data of an earlier life", path.display());
            remove(&path)?;
        }
        Ok(())
    });
    if let Err(error) = removed.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        tracing::warn!(%error, "data that was moved aside cannot be removed");
    }
}

fn older(data: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(parent) = data.parent() else { return Ok(Vec::new()) };
    let prefix = format!("{}{OLD}", data.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let time = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if let Some(time) = time.and_then(|time| time.parse::<u64>().ok()) {
            found.push((time, entry.path()));
        }
    }
    found.sort();
    found.pop();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}
