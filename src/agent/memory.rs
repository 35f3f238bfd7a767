//! What an agent remembers over its restarts: its lock, its instance, its last leadership. Never the
//! cluster's state.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use haa_core::lease::Leadership;
use haa_core::node::Remembered;
use haa_core::units::Instance;
use serde::{Deserialize, Serialize};

/// In the state directory; locked by the agent that runs with it, for as long as it does.
pub(crate) const LOCK: &str = "agent.lock";

/// What could go wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It cannot be made or used.
    #[error("cannot use the state directory {path}: make it writable for the user that runs haad")]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in it cannot be read or written.
    #[error("cannot read or write {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another haad uses it.
    #[error(
        "another haad is running with the state directory {path}: one agent a member; stop \
         the other, or give this one a directory of its own"
    )]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// A file in it says nothing that we understand.
    #[error("{path} does not hold a number: remove it, and this member counts as a new agent")]
    Unreadable {
        /// Which.
        path: PathBuf,
    },
}

/// The state directory, held by this process alone.
#[derive(Debug)]
pub struct Memory {
    directory: PathBuf,
    instance: Instance,
    boot: String,
    /// Locked for as long as the process lives.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Page {
    boot: String,
    leadership: Option<Remembered>,
}

impl Memory {
    /// Take the directory, making it if needed.
    ///
    /// # Errors
    /// Another agent holds it, or it cannot be used.
    pub fn open(directory: &Path) -> Result<Self, MemoryError> {
        let unusable = |source| MemoryError::Directory { path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable)?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let lock = lock.map_err(unusable)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| MemoryError::Taken { path: directory.to_owned() })?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(unusable)?;
        let instance = read_or_draw(&directory.join("instance"))?;
        Ok(Self { directory: directory.to_owned(), instance, boot, _lock: lock })
    }

    /// Drawn at the first start here.
    #[must_use]
    pub const fn instance(&self) -> Instance {
        self.instance
    }

    /// The last leadership, if the machine has not been booted since: its clock would tell nothing.
    #[must_use]
    pub fn leadership(&self) -> Option<Remembered> {
        let text = fs::read(self.directory.join("leadership.json")).ok()?;
        let page: Page = serde_json::from_slice(&text).ok()?;
        page.leadership.filter(|_| page.boot == self.boot)
    }

    /// Remember this one. A loss costs a needless stop of Postgres at the agent's next start, no more:
    /// it is written by rename and not synced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&self, proof: Option<Leadership>) -> Result<(), MemoryError> {
        let leadership = proof.map(|proof| Remembered { term: proof.term(), until: proof.until() });
        let page = Page { boot: self.boot.clone(), leadership };
        let path = self.directory.join("leadership.json");
        let fresh = self.directory.join("leadership.json.new");
        serde_json::to_vec(&page)
            .map_err(io::Error::other)
            .and_then(|text| fs::write(&fresh, text))
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|source| MemoryError::File { path, source })
    }
}

fn read_or_draw(path: &Path) -> Result<Instance, MemoryError> {
    let wrong = |source| MemoryError::File { path: path.to_owned(), source };
    match fs::read_to_string(path) {
        // A loss of power left it before it was written: nobody was told a number yet.
        Ok(text) if text.is_empty() => draw(path).map_err(wrong),
        Ok(text) => text
            .trim()
            .parse()
            .map(Instance)
            .map_err(|_| MemoryError::Unreadable { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => draw(path).map_err(wrong),
        Err(source) => Err(wrong(source)),
    }
}

/// After a loss of power the file is whole, or not there.
fn draw(path: &Path) -> io::Result<Instance> {
    let drawn: u64 = rand::random();
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{drawn}")?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
    Ok(Instance(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use haa_core::lease::Lease;
    use haa_core::settings::Timing;
    use haa_core::units::{LeaseId, Millis, Term};

    #[test]
    fn a_second_agent_is_refused_and_a_restart_finds_what_was() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = Memory::open(directory.path()).expect("usable");
        let second = Memory::open(directory.path());
        assert!(matches!(second, Err(MemoryError::Taken { .. })));
        let timing = Timing::default();
        let lease = Lease::granted(LeaseId(1), Millis(5), timing.ttl, timing);
        let proof = lease.leadership(Term(3), Millis(6)).expect("fresh");
        first.remember(Some(proof)).expect("written");
        let instance = first.instance();
        drop(first);
        let again = Memory::open(directory.path()).expect("free again");
        assert_eq!(again.instance(), instance);
        let remembered = again.leadership().expect("the same boot");
        assert_eq!((remembered.term, remembered.until), (Term(3), proof.until()));
    }

    #[test]
    fn a_number_that_never_got_to_the_disk_is_drawn_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("instance");
        fs::write(&file, "").expect("written");
        let drawn = Memory::open(directory.path()).expect("usable").instance();
        let kept = fs::read_to_string(&file).expect("text");
        assert_eq!(kept.trim(), drawn.0.to_string());
        fs::write(&file, "seven").expect("written");
        assert!(matches!(Memory::open(directory.path()), Err(MemoryError::Unreadable { .. })));
    }
}
