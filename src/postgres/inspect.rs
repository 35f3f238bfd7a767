//! For `haad check`: what is wrong with the binaries, the data directory and the state directory.
//! Never touches anything.

use std::path::Path;

use super::binaries::server_version;
use super::error::sentence;
use crate::config;

/// What would keep haad from looking after this Postgres, each in a sentence; empty if nothing would.
#[must_use]
pub fn inspect(config: &config::Postgres, state_directory: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    if rustix::process::geteuid().is_root() {
        wrong.push("haad must run as the user who owns the data, not as root".to_owned());
    }
    match server_version(&config.bin_directory) {
        Ok(version) => wrong.extend(data(&config.data_directory, version / 10_000)),
        Err(error) => wrong.push(sentence(&error)),
    }
    for directory in [state_directory, &config.socket_directory, &config.data_directory] {
        wrong.extend(writable(directory));
    }
    wrong
}

fn data(path: &Path, major: u32) -> Option<String> {
    let shown = path.display();
    if let Ok(version) = std::fs::read_to_string(path.join("PG_VERSION")) {
        let version = version.trim();
        return (version != major.to_string()).then(|| {
            format!("the data in {shown} is of PostgreSQL {version}, the binaries are of {major}")
        });
    }
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("cannot read {shown}: {error}")),
        Ok(entries) => entries,
    };
    let occupied = entries.flatten().any(|entry| entry.file_name() != "lost+found");
    occupied.then(|| format!("{shown} is not empty and holds no Postgres (no PG_VERSION)"))
}

/// A directory, or the first of its parents that exists, must be ours to write in; of the data, the
/// parent too, for a clone comes from beside it.
fn writable(directory: &Path) -> Option<String> {
    let existing = directory.ancestors().find(|path| path.exists())?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let denied = rustix::fs::access(existing, access).err()?;
    Some(format!("cannot write in {} for {}: {denied}", existing.display(), directory.display()))
}
