//! What can go wrong with Postgres, in sentences. Never what follows from it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use super::sql::SqlError;

/// Why this member's Postgres cannot be looked after at all.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Postgres refuses to run as root, and so do we.
    #[error("haad runs as root, but Postgres refuses to: run haad as the user who owns the data")]
    Root,
    /// None was found where one usually is.
    #[error(
        "no Postgres binaries in {looked}; install PostgreSQL or set postgres.bin_directory in \
         haad.toml"
    )]
    NoBinaries {
        /// Where we looked.
        looked: String,
    },
    /// A program is missing, or does not run.
    #[error("cannot run {}; check postgres.bin_directory in haad.toml", program.display())]
    Binary {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `postgres --version` said something else.
    #[error("'{said}' is not a Postgres version; check postgres.bin_directory in haad.toml")]
    Version {
        /// What it said.
        said: String,
    },
    /// The state directory is of no use.
    #[error("cannot use the state directory {}; make it writable for this user", path.display())]
    StateDirectory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error("cannot {verb} {}", path.display())]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("{tool} failed: {said}")]
    Tool { tool: &'static str, said: String },
    #[error("cannot run {}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("Postgres did not do as told")]
    Sql(#[from] SqlError),
    #[error("cannot signal Postgres")]
    Signal(#[source] io::Error),
    #[error(
        "recovery waits for WAL that is not in pg_wal, or cannot be read there, and would wait for ever ({} has the \
         position); these data are not started alone again: they are cloned from whoever leads",
        _0.display()
    )]
    Starved(PathBuf),
    #[error("{0}")]
    Refused(String),
}

impl JobError {
    /// For `map_err`: what we were doing to which file.
    pub(super) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }
}

/// An error with its causes, in one line.
pub(super) fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
