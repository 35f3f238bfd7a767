//! The disk that a member's data are on, a small file system of its own: full, or it hangs.

use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::hosts::Lab;
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
}

impl Harm {
    pub(super) const ALL: [Self; 2] = [Self::Full, Self::Hang];
}

pub(super) fn strike(harm: Harm, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    let name = format!("disk {} of {member}", serde_word(&harm));
    let disk = lab.disk(member);
    match harm {
        Harm::Full => {
            let ballast = disk.join("ballast");
            // Until nothing more fits: that dd fails is what is wanted.
            let _ = run(&["dd", "if=/dev/zero", &format!("of={}", ballast.display()), "bs=64k"]);
            let size = fs::metadata(&ballast).map(|found| found.len()).unwrap_or_default();
            let proof =
                (size > 0).then(|| format!("{} MB of ballast, nothing more fits", size >> 20));
            Ok(Wound::new(name, proof, Cure::Room(member)))
        }
        Harm::Hang => {
            let place = disk.to_string_lossy().into_owned();
            run(&["fsfreeze", "--freeze", &place])?;
            let proof = Some("the kernel says that the file system is frozen".to_owned());
            Ok(Wound::new(name, proof, Cure::Unfreeze(member)))
        }
    }
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
