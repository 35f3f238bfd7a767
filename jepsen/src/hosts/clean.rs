//! Removes what runs made: processes, groups, namespaces, mounts, directories; its own marks tell them. Never touches
//! what a living run owns.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};

use super::cgroup::{Group, ROOT};
use super::limits;
use super::net::MARK;
use super::tools::{Tools, run};

/// Locks a run's directory for as long as we live.
///
/// # Errors
/// When somebody else has it.
pub fn own(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join("owner");
    let tell = || format!("cannot lock {}", path.display());
    let file = File::create(&path).with_context(tell)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).with_context(tell)?;
    Ok(file)
}

/// What was found and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Runs of which nothing is left.
    pub removed: Vec<String>,
    /// Runs that live, and were left alone.
    pub living: Vec<String>,
}

/// Removes whatever dead runs left.
///
/// # Errors
/// When something cannot be removed.
pub fn all() -> anyhow::Result<Cleaned> {
    let tools = Tools::find()?;
    let mut prefixes: BTreeSet<String> = BTreeSet::new();
    let places = [std::env::temp_dir(), PathBuf::from("/run/netns"), tools.cgroups.join(ROOT)];
    for place in places.into_iter().chain(limits::roots()) {
        for name in entries(&place) {
            let prefix: String = name.chars().take(MARK.len() + 4).collect();
            let digits = prefix.strip_prefix(MARK).unwrap_or_default();
            if digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
                prefixes.insert(prefix);
            }
        }
    }
    let mut cleaned = Cleaned::default();
    for prefix in prefixes {
        if lives(&std::env::temp_dir().join(&prefix)) {
            cleaned.living.push(prefix);
        } else {
            remove(&prefix)?;
            cleaned.removed.push(prefix);
        }
    }
    for root in [tools.cgroups.join(ROOT)].into_iter().chain(limits::roots()) {
        let _ = fs::remove_dir(root);
    }
    Ok(cleaned)
}

fn lives(directory: &Path) -> bool {
    let Ok(file) = File::open(directory.join("owner")) else { return false };
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// Removes all of one run, whoever owns it.
///
/// # Errors
/// When something cannot be removed; what can be is.
pub fn remove(prefix: &str) -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let mut failures = Vec::new();
    let mut note = |done: anyhow::Result<()>| {
        if let Err(error) = done {
            failures.push(format!("{error:#}"));
        }
    };
    let directory = std::env::temp_dir().join(prefix);
    for mount in mounts_below(&directory) {
        // Whoever waits for a frozen disk cannot be killed. Most are not frozen.
        let _ = run(&["fsfreeze", "--unfreeze", &mount]);
    }
    let groups = tools.cgroups.join(ROOT).join(prefix);
    for host in entries(&groups).into_iter().filter(|name| groups.join(name).is_dir()) {
        let group = Group::at(groups.join(host));
        note(group.kill().and_then(|()| group.remove()));
    }
    if groups.exists() {
        note(Group::at(groups).remove());
    }
    note(limits::remove(prefix));
    for space in entries(Path::new("/run/netns")).iter().filter(|name| name.starts_with(prefix)) {
        note(run(&["ip", "netns", "delete", space]).map(drop));
    }
    forget_fakes(&directory);
    for mount in mounts_below(&directory) {
        note(run(&["umount", &mount]).map(drop));
    }
    if directory.exists() {
        let tell = || format!("cannot remove {}", directory.display());
        note(fs::remove_dir_all(&directory).with_context(tell));
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("of run {prefix} something stays; ask `haa-jepsen clean` again: {}", failures.join("; "))
}

/// libfaketime leaves two files in shared memory for each process that is killed.
const FAKES: &str = "faketime.pids";

/// Notes a process that reads its clock through libfaketime.
///
/// # Errors
/// When the note cannot be written.
pub fn remember_fake(directory: &Path, pid: i32) -> anyhow::Result<()> {
    let path = directory.join(FAKES);
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    text.push_str(&format!("{pid}\n"));
    super::tools::write(&path, &text)
}

fn forget_fakes(directory: &Path) {
    let text = fs::read_to_string(directory.join(FAKES)).unwrap_or_default();
    for pid in text.lines().filter(|line| line.chars().all(|c| c.is_ascii_digit())) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = fs::remove_file(format!("/dev/shm/{name}{pid}"));
        }
    }
}

/// Fails if anything of a run is still there.
///
/// # Errors
/// Names what it is.
pub fn gone(prefix: &str) -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join(prefix);
    let space = |name: &String| name.starts_with(prefix);
    match (directory.exists(), entries(Path::new("/run/netns")).iter().any(space)) {
        (false, false) => Ok(()),
        _ => remove(prefix),
    }
}

/// The last mounted first.
fn mounts_below(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let places = text.lines().filter_map(|line| line.split(' ').nth(1));
    let below = places.filter(|place| Path::new(place).starts_with(directory));
    let mut below: Vec<String> = below.map(str::to_owned).collect();
    below.reverse();
    below
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
