//! What the file system says of a directory: how much room, how large, whether it is mounted, what of it lies
//! elsewhere. Only looks.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use haa_core::observe::Room;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statvfs, statx};

/// Whether something is mounted on exactly this directory: it can be neither moved nor replaced. What is not there,
/// or cannot be looked at, is not.
#[must_use]
pub fn is_mount_point(path: &Path) -> bool {
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Bytes that are free for us on the file system of this directory.
///
/// # Errors
/// It cannot be looked at.
pub fn free(path: &Path) -> io::Result<u64> {
    let found = statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// With less than this, tables cannot grow.
const NONE: u64 = 1 << 20;
/// More than this is enough, however large the whole is; so is a twentieth.
const ENOUGH: u64 = 1 << 30;

/// What the last look found.
#[derive(Debug, Default)]
pub(super) struct Watched {
    last: Room,
}

impl Watched {
    /// What is left for tables, of these data or of a tablespace. What cannot be looked at does not count. Logged when
    /// it is nothing, and when that is over.
    pub(super) fn look(&mut self, data: &Path) -> Room {
        let spaces = std::fs::read_dir(data.join("pg_tblspc")).into_iter().flatten().flatten();
        let places = spaces.map(|space| space.path()).chain([data.to_owned()]);
        let room = |place: &Path| left(free(place).ok()?, size(place).ok()?);
        let least = places.filter_map(|place| Some((room(&place)?, place))).min();
        let now = least.as_ref().map_or(Room::Unknown, |(room, _)| *room);
        match (least, self.last) {
            (Some((Room::None, place)), last) if last != Room::None => {
                tracing::error!("the disk of {} is full: tables cannot grow", place.display());
            }
            (Some((Room::Little | Room::Enough, _)), Room::None) => {
                tracing::info!("the disk of {} has room again", data.display());
            }
            (Some(_) | None, _) => {}
        }
        self.last = now;
        now
    }
}

/// Of so many bytes free, of so many; `None` for a file system that tells no size.
const fn left(free: u64, size: u64) -> Option<Room> {
    match free {
        _ if size == 0 => None,
        ..NONE => Some(Room::None),
        _ if free >= ENOUGH || free.saturating_mul(20) >= size => Some(Room::Enough),
        _ => Some(Room::Little),
    }
}

/// Bytes of the whole file system of this directory.
///
/// # Errors
/// It cannot be looked at.
pub fn size(path: &Path) -> io::Result<u64> {
    let found = statvfs(path)?;
    Ok(found.f_blocks.saturating_mul(found.f_frsize))
}

/// Bytes that this directory takes, and all that is in it; nothing if it is not there. Follows no link.
pub(super) fn taken(path: &Path) -> io::Result<u64> {
    let found = match std::fs::symlink_metadata(path) {
        // Postgres removes files while we look.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    let mut bytes = found.blocks() * 512;
    if found.is_dir() {
        for entry in std::fs::read_dir(path)? {
            bytes += taken(&entry?.path())?;
        }
    }
    Ok(bytes)
}

/// Where the WAL of these data lies, when `pg_wal` is a link.
#[must_use]
pub fn wal_elsewhere(data: &Path) -> Option<PathBuf> {
    std::fs::read_link(data.join("pg_wal")).ok()
}

/// How many tablespaces these data have beside their own, if any.
#[must_use]
pub fn tablespaces(data: &Path) -> Option<usize> {
    let count = std::fs::read_dir(data.join("pg_tblspc")).ok()?.count();
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_of_the_data_is_seen() {
        let folder = tempfile::tempdir().expect("a directory");
        let data = folder.path();
        assert_eq!((wal_elsewhere(data), tablespaces(data)), (None, None), "nothing is there");
        std::fs::create_dir(data.join("pg_tblspc")).expect("made");
        std::fs::create_dir(data.join("pg_wal")).expect("made");
        assert_eq!((wal_elsewhere(data), tablespaces(data)), (None, None));
        std::fs::remove_dir(data.join("pg_wal")).expect("removed");
        std::os::unix::fs::symlink("/wal", data.join("pg_wal")).expect("a link");
        std::os::unix::fs::symlink("/more", data.join("pg_tblspc/16385")).expect("a link");
        assert_eq!((wal_elsewhere(data), tablespaces(data)), (Some("/wal".into()), Some(1)));
    }

    #[test]
    fn a_directory_is_as_large_as_what_is_in_it() {
        let folder = tempfile::tempdir().expect("a directory");
        assert!(taken(folder.path()).expect("it is there") < 100_000);
        std::fs::create_dir(folder.path().join("sub")).expect("made");
        std::fs::write(folder.path().join("sub/file"), vec![1; 200_000]).expect("written");
        assert!(taken(folder.path()).expect("it is there") >= 200_000);
        assert_eq!(taken(&folder.path().join("nothing")).expect("no error"), 0);
        assert!(free(folder.path()).expect("there is a file system") > 0);
    }

    #[test]
    fn room_is_what_is_left_of_the_whole() {
        let (mega, giga) = (1 << 20, 1 << 30);
        assert_eq!(left(0, 0), None, "it tells nothing");
        assert_eq!(left(mega - 1, 100 * giga), Some(Room::None));
        assert_eq!(left(mega, 100 * giga), Some(Room::Little));
        assert_eq!(left(giga, 100 * giga), Some(Room::Enough));
        assert_eq!(left(20 * mega, 400 * mega), Some(Room::Enough), "a twentieth");
    }

    #[test]
    fn only_a_mount_point_is_one() {
        let folder = tempfile::tempdir().expect("a directory");
        assert!(!is_mount_point(folder.path()));
        assert!(!is_mount_point(&folder.path().join("nothing")));
        assert!(is_mount_point(Path::new("/proc")));
    }
}
