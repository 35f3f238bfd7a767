//! How much of a processor and of its disk a host may have: by its control group, of version 2 where the kernel has the
//! controller there, else by one of version 1 beside it. Decides on no fault.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::cgroup::{Group, ROOT};
use super::lab::Lab;
use super::tools::{run, write};

/// Microseconds.
const PERIOD: u64 = 100_000;
/// The controllers that are used, by their names in both versions.
const CPU: [&str; 2] = ["cpu", "cpu"];
const DISK: [&str; 2] = ["io", "blkio"];
/// So many looks find everybody: what runs on a host begins few processes at once.
const MOVES: u32 = 100;
/// Synced writes by which a disk is measured.
const PROBES: u32 = 40;

impl Lab {
    /// From now on all of this host may have so many percent of one processor, or all that there is; answers how often
    /// it was held back so far.
    ///
    /// # Errors
    /// When this kernel has no such limit for groups.
    pub fn limit_cpu(&self, name: &str, percent: Option<u32>) -> anyhow::Result<u64> {
        let quota = percent.map(|percent| u64::from(percent) * PERIOD / 100);
        let group = self.limited(name, CPU, ["cpu.max", "cpu.cfs_quota_us"])?;
        match &group {
            Limited::Own(path) => {
                let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
                write(&path.join("cpu.max"), &format!("{quota} {PERIOD}"))?;
            }
            Limited::Beside(path) => {
                write(&path.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
                let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
                write(&path.join("cpu.cfs_quota_us"), &quota)?;
            }
        }
        Ok(held_back(group.path()))
    }

    /// From now on all of this member's host may write to its disk so often a second, or as often as it likes.
    ///
    /// # Errors
    /// When the member has no disk of its own, or this kernel no such limit for groups.
    pub fn limit_writes(&self, name: &str, a_second: Option<u32>) -> anyhow::Result<()> {
        let disk = self.disk(name);
        let device = fs::metadata(&disk).with_context(|| format!("no {}", disk.display()))?.dev();
        let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        match self.limited(name, DISK, ["io.max", WRITES])? {
            Limited::Own(path) => {
                let most = a_second.map_or_else(|| "max".to_owned(), |most| most.to_string());
                write(&path.join("io.max"), &format!("{device} wiops={most}"))
            }
            Limited::Beside(path) => {
                write(&path.join(WRITES), &format!("{device} {}", a_second.unwrap_or(0)))
            }
        }
    }

    /// How long some small synced writes take to this member's disk, of a process on its host.
    ///
    /// # Errors
    /// When they fail.
    pub fn time_writes(&self, name: &str) -> anyhow::Result<(u32, Duration)> {
        let group = self.limited(name, DISK, ["io.max", WRITES])?;
        let door = group.path().join("cgroup.procs").to_string_lossy().into_owned();
        let probe = self.disk(name).join("probe");
        let target = probe.to_string_lossy().into_owned();
        let text = format!(
            r#"echo $$ >"$0" && exec dd if=/dev/zero of="$1" bs=4k count={PROBES} oflag=dsync status=none"#
        );
        let began = Instant::now();
        let done = run(&["sh", "-c", &text, &door, &target]);
        let took = began.elapsed();
        let _ = fs::remove_file(probe);
        done.map(|_| (PROBES, took))
    }

    /// The group of this host that the controller acts on, with everything that runs there in it.
    fn limited(
        &self,
        name: &str,
        controller: [&str; 2],
        files: [&str; 2],
    ) -> anyhow::Result<Limited> {
        let group = &self.host(name)?.group;
        let own = group.path();
        // Asked for from the root of the hierarchy down to the group.
        let parents: Vec<&Path> = own.ancestors().skip(1).take(3).collect();
        for parent in parents.iter().rev() {
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{}", controller[0]));
        }
        if own.join(files[0]).is_file() {
            return Ok(Limited::Own(own.to_owned()));
        }
        let root = first_version(controller[1]);
        let root = root.with_context(|| {
            let [file, other] = files;
            format!("this kernel has no such limit for groups: neither {file} nor {other}")
        })?;
        let prefix = self.directory.file_name().context("a run has a directory")?;
        let beside = root.join(ROOT).join(prefix).join(name);
        fs::create_dir_all(&beside).with_context(|| format!("cannot make {}", beside.display()))?;
        ensure!(beside.join(files[1]).is_file(), "{} has no {}", beside.display(), files[1]);
        limit_all(group, &Group::at(beside.clone()))?;
        Ok(Limited::Beside(beside))
    }
}

/// Moves everything that runs in a group into the other one, and sees that it is there: who was begun meanwhile is
/// found by the next look, and one that has ended needs no limit.
fn limit_all(all: &Group, limited: &Group) -> anyhow::Result<()> {
    let outside = || {
        let there = limited.members();
        let mut members = all.members();
        members.retain(|pid| !there.contains(pid));
        members
    };
    let mut last = Ok(());
    for _ in 0..MOVES {
        let outside = outside();
        if outside.is_empty() {
            return Ok(());
        }
        for pid in outside {
            if let Err(error) = write(&limited.door(), &pid.to_string()) {
                last = Err(error);
            }
        }
    }
    let left = outside();
    last.and_then(|()| bail!("it lets nobody in"))
        .with_context(|| format!("{left:?} are not limited in {}", limited.path().display()))
}

const WRITES: &str = "blkio.throttle.write_iops_device";

enum Limited {
    /// The host's own, of version 2.
    Own(PathBuf),
    /// One of version 1.
    Beside(PathBuf),
}

impl Limited {
    fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Beside(path) => path,
        }
    }
}

