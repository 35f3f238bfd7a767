//! What can go wrong with a playground, each with what to do.

use std::path::PathBuf;
use std::time::Duration;

use haa_core::units::MemberName;

/// A playground that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlaygroundError {
    /// A program is missing.
    #[error("{program} was not found {looked}: {remedy}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        looked: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The directory is there and is not ours to use.
    #[error("{path} is there and {why}: remove it yourself or choose another with --directory")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What it is.
        why: &'static str,
    },
    /// One runs already.
    #[error(
        "a playground runs in {0}: see it with `haactl playground status`, end it with `haactl playground stop`"
    )]
    Running(PathBuf),
    /// None is there.
    #[error("there is no playground in {0}: begin one with `haactl playground start`")]
    Absent(PathBuf),
    /// The path of a Unix socket is limited to 107 bytes.
    #[error("{0} is too long for Postgres' Unix socket in it: choose a shorter --directory")]
    PathTooLong(PathBuf),
    /// A file or directory could not be made, read or removed.
    #[error("cannot {doing} {path}")]
    File {
        /// What was done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program did not start.
    #[error("cannot start {program}")]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A process could not be signalled.
    #[error("cannot signal process {pid}")]
    Signal {
        /// Which.
        pid: i32,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No such member.
    #[error("there is no member {asked} in this playground: it has {known}")]
    UnknownMember {
        /// Who was named.
        asked: MemberName,
        /// Who is there.
        known: String,
    },
    /// A document that we wrote ourselves does not read.
    #[error(
        "{what} does not read; end what runs there by hand if need be, then remove its directory: {why}"
    )]
    Odd {
        /// Which.
        what: PathBuf,
        /// Why not.
        why: String,
    },
    /// No free port.
    #[error("no free port on 127.0.0.1 from {0} on: end what holds them")]
    NoPort(u16),
    /// Something did not come about in time.
    #[error("{what} did not come about within {waited:?}; the last answer was: {seen}\n{tails}")]
    NotInTime {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// What was seen instead.
        seen: String,
        /// The ends of the logs.
        tails: String,
    },
    /// A process that was waited for ended by itself.
    #[error("{what} ended at once:\n{tail}")]
    Ended {
        /// Which.
        what: String,
        /// The end of its log.
        tail: String,
    },
    /// A step of the tour did not hold.
    #[error("step {number} of the tour ({name}) did not hold: {why}")]
    Step {
        /// Which.
        number: usize,
        /// Its name.
        name: &'static str,
        /// What was seen.
        why: String,
    },
    /// Standard output.
    #[error("cannot write to standard output")]
    Write(#[source] std::io::Error),
}

impl PlaygroundError {
    /// Names what was done to which file.
    pub(super) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
