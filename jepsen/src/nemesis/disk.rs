//! The disk that a member's data are on, a small file system of its own: full, it hangs, or it is slow.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::hosts::Lab;
use crate::hosts::stat::{Stat, WAITS_FOR_A_DISK};
use crate::hosts::tools::run;

use super::kill::serde_word;
use super::{Cure, Wound};

/// What happens to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// Nothing more fits.
    Full,
    /// Whoever writes to it waits.
    Hang,
    /// It takes few writes a second from the member's host. What the kernel writes back later for no one in particular
    /// is not held back.
    Slow,
}

impl Harm {
    pub(super) const ALL: [Self; 3] = [Self::Full, Self::Hang, Self::Slow];
}

/// What a slow disk takes.
const WRITES_A_SECOND: u32 = 20;

/// Postgres may give back what it held meanwhile: then there is a little room again.
const FILLS: usize = 5;
/// A process that writes comes to wait at once.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn strike(harm: Harm, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let name = format!("disk {} of {member}", serde_word(&harm));
    let disk = lab.disk(member);
    match harm {
        Harm::Full => Ok(Wound::new(name, fill(&disk), Cure::Room(member))),
        Harm::Hang => {
            let place = disk.to_string_lossy().into_owned();
            run(&["fsfreeze", "--freeze", &place])?;
            let waits = write_that_waits(&disk)?;
            let proof = waits.map(|pid| format!("process {pid} writes there and waits (state D)"));
            Ok(Wound::new(name, proof, Cure::Unfreeze(member)))
        }
        Harm::Slow => {
            let before = lab.time_writes(member);
            lab.limit_writes(member, Some(WRITES_A_SECOND))?;
            // Another fault may have taken the disk: then nothing is shown.
            let proof = match (before, lab.time_writes(member)) {
                (Ok((_, before)), Ok((writes, now))) => slower(writes, before, now),
                (Err(_), _) | (_, Err(_)) => None,
            };
            Ok(Wound::new(name, proof, Cure::Writes(member)))
        }
    }
}

/// As slow as the limit demands, and not because the machine is.
fn slower(writes: u32, before: Duration, now: Duration) -> Option<String> {
    let due = Duration::from_secs(1) * writes / WRITES_A_SECOND;
    let slow = now >= due.mul_f64(0.8) && now > before * 2;
    slow.then(|| format!("{writes} small writes took {now:.0?}, {before:.0?} before"))
}

/// Until nothing more fits; what the kernel says to one more write.
fn fill(disk: &Path) -> Option<String> {
    let (ballast, probe) = (disk.join("ballast"), disk.join("probe"));
    for _ in 0..FILLS {
        let target = format!("of={}", ballast.display());
        // That dd fails is what is wanted.
        let more = ["oflag=append", "conv=notrunc"];
        let _ = run(&[&["dd", "if=/dev/zero", &target, "bs=64k"][..], &more].concat());
        let refused = fs::write(&probe, [1; 65_536]).err();
        let _ = fs::remove_file(&probe);
        let full = refused.filter(|error| error.kind() == ErrorKind::StorageFull);
        if let Some(error) = full {
            let size = fs::metadata(&ballast).map(|found| found.len()).unwrap_or_default();
            return Some(format!("{} MB of ballast; one more write: {error}", size >> 20));
        }
    }
    None
}

/// A process of ours that writes there, if the kernel says that it waits. It ends when the disk goes on.
fn write_that_waits(disk: &Path) -> anyhow::Result<Option<u32>> {
    let probe = disk.join("probe");
    let mut command = Command::new("dd");
    command.args(["if=/dev/zero", "bs=4k", "count=1"]).arg(format!("of={}", probe.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().context("dd does not start")?;
    let (pid, began) = (child.id(), Instant::now());
    let waits = loop {
        let waits = Stat::of(pid).is_some_and(|stat| stat.state == WAITS_FOR_A_DISK);
        if waits || began.elapsed() > PATIENCE || child.try_wait()?.is_some() {
            break waits;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    std::thread::spawn(move || {
        let _ = child.wait();
        let _ = fs::remove_file(probe);
    });
    Ok(waits.then_some(pid))
}

pub(super) fn quick(member: &str, lab: &Lab) -> anyhow::Result<Option<String>> {
    lab.limit_writes(member, None).map(|()| None)
}

pub(super) fn make_room(member: &'static str, lab: &mut Lab) -> anyhow::Result<Option<String>> {
    let ballast = lab.disk(member).join("ballast");
    if ballast.exists() {
        fs::remove_file(&ballast)
            .with_context(|| format!("cannot remove {}", ballast.display()))?;
    }
    lab.start_member(member).map(|()| None)
}

pub(super) fn unfreeze(member: &str, lab: &Lab) -> anyhow::Result<Option<String>> {
    let place = lab.disk(member).to_string_lossy().into_owned();
    // It may have been healed before.
    let _ = run(&["fsfreeze", "--unfreeze", &place]);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_slow_by_its_limit_and_not_by_the_machine() {
        let ms = Duration::from_millis;
        assert!(slower(20, ms(50), ms(1_100)).is_some());
        assert!(slower(20, ms(600), ms(1_100)).is_none(), "it was as slow before");
        assert!(slower(20, ms(10), ms(200)).is_none(), "it takes more than it may");
    }
}
