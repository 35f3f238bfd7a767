//! The shim before a member's fsync: built for a run that asks for it, and told what to do through a page that it
//! shares. Decides on no fault.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::lab::Lab;
use super::tools::{needed, run, write};

const SOURCE: &str = include_str!("fsync.c");
/// In the order of the shim's page.
const WORDS: usize = 5;

/// What becomes of an fsync on a member's data disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fsync {
    /// Microseconds until it is done.
    pub late_us: u64,
    /// The number of the error that is answered; 0 is none.
    pub error: u64,
    /// It says that it was done, and was not.
    pub lies: bool,
}

/// Builds the library into this directory.
///
/// # Errors
/// When there is no C compiler, or it refuses.
pub(super) fn build(directory: &Path) -> anyhow::Result<()> {
    needed("cc", "gcc and libc6-dev")?;
    let (source, library) = (directory.join("fsync.c"), library(directory));
    write(&source, SOURCE)?;
    let (source, library) = (source.to_string_lossy(), library.to_string_lossy());
    run(&["cc", "-shared", "-fPIC", "-O2", "-o", &library, &source, "-ldl"])
        .context("the shim before fsync cannot be built")
        .map(drop)
}

pub(super) fn library(directory: &Path) -> PathBuf {
    directory.join("fsync.so")
}

/// A page that lets everything pass.
pub(super) fn empty() -> String {
    "\0".repeat(WORDS * 8)
}

impl Lab {
    /// From now on fsync on this member's data disk behaves so.
    ///
    /// # Errors
    /// When the run has no shim or no disk of the member's own.
    pub fn set_fsync(&self, name: &str, fsync: Fsync) -> anyhow::Result<()> {
        let disk = self.disk(name);
        let device = fs::metadata(&disk).with_context(|| format!("no {}", disk.display()))?.dev();
        let words = [device, fsync.late_us, fsync.error, u64::from(fsync.lies)];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let page = self.fsync_page(name);
        let tell = || format!("cannot write {}: the run was made without it", page.display());
        let file = OpenOptions::new().write(true).open(&page).with_context(tell)?;
        file.write_all_at(&bytes, 0).with_context(tell)
    }

    /// How many it has met since the run began.
    #[must_use]
    pub fn fsyncs_met(&self, name: &str) -> u64 {
        let bytes = fs::read(self.fsync_page(name)).unwrap_or_default();
        let last = bytes.chunks_exact(8).nth(WORDS - 1).and_then(|word| word.try_into().ok());
        last.map_or(0, u64::from_ne_bytes)
    }

    fn fsync_page(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("fsync")
    }
}
