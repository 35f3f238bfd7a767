//! A member's data are harmed: emptied, their control file lost, WAL removed. Only while both others are whole, because
//! nobody promises anything to one who destroys more copies than an acknowledged commit has.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use haa::playground::postgres_of;

use crate::hosts::{Lab, Watch};

use super::kill::serde_word;
use super::{Cure, Wound};

/// What is harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// The agent is stopped, its data directory emptied, and the agent started.
    Emptied,
    /// The control file is zeroed, and the postmaster killed: haa clones nothing over data that it cannot read, so that
    /// an operator empties the directory.
    Control,
    /// All WAL but the newest segment in use is removed, and the postmaster killed.
    Wal,
}

impl Harm {
    pub(super) const DATA: [Self; 2] = [Self::Emptied, Self::Control];
}

/// A stop in order.
const STOP: Duration = Duration::from_secs(30);

pub(super) async fn strike(
    harm: Harm,
    member: &'static str,
    lab: &mut Lab,
    watch: &Watch,
) -> anyhow::Result<Wound> {
    let name = format!("data of {member}: {}", serde_word(&harm));
    if !watch.can_spare(member).await || lab.postmaster(member).is_none() {
        return Ok(Wound::new(name, None, Cure::None));
    }
    let proof = match harm {
        Harm::Emptied => empty(member, lab).await?,
        Harm::Control => {
            let file = lab.data(member).join("global/pg_control");
            fs::write(&file, [0; 8192])
                .with_context(|| format!("cannot write {}", file.display()))?;
            kill(member, lab)
        }
        Harm::Wal => {
            let removed = remove_wal(&lab.data(member))?;
            let killed = kill(member, lab);
            killed.filter(|_| removed > 0).map(|killed| format!("{removed} segments; {killed}"))
        }
    };
    let cure = match harm {
        Harm::Control => Cure::Replace(member),
        Harm::Emptied | Harm::Wal => Cure::Start(member),
    };
    Ok(Wound::new(name, proof, cure))
}

/// As an operator does with data that cannot be read.
pub(super) async fn replace(member: &'static str, lab: &mut Lab) -> anyhow::Result<Option<String>> {
    let control = fs::read(lab.data(member).join("global/pg_control")).unwrap_or_default();
    if !control.is_empty() && control.iter().all(|byte| *byte == 0) {
        empty(member, lab).await?;
    }
    lab.start_member(member).map(|()| None)
}

/// The agent and its Postgres in order; whether both have ended.
pub(super) async fn stop(member: &str, lab: &Lab) -> anyhow::Result<bool> {
    let Some(agent) = lab.agent(member) else { return Ok(true) };
    agent.signal(Signal::TERM)?;
    let ended = tokio::task::spawn_blocking(move || agent.wait_gone(STOP)).await?;
    Ok(ended && postgres_of(&lab.data(member)).is_empty())
}

pub(super) async fn empty(member: &'static str, lab: &mut Lab) -> anyhow::Result<Option<String>> {
    if !stop(member, lab).await? {
        return Ok(None);
    }
    let data = lab.data(member);
    let tell = || format!("cannot empty {}", data.display());
    let mut removed = 0;
    for entry in fs::read_dir(&data).with_context(tell)? {
        let path = entry.with_context(tell)?.path();
        let done = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        done.with_context(tell)?;
        removed += 1;
    }
    lab.start_member(member)?;
    Ok(Some(format!("stopped in order, {removed} entries removed")))
}

fn kill(member: &str, lab: &Lab) -> Option<String> {
    let postmaster = lab.postmaster(member)?;
    postmaster.signal(Signal::KILL).ok()?;
    let gone = postmaster.wait_gone(Duration::from_secs(5));
    gone.then(|| format!("process {} ended", postmaster.pid))
}

/// Leaves the newest segment that was written to: what lies ahead was only made ready.
fn remove_wal(data: &Path) -> anyhow::Result<usize> {
    let folder = data.join("pg_wal");
    let tell = || format!("cannot look into {}", folder.display());
    let mut segments = Vec::new();
    for entry in fs::read_dir(&folder).with_context(tell)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 24 && name.chars().all(|c| c.is_ascii_hexdigit()) {
            let written = entry.metadata().and_then(|found| found.modified());
            segments.push((written.with_context(tell)?, name));
        }
    }
    let Some((_, newest)) = segments.iter().max().cloned() else { return Ok(0) };
    let older = segments.iter().filter(|(_, name)| *name < newest);
    let mut removed = 0;
    for (_, name) in older {
        fs::remove_file(folder.join(name)).with_context(tell)?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_before_the_one_in_use_are_removed() {
        let data = tempfile::tempdir().unwrap();
        let wal = data.path().join("pg_wal");
        fs::create_dir(&wal).unwrap();
        let names = ["000000010000000000000003", "000000010000000000000005", "00000002.history"];
        for name in ["000000010000000000000004"].iter().chain(&names) {
            fs::write(wal.join(name), "").unwrap();
        }
        let later = std::time::SystemTime::now() + Duration::from_secs(5);
        let used = fs::File::options().write(true).open(wal.join("000000010000000000000004"));
        used.unwrap().set_modified(later).unwrap();
        assert_eq!(remove_wal(data.path()).unwrap(), 1);
        assert!(wal.join(names[1]).exists() && wal.join(names[2]).exists());
    }
}
