//! Marks in the state directory about the data that are there now: other data in their place have none. Never says what
//! follows from one.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::files;
use super::process::remove_if_there;
use super::site::Site;

/// A file that names the data directory which it is about by its inode.
#[derive(Clone, Copy)]
pub(super) struct Mark(pub(super) &'static str);

impl Mark {
    pub(super) fn set(self, site: &Site) -> io::Result<()> {
        files::write_private(&site.state(self.0), format!("{}\n", inode(site)?))
    }

    pub(super) fn is_set(self, site: &Site) -> io::Result<bool> {
        match std::fs::read_to_string(site.state(self.0)) {
            Ok(named) => Ok(named.trim() == inode(site)?.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(self, site: &Site) -> io::Result<()> {
        remove_if_there(&site.state(self.0))
    }
}

fn inode(site: &Site) -> io::Result<u64> {
    Ok(std::fs::metadata(site.data())?.ino())
}
