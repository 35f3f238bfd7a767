//! The files of a run's hosts: programs, disks, secrets, configurations, and the logs that are kept. Starts nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::lab::Lab;
use super::plan::{MEMBERS, Plan, System};
use super::tools::{Tools, write};
use super::{etcd, fsync, patroni, shipped};

/// What is worth keeping of a host.
const KEPT: [&str; 7] = [
    "log",
    "state/journal.jsonl",
    "state/postgres.log",
    "disk/state/journal.jsonl",
    "disk/state/postgres.log",
    "haad.toml",
    "patroni.yml",
];

impl Lab {
    /// Configurations and secrets of all members.
    pub(super) fn write_members(&self) -> anyhow::Result<()> {
        let secrets = shipped::SECRETS.map(|name| match name {
            "token" => (name, self.token.clone()),
            _ => (name, secret()),
        });
        let endpoints: Vec<String> =
            self.etcds().iter().map(|host| etcd::endpoint(host.address)).collect();
        for name in MEMBERS {
            let host = self.host(name)?.clone();
            self.private(&host.home.join("secrets"), None)?;
            self.private(&host.home.join("disk"), None)?;
            self.mount(&host)?;
            self.private(&host.home.join("clock"), Some("+0\n"))?;
            if self.plan.fsync {
                self.private(&host.home.join("fsync"), Some(&fsync::empty()))?;
            }
            for (file, text) in &secrets {
                self.private(&host.home.join("secrets").join(file), Some(&format!("{text}\n")))?;
            }
            let (file, text) = match self.plan.system {
                System::Haa => {
                    let text = shipped::config(&self.plan, &self.tools, &host, &endpoints)?;
                    ("haad.toml", text)
                }
                System::Patroni => {
                    let text =
                        patroni::config(&self.plan, &self.tools, &host, &endpoints, &secrets)?;
                    ("patroni.yml", text)
                }
            };
            self.private(&host.home.join(file), Some(&text))?;
        }
        Ok(())
    }

    /// A directory, or a file with this text, that only the servers' user may use.
    fn private(&self, path: &Path, text: Option<&str>) -> anyhow::Result<()> {
        let (uid, gid) = self.tools.user;
        match text {
            Some(text) => write(path, text)?,
            None => fs::create_dir(path)?,
        }
        let mode = if text.is_some() { 0o600 } else { 0o700 };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        chown(path, Some(uid), Some(gid))
            .with_context(|| format!("cannot hand over {}", path.display()))
    }

    /// What the servers on this host said last.
    #[must_use]
    pub fn tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read_to_string(self.directory.join(name).join("log")).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Copies what the servers said, Postgres' own logs and the agents' journals into a directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_logs(&self, to: &Path) -> anyhow::Result<()> {
        let tell = || format!("the logs cannot be kept in {}", to.display());
        fs::create_dir_all(to).with_context(tell)?;
        for name in self.names() {
            let home = self.directory.join(name);
            for file in KEPT {
                let from = home.join(file);
                if from.is_file() {
                    let flat = format!("{name}.{}", file.replace('/', "."));
                    fs::copy(&from, to.join(flat)).with_context(tell)?;
                }
            }
        }
        Ok(())
    }
}

/// The program where the servers' user can reach it: a copy in our directory.
pub(super) fn reachable(plan: &Plan, tools: &Tools, directory: &Path) -> anyhow::Result<PathBuf> {
    if plan.system == System::Patroni {
        return patroni::reachable(tools, &plan.program);
    }
    let copy = directory.join("haad");
    copied(&plan.program, &copy).map(|()| copy)
}

/// Copies a haad to where the servers' user can run it.
pub(super) fn copied(program: &Path, to: &Path) -> anyhow::Result<()> {
    let tell = || {
        let asked = program.display();
        format!(
            "there is no haad at {asked}: build it with `make build`, or name its directory with --bin-dir"
        )
    };
    fs::copy(program, to).with_context(tell)?;
    fs::set_permissions(to, Permissions::from_mode(0o755))?;
    Ok(())
}

pub(super) fn secret() -> String {
    format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>())
}
