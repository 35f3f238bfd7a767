//! Where the programs are that a playground runs, and as whom they run. Looks only; installs nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::PlaygroundError;
use super::process::User;

/// etcd, from the search path.
///
/// # Errors
/// When it is missing.
pub fn etcd() -> Result<PathBuf, PlaygroundError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let places = std::env::split_paths(&path).chain(usual);
    places.map(|folder| folder.join("etcd")).find(|program| program.is_file()).ok_or(
        PlaygroundError::Missing {
            program: "etcd",
            looked: "on the search path".to_owned(),
            remedy: "run `make install-deps`, or install etcd (Debian: etcd-server)",
        },
    )
}

/// The directory of the newest Postgres.
///
/// # Errors
/// When none is complete.
pub fn postgres() -> Result<PathBuf, PlaygroundError> {
    let root = Path::new("/usr/lib/postgresql");
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let debian = versions.max().map(|newest| root.join(newest.to_string()).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = debian.into_iter().chain(std::env::split_paths(&path));
    let complete = |folder: &PathBuf| {
        ["postgres", "initdb", "pg_basebackup", "pg_rewind"]
            .iter()
            .all(|p| folder.join(p).is_file())
    };
    places.into_iter().find(complete).ok_or(PlaygroundError::Missing {
        program: "postgres",
        looked: "in /usr/lib/postgresql and on the search path".to_owned(),
        remedy: "run `make install-deps`, or install PostgreSQL (Debian: postgresql)",
    })
}

/// Root's playground runs as `postgres`, because Postgres refuses root; anybody else's as themselves.
///
/// # Errors
/// When root has no such user.
pub fn user() -> Result<Option<User>, PlaygroundError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let ours = fields.first() == Some(&"postgres");
        ours.then(|| {
            Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
        })
    });
    found.flatten().map(Some).ok_or(PlaygroundError::Missing {
        program: "the user postgres",
        looked: "in /etc/passwd".to_owned(),
        remedy: "run `make install-deps`, or install PostgreSQL (Debian: postgresql)",
    })
}

/// The agent's program, by its whole path.
pub(super) fn found(haad: &Path) -> Result<PathBuf, PlaygroundError> {
    haad.canonicalize().map_err(|_| PlaygroundError::Missing {
        program: "haad",
        looked: format!("at {}", haad.display()),
        remedy: "build it with `make build`, or name it with --haad FILE",
    })
}

/// A path of the program that `user` can execute: its own, or a copy in the playground.
pub(super) fn reachable(
    program: &Path,
    user: Option<User>,
    directory: &Path,
) -> Result<PathBuf, PlaygroundError> {
    let passable = |path: &Path| {
        let mode = fs::metadata(path).map(|found| found.mode()).unwrap_or_default();
        mode & 0o005 == 0o005 || (path != program && mode & 0o001 == 0o001)
    };
    if user.is_none() || program.ancestors().all(passable) {
        return Ok(program.to_owned());
    }
    let copy = directory.join("haad");
    fs::copy(program, &copy)
        .and_then(|_| fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)))
        .map_err(PlaygroundError::file("copy haad to", &copy))?;
    Ok(copy)
}
