//! fsync of a member's disk is slow, or fails: by a shim before the call, in the member's agent and Postgres alike.

use serde::{Deserialize, Serialize};

use crate::hosts::{Fsync, Lab};

use super::kill::serde_word;
use super::{Cure, Wound};

/// What becomes of fsync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// Each takes 100 ms more.
    Slow,
    /// Each takes 1.5 s more: longer than a primary may stall.
    Crawls,
    /// EIO: Postgres panics.
    Fails,
    /// ENOSPC, as a file system says that allocates late.
    NoSpace,
}

const EIO: u64 = 5;
const ENOSPC: u64 = 28;

impl Harm {
    pub(super) const ALL: [Self; 4] = [Self::Slow, Self::Crawls, Self::Fails, Self::NoSpace];

    fn fsync(self) -> Fsync {
        match self {
            Self::Slow => Fsync { late_us: 100_000, ..Fsync::default() },
            Self::Crawls => Fsync { late_us: 1_500_000, ..Fsync::default() },
            Self::Fails => Fsync { error: EIO, ..Fsync::default() },
            Self::NoSpace => Fsync { error: ENOSPC, ..Fsync::default() },
        }
    }
}

pub(super) fn strike(harm: Harm, member: &'static str, lab: &Lab) -> anyhow::Result<Wound> {
    let before = lab.fsyncs_met(member);
    lab.set_fsync(member, harm.fsync())?;
    let name = format!("fsync of {member}: {}", serde_word(&harm));
    Ok(Wound::new(name, None, Cure::Fsync(member, before)))
}

pub(super) fn heal(
    member: &'static str,
    before: u64,
    lab: &mut Lab,
) -> anyhow::Result<Option<String>> {
    let met = lab.fsyncs_met(member).saturating_sub(before);
    lab.set_fsync(member, Fsync::default())?;
    lab.start_member(member)?;
    Ok((met > 0).then(|| format!("{met} fsyncs met")))
}
