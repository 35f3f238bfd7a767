//! What this machine must have before anything is made on it, and commands run to their end. Installs nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use haa::playground::programs;

/// Where the programs are, and as whom the servers run.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The directory of postgres, initdb and the like.
    pub postgres: PathBuf,
    /// etcd's server.
    pub etcd: PathBuf,
    /// Where the unified hierarchy of control groups is mounted.
    pub cgroups: PathBuf,
    /// The user and group `postgres`.
    pub user: (u32, u32),
}

/// Programs that every run needs, with the Debian package of each.
const NEEDED: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("unshare", "util-linux"),
];

impl Tools {
    /// Looks for everything.
    ///
    /// # Errors
    /// When we are not root or something is missing; the sentence says what to do.
    pub fn find() -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "haa-jepsen makes network namespaces and freezes whole hosts, which needs root: run it with sudo, \
             on a machine where that may be done"
        );
        for (program, package) in NEEDED {
            needed(program, package)?;
        }
        let user = programs::user()?.context("root's servers run as the user postgres")?;
        Ok(Self {
            postgres: programs::postgres()?,
            etcd: programs::etcd()?,
            cgroups: unified()?,
            user: (user.uid, user.gid),
        })
    }
}

/// Refuses when a program is not on the search path.
///
/// # Errors
/// Names the Debian package that has it.
pub fn needed(program: &str, package: &str) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    let there = |folder: PathBuf| folder.join(program).is_file();
    let found = std::env::split_paths(&path).chain(usual).any(there);
    ensure!(found, "{program} is missing: run deploy/install-deps.sh tests, or install {package}");
    Ok(())
}

/// Where version 2 of control groups is mounted, alone or beside version 1.
fn unified() -> anyhow::Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2) == Some(&"cgroup2"));
    let place = found.and_then(|fields| fields.get(1).map(PathBuf::from));
    place.context(
        "control groups of version 2 are not mounted, and without them no host can be frozen or killed as a \
         whole: mount -t cgroup2 none /sys/fs/cgroup",
    )
}

/// Runs a command to its end and answers what it printed.
///
/// # Errors
/// When it cannot be started or fails, with its own words.
pub fn run(words: &[&str]) -> anyhow::Result<String> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let said = text(&output.stderr);
        bail!("`{}` failed ({}): {said}", words.join(" "), output.status);
    }
    Ok(text(&output.stdout))
}

/// Writes a file whose directory is there.
///
/// # Errors
/// Names the file.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
