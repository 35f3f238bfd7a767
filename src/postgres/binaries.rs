//! The programs of Postgres: where they are and of which version. Never runs one that changes something.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::PostgresError;

/// The programs that haad runs.
pub(super) const PROGRAMS: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "pg_rewind"];

const PARENTS: [&str; 2] = ["/usr/lib/postgresql", "/usr"];

/// The directory with Postgres' programs: of the newest version in `/usr/lib/postgresql/*/bin` or
/// `/usr/pgsql-*/bin`, else the first on `PATH`.
///
/// # Errors
/// When there is none.
pub fn find_binaries() -> Result<PathBuf, PostgresError> {
    let mut found: Vec<(u32, PathBuf)> =
        PARENTS.iter().flat_map(|parent| versions(parent)).collect();
    found.sort();
    if let Some((_, newest)) = found.pop() {
        return Ok(newest);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|directory| complete(directory)).ok_or_else(|| {
        PostgresError::NoBinaries {
            looked: "/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin or PATH".to_owned(),
        }
    })
}

fn versions(parent: &str) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("pgsql-").unwrap_or(&name).parse().ok()?;
            let bin = entry.path().join("bin");
            complete(&bin).then_some((version, bin))
        })
        .collect()
}

fn complete(directory: &Path) -> bool {
    PROGRAMS.iter().all(|program| directory.join(program).is_file())
}

/// `server_version_num` of the programs in `bin`, such as 150018.
///
/// # Errors
/// When `postgres` is not there, does not run or does not say.
pub fn server_version(bin: &Path) -> Result<u32, PostgresError> {
    for program in PROGRAMS.map(|name| bin.join(name)) {
        if !program.is_file() {
            return Err(PostgresError::Binary { program, source: io::ErrorKind::NotFound.into() });
        }
    }
    let program = bin.join("postgres");
    let output = Command::new(&program).arg("--version").output();
    let output = output.map_err(|source| PostgresError::Binary { program, source })?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    version_number(&said).ok_or(PostgresError::Version { said })
}

/// `server_version_num` as people write it: 150018 is 15.18; nothing of it known is `-`.
#[must_use]
pub fn shown_version(number: u32) -> String {
    match number {
        0 => "-".to_owned(),
        _ => format!("{}.{}", number / 10_000, number % 10_000),
    }
}

/// From `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `... 18beta1`.
pub(super) fn version_number(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let major: u32 = parts.next()?.parse().ok()?;
    let minor = if version.contains('.') { parts.next()?.parse().ok()? } else { 0 };
    major.checked_mul(10_000)?.checked_add(minor)
}

#[cfg(test)]
mod tests {
    use super::{shown_version, version_number};

    #[test]
    fn a_version_number_reads_as_postgres_writes_it() {
        assert_eq!(shown_version(150_018), "15.18");
        assert_eq!(shown_version(0), "-");
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            version_number("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(150_018)
        );
        assert_eq!(version_number("postgres (PostgreSQL) 18beta1"), Some(180_000));
        assert_eq!(version_number("mysqld  Ver 8.0"), None);
    }
}
