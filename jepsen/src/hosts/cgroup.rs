//! The control group of a host: everything that runs on it, frozen, thawed and killed together. Never looks at
//! what the processes are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::tools::write;

/// Groups of all runs lie below this one.
pub(super) const ROOT: &str = "haa-jepsen";

/// Longer than the kernel takes to freeze or kill a few dozen processes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes the group of a host.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(unified: &Path, prefix: &str, host: &str) -> anyhow::Result<Self> {
        let path = unified.join(ROOT).join(prefix).join(host);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    /// The group in this directory.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that a process writes its number to, to be in the group.
    #[must_use]
    pub fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Who is in it.
    #[must_use]
    pub fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.door()).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Freezes all of it and waits until the kernel says that it is.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn freeze(&self) -> anyhow::Result<()> {
        write(&self.path.join("cgroup.freeze"), "1")?;
        self.until("frozen 1")
    }

    /// Whether the kernel says that all of it is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let text = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        text.lines().any(|line| line == "frozen 1")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn thaw(&self) -> anyhow::Result<()> {
        write(&self.path.join("cgroup.freeze"), "0")?;
        self.until("frozen 0")
    }

    /// Kills all of it and waits until nobody is left. Whatever is killed while frozen is thawed with it.
    ///
    /// # Errors
    /// When somebody stays.
    pub fn kill(&self) -> anyhow::Result<()> {
        write(&self.path.join("cgroup.kill"), "1")?;
        self.until("populated 0")?;
        write(&self.path.join("cgroup.freeze"), "0")
    }

    /// Removes the empty group.
    ///
    /// # Errors
    /// When somebody is in it.
    pub fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }

    fn until(&self, line: &str) -> anyhow::Result<()> {
        let path = self.path.join("cgroup.events");
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            if text.lines().any(|found| found == line) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "{} does not come to say `{line}`", path.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
