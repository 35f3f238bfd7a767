//! Where everything of this member's Postgres is. Never touches any of it, but for making the state directory.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use haa_core::units::MemberName;
use tokio::sync::Mutex;

use super::binaries::server_version;
use super::bounds::Bounds;
use super::error::PostgresError;
use super::kept::Known as Slots;
use super::knock::Knocks;
use super::mute;
use super::oldest::Oldest;
use super::parameters::Standing;
use super::probe::Flushes;
use super::proven::Proven;
use super::starved::Waits;
use super::sync::Known;
use super::wished::Wishes;
use crate::config;

/// The configuration with the paths that follow from it.
pub(super) struct Site {
    pub(super) config: config::Postgres,
    pub(super) me: MemberName,
    /// The name of the user that we and Postgres run as, if it has one.
    pub(super) owner: Option<String>,
    /// Of the binaries, as `server_version_num`.
    pub(super) version: u32,
    state: PathBuf,
    /// Even: `primary_conninfo` in our file is what a new session was seen to have. Odd: it was written
    /// and not seen yet. Counts up.
    source_writes: AtomicU64,
    /// Whom commits wait for, as far as it was proven.
    pub(super) sync: Known,
    /// What operators want Postgres to be told.
    pub(super) wishes: Wishes,
    /// What of it Postgres was seen to take.
    pub(super) proven: Proven,
    /// Held by whoever changes the door beside the job slot.
    pub(super) door: Mutex<()>,
    /// How Postgres stands to it.
    pub(super) standing: Standing,
    /// The operator's slots that are kept.
    pub(super) kept: Slots,
    /// What slots hold.
    pub(super) bounds: Bounds,
    /// How long flushes of WAL take.
    pub(super) flush: Flushes,
    /// For how long nobody who began a connection was answered.
    pub(super) knocks: Knocks,
    /// Where the WAL that is there begins.
    pub(super) oldest: Oldest,
    pub(super) waits: Waits,
    /// A standby that lets nobody in.
    pub(super) mute: mute::Known,
    /// WAL is being fetched: what a standby has is not all that it will have.
    fetching: AtomicBool,
    /// Why the archive had nothing new, as it said last.
    archive_said: std::sync::Mutex<String>,
    /// Of the tool at work, in percent; `NO_PROGRESS` when none says.
    progress: AtomicU8,
}

const NO_PROGRESS: u8 = u8::MAX;

impl Site {
    pub(super) fn open(
        mut config: config::Postgres,
        me: MemberName,
        state: PathBuf,
    ) -> Result<Self, PostgresError> {
        let uid = nix::unistd::geteuid();
        if uid.is_root() {
            return Err(PostgresError::Root);
        }
        let owner = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
        let version = server_version(&config.bin_directory)?;
        make_private(&state)
            .map_err(|source| PostgresError::StateDirectory { path: state.clone(), source })?;
        let state = state
            .canonicalize()
            .map_err(|source| PostgresError::StateDirectory { path: state.clone(), source })?;
        config.data_directory = followed(config.data_directory);
        Ok(Self {
            wishes: Wishes::of(&config, &state),
            proven: Proven::of(&state),
            standing: Standing::unknown(),
            door: Mutex::new(()),
            config,
            me,
            owner,
            version,
            state,
            source_writes: AtomicU64::new(0),
            sync: Known::nothing(),
            kept: Slots::default(),
            bounds: Bounds::default(),
            flush: Flushes::nothing(),
            knocks: Knocks::none(),
            oldest: Oldest::unknown(),
            waits: Waits::default(),
            mute: mute::Known::default(),
            fetching: AtomicBool::new(false),
            archive_said: std::sync::Mutex::default(),
            progress: AtomicU8::new(NO_PROGRESS),
        })
    }

    pub(super) fn data(&self) -> &Path {
        &self.config.data_directory
    }

    pub(super) fn pg_wal(&self) -> PathBuf {
        self.data().join("pg_wal")
    }

