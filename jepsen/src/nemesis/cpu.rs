//! A host has little of a processor: everything on it goes on, and slowly.

use crate::hosts::Lab;

use super::{Cure, Wound};

/// So many percent of one processor, for all of a host.
pub(super) const SHARES: [u32; 2] = [5, 20];

pub(super) fn strike(percent: u32, member: &'static str, lab: &Lab) -> anyhow::Result<Wound> {
    let before = lab.limit_cpu(member, Some(percent))?;
    let name = format!("processor of {member}: {percent} % of one");
    Ok(Wound::new(name, None, Cure::Cpu(member, before)))
}

pub(super) fn heal(member: &str, before: u64, lab: &Lab) -> anyhow::Result<Option<String>> {
    let times = lab.limit_cpu(member, None)?.saturating_sub(before);
    Ok((times > 0).then(|| format!("the kernel held it back {times} times")))
}
