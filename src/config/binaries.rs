//! Where Postgres' programs are. Never runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What haa runs.
pub const PROGRAMS: [&str; 5] =
    ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata"];

/// Where Debian's packages put them, one directory a major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs that are not in this directory.
#[must_use]
pub fn missing_in(directory: &Path) -> Vec<&'static str> {
    PROGRAMS.into_iter().filter(|program| !directory.join(program).is_file()).collect()
}

/// The directory to use: that of the data's own major version, else the newest, else one on `PATH`.
///
/// # Errors
/// Where it looked.
pub(super) fn find(
    data_directory: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Result<PathBuf, String> {
    find_below(Path::new(DEBIAN), data_directory, env)
}

fn find_below(
    debian: &Path,
    data_directory: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Result<PathBuf, String> {
    let has_postgres = |directory: &PathBuf| directory.join("postgres").is_file();
    let major =
        data_directory.and_then(|data| std::fs::read_to_string(data.join("PG_VERSION")).ok());
    if let Some(major) = major {
        let own = debian.join(major.trim()).join("bin");
        if has_postgres(&own) {
            return Ok(own);
        }
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(debian)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| has_postgres(directory))
        .collect();
    versions.sort();
    if let Some((_, newest)) = versions.pop() {
        return Ok(newest);
    }
    let path = env.get("PATH").map_or("", String::as_str);
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .find(has_postgres)
        .ok_or_else(|| format!("{}/*/bin and PATH ({path})", debian.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, version: &str) -> PathBuf {
        let bin = root.join(version).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("postgres"), "").unwrap();
        bin
    }

    #[test]
    fn the_datas_own_version_comes_first_then_the_newest_then_path() {
        let root = tempfile::tempdir().unwrap();
        let debian = root.path().join("debian");
        let path = install(&root.path().join("opt"), "pg");
        let env = BTreeMap::from([("PATH".to_owned(), path.display().to_string())]);
        assert_eq!(find_below(&debian, None, &env).unwrap(), path);
        let refused = find_below(&debian, None, &BTreeMap::new()).unwrap_err();
        assert!(refused.contains("/*/bin and PATH"), "{refused}");

        let nine = install(&debian, "9");
        let seventeen = install(&debian, "17");
        assert_eq!(find_below(&debian, None, &env).unwrap(), seventeen);
        let data = root.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("PG_VERSION"), "9\n").unwrap();
        assert_eq!(find_below(&debian, Some(&data), &env).unwrap(), nine);
    }
}
