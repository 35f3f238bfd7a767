//! Wall clocks jump, of one member's agent, guard and Postgres alike: libfaketime reads how far from a file. The
//! monotonic clocks stay right, as the kernel keeps them.

use anyhow::Context as _;

use crate::hosts::Lab;

use super::{Cure, Wound};

pub(super) fn strike(seconds: i64, member: &'static str, lab: &mut Lab) -> anyhow::Result<Wound> {
    set(seconds, member, lab)?;
    let name = format!("clock of {member} by {seconds} s");
    let loaded = lab.agent(member).is_some_and(|agent| {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", agent.pid));
        maps.is_ok_and(|maps| maps.contains("libfaketime"))
    });
    let proof =
        loaded.then(|| format!("the agent of {member} reads its clock through libfaketime"));
    Ok(Wound::new(name, proof, Cure::Clock(member)))
}

pub(super) fn heal(member: &str, lab: &Lab) -> anyhow::Result<Option<String>> {
    set(0, member, lab).map(|()| None)
}

/// By a rename: a reader sees the old one or the new one.
fn set(seconds: i64, member: &str, lab: &Lab) -> anyhow::Result<()> {
    let file = lab.clock(member);
    let new = file.with_extension("new");
    let tell = || format!("cannot write {}", file.display());
    std::fs::write(&new, format!("{seconds:+}\n")).with_context(tell)?;
    std::fs::rename(&new, &file).with_context(tell)
}