fn held_back(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Where version 1 of control groups has this controller.
fn first_version(controller: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found = lines.filter(|fields| {
        let options = fields.get(3).map(|options| options.split(','));
        let has = options.is_some_and(|mut all| all.any(|option| option == controller));
        fields.get(2) == Some(&"cgroup") && has
    });
    found.next().and_then(|fields| fields.get(1).map(PathBuf::from))
}

/// Where runs have groups of version 1.
pub(super) fn roots() -> Vec<PathBuf> {
    let roots = [CPU, DISK].into_iter().filter_map(|[_, old]| first_version(old));
    roots.map(|root| root.join(ROOT)).collect()
}

/// Removes the groups of version 1 of a run, of which nothing runs any more.
///
/// # Errors
/// When somebody is in one.
pub(super) fn remove(prefix: &str) -> anyhow::Result<()> {
    for own in roots().into_iter().map(|root| root.join(prefix)).filter(|own| own.exists()) {
        let tell = || format!("cannot remove {}", own.display());
        for entry in fs::read_dir(&own).with_context(tell)?.flatten() {
            if !entry.path().is_dir() {
                continue;
            }
            // Who was killed a moment ago is in it until somebody has heard of it.
            let gone = (0..100).any(|_| {
                fs::remove_dir(entry.path()).is_ok() || {
                    std::thread::sleep(Duration::from_millis(20));
                    false
                }
            });
            ensure!(gone, "{} has processes still", entry.path().display());
        }
        fs::remove_dir(&own).with_context(tell)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(members: &str) -> (tempfile::TempDir, Group) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.procs"), members).unwrap();
        let group = Group::at(folder.path().to_owned());
        (folder, group)
    }

    #[test]
    fn who_is_not_moved_is_told() {
        let ((_all, all), (_beside, beside)) = (group("12\n17\n"), group("17\n12\n"));
        limit_all(&all, &beside).unwrap();
        // As a file, it holds one number only: somebody is always outside.
        let (_beside, beside) = group("");
        let error = limit_all(&all, &beside).unwrap_err();
        assert!(format!("{error:#}").contains("are not limited in"), "{error:#}");
        // Nobody is left who would need a limit.
        let (_none, none) = group("");
        limit_all(&none, &beside).unwrap();
    }
}
