//! What was read from files, and is read anew when one of them changes. Keeps what it has while they are wrong.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// Tells one version of a file from another: device, inode, modified, changed, size.
type Stamp = (u64, u64, (i64, i64), (i64, i64), u64);

/// A value that files say.
#[derive(Debug)]
pub(crate) struct Fresh<T> {
    paths: Vec<PathBuf>,
    kept: RwLock<(Vec<Option<Stamp>>, T)>,
}

impl<T: Clone> Fresh<T> {
    /// Reads it for the first time.
    pub(crate) fn load<E>(
        paths: Vec<PathBuf>,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Self, E> {
        // Stamped first: what changes while it is read is read again.
        let stamps = stamps(&paths);
        let value = read()?;
        Ok(Self { paths, kept: RwLock::new((stamps, value)) })
    }

    /// What the files say now. While they are wrong, what they said before: a slip must not part the members.
    pub(crate) fn get<E: Display>(&self, what: &str, read: impl FnOnce() -> Result<T, E>) -> T {
        let seen = stamps(&self.paths);
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if kept.0 == seen {
                return kept.1.clone();
            }
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != seen {
            match read() {
                Ok(value) => kept.1 = value,
                Err(error) => {
                    tracing::warn!(%error, "the new {what} are not used; those read before stay");
                }
            }
            kept.0 = seen;
        }
        kept.1.clone()
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    let modified = (found.mtime(), found.mtime_nsec());
    let changed = (found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), modified, changed, found.len()))
}
