//! `rto` and `compare`: failovers timed, and figures of several timings side by side. Breaks nothing itself.

use std::time::Duration;

use anyhow::Context as _;

use haa_jepsen::hosts::System;
use haa_jepsen::report::rto;

use crate::arguments::{Compare, Profile, Rto};
use crate::{VALID, plan, say, write_json};

/// The shortest times that Patroni takes.
const PATRONI_FAST: &str =
    "ttl = 20\nloop_wait = 1\nretry_timeout = 3\nprimary_start_timeout = 0\n";

pub(crate) fn timed(asked: Rto) -> anyhow::Result<u8> {
    let settings = match (asked.system, asked.profile) {
        (_, Profile::Default) => toml::Table::new(),
        (System::Haa, Profile::Fast) => "profile = \"fast\"".parse()?,
        (System::Patroni, Profile::Fast) => PATRONI_FAST.parse()?,
    };
    let wish = haa_jepsen::rto::Wish {
        plan: plan(asked.system, &asked.hosts, settings)?,
        accident: asked.fault,
        runs: asked.runs,
        writers: usize::from(asked.writers),
        length: asked.seconds.map_or(asked.fault.usual_length(), Duration::from_secs),
        profile: haa_jepsen::matrix::word(asked.profile),
        keep: asked.hosts.out.clone(),
    };
    let timing = haa_jepsen::rto::run(&wish, say)?;
    if let Some(file) = asked.json {
        write_json(&file, &timing)?;
    }
    let all = std::slice::from_ref(&timing);
    let page = asked.hosts.out.join(rto::PAGE);
    rto::write(&page, &format!("How long failovers took: {}", asked.fault.name()), all)?;
    say(&rto::table(all));
    say(&format!("picture in {}", page.display()));
    Ok(VALID)
}

pub(crate) fn compared(asked: &Compare) -> anyhow::Result<u8> {
    let mut all = Vec::new();
    for file in &asked.files {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        all.extend(rto::read(&text).with_context(|| file.display().to_string())?);
    }
    // One fault after the other, as they were first named.
    let mut faults: Vec<String> = Vec::new();
    for timing in &all {
        if !faults.contains(&timing.series.fault) {
            faults.push(timing.series.fault.clone());
        }
    }
    all.sort_by_key(|timing| faults.iter().position(|fault| *fault == timing.series.fault));
    rto::write(&asked.out, "How long failovers took", &all)?;
    say(&rto::table(&all));
    say(&format!("picture in {}", asked.out.display()));
    Ok(VALID)
}
