//! How much of a processor a host may have: by its control group, of version 2 where the kernel has `cpu` there, else by
//! one of version 1 beside it. Decides on no fault.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::cgroup::ROOT;
use super::lab::Lab;
use super::tools::write;

/// Microseconds.
const PERIOD: u64 = 100_000;

impl Lab {
    /// From now on all of this host may have so many percent of one processor, or all that there is; answers how often
    /// it was held back so far.
    ///
    /// # Errors
    /// When this kernel has no such limit for groups.
    pub fn limit_cpu(&self, name: &str, percent: Option<u32>) -> anyhow::Result<u64> {
        let group = &self.host(name)?.group;
        let quota = percent.map(|percent| u64::from(percent) * PERIOD / 100);
        let own = group.path();
        if has_cpu(own) {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            write(&own.join("cpu.max"), &format!("{quota} {PERIOD}"))?;
            return Ok(held_back(own));
        }
        let other = self.cpu_group(name)?;
        write(&other.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
        let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
        write(&other.join("cpu.cfs_quota_us"), &quota)?;
        for pid in group.members() {
            // One that has ended meanwhile needs no limit; children are in their parent's group.
            let _ = fs::write(other.join("cgroup.procs"), pid.to_string());
        }
        Ok(held_back(&other))
    }

    fn cpu_group(&self, name: &str) -> anyhow::Result<PathBuf> {
        let root = first_version().context(
            "this kernel limits no group's processor time: neither cpu.max nor cpu.cfs_quota_us is to be had",
        )?;
        let prefix = self.directory.file_name().context("a run has a directory")?;
        let group = root.join(ROOT).join(prefix).join(name);
        fs::create_dir_all(&group).with_context(|| format!("cannot make {}", group.display()))?;
        ensure!(
            group.join("cpu.cfs_quota_us").is_file(),
            "{} has no limit of processor time",
            group.display()
        );
        Ok(group)
    }
}

/// Asks for the controller from the root of the hierarchy down to the group.
fn has_cpu(group: &Path) -> bool {
    let parents: Vec<&Path> = group.ancestors().skip(1).take(3).collect();
    for parent in parents.iter().rev() {
        let _ = fs::write(parent.join("cgroup.subtree_control"), "+cpu");
    }
    group.join("cpu.max").is_file()
}

fn held_back(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Where version 1 of control groups has `cpu`.
pub(super) fn first_version() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found = lines.filter(|fields| {
        let options = fields.get(3).map(|options| options.split(','));
        fields.get(2) == Some(&"cgroup") && options.is_some_and(|mut all| all.any(|o| o == "cpu"))
    });
    found.next().and_then(|fields| fields.get(1).map(PathBuf::from))
}

/// Removes the groups of version 1 of a run, of which nothing runs any more.
///
/// # Errors
/// When somebody is in one.
pub(super) fn remove(prefix: &str) -> anyhow::Result<()> {
    let Some(own) = first_version().map(|root| root.join(ROOT).join(prefix)) else {
        return Ok(());
    };
    if !own.exists() {
        return Ok(());
    }
    let tell = |path: &Path| format!("cannot remove {}", path.display());
    for entry in fs::read_dir(&own).with_context(|| tell(&own))?.flatten() {
        if entry.path().is_dir() {
            fs::remove_dir(entry.path()).with_context(|| tell(&entry.path()))?;
        }
    }
    fs::remove_dir(&own).with_context(|| tell(&own))
}