    /// A file of ours in the state directory.
    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.config.bin_directory.join(name)
    }

    /// Beside the data directory, on the same file system, so that it can take its place by a rename.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.data().file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        self.data().with_file_name(name)
    }

    pub(super) fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// How far the tool at work is, in percent, if it says.
    pub(super) fn progress(&self) -> Option<u8> {
        Some(self.progress.load(Ordering::Relaxed)).filter(|percent| *percent != NO_PROGRESS)
    }

    /// Take it from a line of a tool; any line without one ends it.
    pub(super) fn note_progress(&self, line: &str) {
        self.progress.store(percent(line).unwrap_or(NO_PROGRESS), Ordering::Relaxed);
    }

    /// No tool is at work.
    pub(super) fn no_progress(&self) {
        self.progress.store(NO_PROGRESS, Ordering::Relaxed);
    }

    /// WAL is being fetched, until what this returns is dropped.
    pub(super) fn fetches(&self) -> Fetches<'_> {
        self.fetching.store(true, Ordering::SeqCst);
        Fetches(&self.fetching)
    }

    /// Whether WAL is being fetched: then no position is exact.
    pub(super) fn is_fetching(&self) -> bool {
        self.fetching.load(Ordering::SeqCst)
    }

    /// Why the archive had nothing new: logged when it is another reason.
    pub(super) fn archive_says(&self, why: &str) {
        let mut last = self.archive_said.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != why {
            tracing::info!("the archive has nothing new: {why}");
            why.clone_into(&mut last);
        }
    }

    pub(super) fn source_writes(&self) -> u64 {
        self.source_writes.load(Ordering::SeqCst)
    }

    /// `primary_conninfo` is about to be written: until it was seen, no session proves anything.
    pub(super) fn source_unsettled(&self) {
        self.source_writes.fetch_or(1, Ordering::SeqCst);
    }

    /// A session that was opened after the reload has shown what was written. What sessions that prove it bear.
    pub(super) fn source_settled(&self) -> u64 {
        let settled = (self.source_writes() | 1) + 1;
        self.source_writes.store(settled, Ordering::SeqCst);
        settled
    }
}

/// WAL is being fetched while this lives.
pub(super) struct Fetches<'a>(&'a AtomicBool);

impl Drop for Fetches<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Where a data directory is that is named by a link: data are replaced there, on that file system, and the link
/// stays.
fn followed(path: PathBuf) -> PathBuf {
    let found = path.canonicalize().or_else(|_| {
        // The link leads to a directory that is not there yet.
        let target = std::fs::read_link(&path)?;
        Ok::<PathBuf, io::Error>(path.parent().unwrap_or(Path::new("/")).join(target))
    });
    found.unwrap_or(path)
}

fn make_private(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    let probe = path.join(".writable");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// As pg_basebackup and pg_rewind say it.
fn percent(line: &str) -> Option<u8> {
    let (_, rest) = line.split_once('(')?;
    let (number, _) = rest.split_once("%)")?;
    number.trim().parse::<u8>().ok().map(|percent| percent.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_says_how_far_it_is() {
        for (line, expected) in [
            (" 1234/56789 kB (2%), 0/1 tablespace", Some(2)),
            ("56789/56789 kB (100%), 1/1 tablespace", Some(100)),
            ("   416/39652 kB (1%) copied", Some(1)),
            ("pg_rewind: syncing target data directory", None),
            ("pg_rewind: servers diverged at WAL location 0/3000148 on timeline 1", None),
        ] {
            assert_eq!(percent(line), expected, "{line}");
        }
    }

    #[test]
    fn a_link_is_followed_also_to_what_is_not_there_yet() {
        let folder = tempfile::tempdir().expect("a directory");
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        assert_eq!(followed(target.clone()), target, "no link, and not there");
        std::os::unix::fs::symlink("target", &link).expect("a link");
        assert_eq!(followed(link.clone()), target);
        std::fs::create_dir(&target).expect("made");
        assert_eq!(followed(link), target.canonicalize().expect("it is there"));
    }
}
