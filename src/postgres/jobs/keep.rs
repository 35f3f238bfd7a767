//! Putting new data in the place of old, and keeping the old where there is room. Never removes a directory that
//! haad did not name, and never the newest of those.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::postgres::error::JobError;
use crate::postgres::files::{self, sync_parent};
use crate::postgres::room::{self, is_mount_point};
use crate::postgres::site::Site;

/// Seconds since 1970, for names that people read.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn unix_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Where data go that are replaced now.
pub(super) fn aside(site: &Site) -> Result<PathBuf, JobError> {
    let data = site.data();
    unused(data, OLD).map_err(JobError::file("find what was moved aside beside", data))
}

/// A name by the present time that nothing has: later than all that are there, so that they can be told apart after two
/// in one second, and after the clock was put back.
pub(super) fn unused(beside: &Path, suffix: &str) -> io::Result<PathBuf> {
    let next = named(beside, suffix)?.last().map_or(0, |(newest, _)| newest.saturating_add(1));
    let mut name = beside.file_name().unwrap_or_default().to_owned();
    name.push(format!("{suffix}{}", next.max(unix_time().into())));
    Ok(beside.with_file_name(name))
}

/// A directory beside the data, removed when it goes out of scope without having taken the data's place.
pub(super) struct Scaffold {
    path: PathBuf,
    /// What its name begins with when it is to be removed.
    gone: PathBuf,
    placed: Option<()>,
}

impl Scaffold {
    /// Removes what an earlier attempt left.
    ///
    /// # Errors
    /// When it could not take the data's place in the end: that is said before anything is copied.
    pub(super) async fn new(site: &Site, suffix: &str) -> Result<Self, JobError> {
        if is_mount_point(site.data()) {
            return Err(JobError::Refused(format!(
                "{} is a mount point, so no new data can be put in its place: set \
                 postgres.data_directory in haad.toml to a directory in it",
                site.data().display()
            )));
        }
        let path = site.beside(suffix);
        let (stale, data) = (super::SCAFFOLDS.map(|any| site.beside(any)), site.data().to_owned());
        let removed = files::apart(move || {
            stale.iter().try_for_each(|stale| remove(stale))?;
            named(&data, GONE)?.iter().try_for_each(|(_, gone)| remove(gone))
        });
        removed.await.map_err(JobError::file("remove what is left of", &path))?;
        Ok(Self { path, gone: site.beside(GONE), placed: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what is in it, and itself.
    pub(super) async fn clear(&self) -> Result<(), JobError> {
        let path = self.path.clone();
        let removed = files::apart(move || remove(&path)).await;
        removed.map_err(JobError::file("remove what is left of", &self.path))
    }

    /// Takes the place of the data directory. What is there is moved to `aside`, or removed if it is empty.
    /// Returns where it went.
    pub(super) fn place(
        mut self,
        site: &Site,
        aside: PathBuf,
    ) -> Result<Option<PathBuf>, JobError> {
        let data = site.data();
        let aside = match std::fs::remove_dir(data) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => {
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
    /// Whoever gives a clone up is in a hurry: its place is free at once, and a thread of its own removes it.
    fn drop(&mut self) {
        if self.placed.is_some() || !self.path.exists() {
            return;
        }
        let mut gone = self.gone.clone().into_os_string();
        gone.push(unix_nanos().to_string());
        let gone = PathBuf::from(gone);
        if let Err(error) = std::fs::rename(&self.path, &gone) {
            tracing::warn!(%error, "cannot move {} away", self.path.display());
            return;
        }
        let removal = std::thread::Builder::new().name("removal".to_owned()).spawn(move || {
            if let Err(error) = remove(&gone) {
                tracing::warn!(%error, "cannot remove {}", gone.display());
            }
        });
        if let Err(error) = removal {
            tracing::warn!(%error, "no thread to remove a half copy; the next clone will");
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
const GONE: &str = ".gone-";

/// Removes data directories that were moved aside earlier, the oldest first, while a copy of the data, which takes at
/// least so many bytes, would not fit. Never the newest.
pub(super) async fn make_room(site: &Site, bytes: u64) {
    let data = site.data().to_owned();
    if let Err(error) = files::apart(move || make_room_beside(&data, bytes, room::free)).await {
        tracing::warn!(%error, "data that was moved aside cannot be removed");
    }
}

fn make_room_beside(
    data: &Path,
    bytes: u64,
    free: impl Fn(&Path) -> io::Result<u64>,
) -> io::Result<()> {
    let Some(parent) = data.parent() else { return Ok(()) };
    let mut aside = named(data, OLD)?;
    let Some((_, newest)) = aside.pop() else { return Ok(()) };
    if aside.is_empty() {
        return Ok(());
    }
    let needed = room::taken(data)?.max(room::taken(&newest)?).max(bytes);
    for (_, path) in aside {
        if free(parent)? >= needed {
            break;
        }
        tracing::warn!(
            "no room for a copy: removing {}, the data of an earlier life",
            path.display()
        );
        remove(&path)?;
    }
    Ok(())
}

/// What lies beside the data under its name, `suffix` and a time: the oldest first.
fn named(data: &Path, suffix: &str) -> io::Result<Vec<(u128, PathBuf)>> {
    let Some(parent) = data.parent() else { return Ok(Vec::new()) };
    let prefix = format!("{}{suffix}", data.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let time = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if let Some(time) = time.and_then(|time| time.parse().ok()) {
            found.push((time, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_aside_in_the_same_second_has_another_name_and_a_later_one() {
        let folder = tempfile::tempdir().expect("a directory");
        let data = folder.path().join("data");
        let first = unused(&data, OLD).expect("readable");
        std::fs::create_dir(&first).expect("made");
        let second = unused(&data, OLD).expect("readable");
        assert!(!second.exists());
        std::fs::create_dir(&second).expect("made");
        // The clock was ahead.
        std::fs::create_dir(folder.path().join("data.old-9999999999")).expect("made");
        let third = unused(&data, OLD).expect("readable");
        assert_eq!(third, folder.path().join("data.old-10000000000"));
        let sorted: Vec<PathBuf> =
            named(&data, OLD).expect("readable").into_iter().map(|(_, path)| path).collect();
        assert_eq!(sorted[..2], [first, second]);
    }

    #[test]
    fn what_was_moved_aside_goes_only_for_want_of_room_and_the_newest_never() {
        let folder = tempfile::tempdir().expect("a directory");
        let data = folder.path().join("data");
        let there = |name: &str| folder.path().join(name).exists();
        let others =
            ["data.old-30", "data.old-200", "data.old-1000", "data.old-mine", "other.old-1"];
        for name in others.into_iter().chain(["data"]) {
            std::fs::create_dir(folder.path().join(name)).expect("made");
            std::fs::write(folder.path().join(name).join("file"), vec![1; 100_000])
                .expect("written");
        }
        make_room_beside(&data, 0, |_| Ok(1 << 30)).expect("nothing to do");
        assert!(others.into_iter().all(there), "there was room");
        // Room for one comes with the first that goes.
        let free = |_: &Path| Ok(if there("data.old-30") { 0 } else { 1 << 30 });
        make_room_beside(&data, 0, free).expect("it removes");
        assert!(
            !there("data.old-30") && there("data.old-200"),
            "the oldest, and no more than needed"
        );
        make_room_beside(&data, 0, |_| Ok(0)).expect("it removes");
        assert!(!there("data.old-200"));
        assert!(there("data.old-1000"), "the newest stays, whatever the room");
        assert!(there("data") && there("data.old-mine") && there("other.old-1"), "none of ours");
    }
}
