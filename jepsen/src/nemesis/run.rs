//! Follows a schedule: strikes, waits, heals, and remembers what acted. Never changes the schedule.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use haa::playground::postgres_of;

use crate::hosts::{Fsync, Lab, MEMBERS, Watch};
use crate::workloads::Recorder;

use super::schedule::{Entry, Schedule};
use super::{Fault, Kind, Wound, clock, data, disk, etcd, freeze, page, settings};

/// A fault that struck. Times are nanoseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// What, and whom it met.
    pub name: String,
    /// When.
    pub from: u64,
    /// When it was healed.
    pub to: Option<u64>,
    /// What shows that it acted.
    pub proof: Option<String>,
    /// An operator accepted the loss of what had been acknowledged before.
    pub loss: Option<u64>,
}

/// A fault that found nothing to break, or whose wish was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which, as the schedule has it.
    pub name: String,
    /// When it was given up, nanoseconds since the run began.
    pub at: u64,
}

/// What came of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What struck.
    pub struck: Vec<Struck>,
    /// What did not.
    pub skipped: Vec<Skipped>,
    /// The kinds of which one struck at least.
    pub kinds: BTreeSet<Kind>,
}

/// For how long, and how often, a fault looks for something to break.
const AGAIN_FOR: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(200);

/// Follows the schedule to its end; `say` is told of every step.
pub async fn run(
    schedule: &Schedule,
    (lab, watch): (&mut Lab, &Watch),
    recorder: &Recorder,
    say: &mut (impl FnMut(&str) + Send),
) -> Trace {
    let began = Instant::now();
    let entries = schedule.0.iter().enumerate();
    let mut steps: Vec<(u64, usize, bool)> = entries
        .flat_map(|(number, entry)| {
            [(entry.at_ms, number, false), (entry.at_ms + entry.for_ms, number, true)]
        })
        .collect();
    steps.sort_unstable();
    let Trace { mut struck, mut skipped, mut kinds } = Trace::default();
    let mut open: Vec<Option<(usize, Wound, Instant)>> = schedule.0.iter().map(|_| None).collect();
    for (at, number, heals) in steps {
        sleep_until(began + Duration::from_millis(at)).await;
        if heals {
            let Some((place, wound, since)) = open[number].take() else { continue };
            // One that struck late, after others that took long, lasts as long all the same.
            sleep_until(since + Duration::from_millis(schedule.0[number].for_ms)).await;
            let late = wound.cure.apply(lab, watch).await;
            let one = &mut struck[place];
            one.to = Some(recorder.now());
            match late {
                Ok(proof) => one.proof = one.proof.take().or(proof),
                Err(error) => say(&format!("{}: healing failed: {error:#}", one.name)),
            }
            say(&line(recorder, "healed", one));
        } else {
            let (from, since) = (recorder.now(), Instant::now());
            match strike(&schedule.0[number].fault, lab, watch).await {
                Ok(Some(wound)) => {
                    let (name, proof) = (wound.name.clone(), wound.proof.clone());
                    let ago = wound.accepted.map(|lost| lost.elapsed().as_nanos());
                    let ago = ago.map(|ago| u64::try_from(ago).unwrap_or(u64::MAX));
                    let loss = ago.map(|ago| recorder.now().saturating_sub(ago));
                    struck.push(Struck { name, from, to: None, proof, loss });
                    kinds.insert(schedule.0[number].fault.kind());
                    open[number] = Some((struck.len() - 1, wound, since));
                }
                Ok(None) => {
                    let name = serde_json::to_string(&schedule.0[number].fault);
                    let name = name.unwrap_or_default();
                    say(&format!("skipped, nothing to break: {name}"));
                    skipped.push(Skipped { name, at: recorder.now() });
                    continue;
                }
                Err(error) => {
                    let name = format!("{:?}: {error:#}", schedule.0[number].fault);
                    struck.push(Struck { name, from, to: Some(from), proof: None, loss: None });
                }
            }
            if let Some(one) = struck.last() {
                say(&line(recorder, "struck", one));
            }
        }
    }
    Trace { struck, skipped, kinds }
}

/// Another fault may have left nothing to break: then a moment is given to what comes back.
async fn strike(fault: &Fault, lab: &mut Lab, watch: &Watch) -> anyhow::Result<Option<Wound>> {
    let began = Instant::now();
    loop {
        let wound = fault.strike(lab, watch).await?;
        if wound.proof.is_some() || wound.tells_later() {
            return Ok(Some(wound));
        }
        wound.cure.apply(lab, watch).await?;
        if began.elapsed() > AGAIN_FOR {
            return Ok(None);
        }
        sleep(AGAIN).await;
    }
}

fn line(recorder: &Recorder, what: &str, one: &Struck) -> String {
    let at = recorder.now() / 1_000_000;
    let proof = one.proof.as_deref().unwrap_or("no proof");
    format!("{:>7}.{:03} s  {what}  {} ({proof})", at / 1_000, at % 1_000, one.name)
}

/// Undoes whatever a schedule can have done, also what was cut off in its middle.
///
/// # Errors
/// When a part of it cannot be undone.
pub async fn heal_everything(
    lab: &mut Lab,
    watch: &Watch,
    schedule: &Schedule,
) -> anyhow::Result<()> {
    lab.net.mend_all()?;
    let all: Vec<String> = lab.names().into_iter().map(str::to_owned).collect();
    for name in &all {
        freeze::thaw(name, lab)?;
    }
    let etcds: Vec<String> = lab.etcds().iter().map(|host| host.name.clone()).collect();
    etcd::start(&etcds, lab, watch).await?;
    watch.etcd_healthy(etcd::PATIENCE).await?;
    for member in MEMBERS {
        clock::heal(member, lab)?;
        if lab.plan.disk_mb.is_some() {
            lab.restore_power(member)?;
            disk::unfreeze(member, lab)?;
            disk::make_room(member, lab)?;
        }
        let slow = |entry: &Entry| matches!(entry.fault, Fault::Disk(disk::Harm::Slow, _));
        if schedule.0.iter().any(slow) {
            disk::quick(member, lab)?;
        }
        if schedule.needs(Kind::Cpu) {
            lab.limit_cpu(member, None)?;
        }
        if lab.plan.fsync {
            lab.set_fsync(member, Fsync::default())?;
        }
        let servers = postgres_of(&lab.data(member)).into_iter().chain(lab.agent(member));
        for process in servers.chain(lab.guards(member)) {
            process.signal(Signal::CONT)?;
        }
        data::replace(member, lab).await?;
    }
    for member in MEMBERS {
        page::reclone(member, lab, watch).await?;
    }
    if schedule.needs(Kind::Settings) || schedule.needs(Kind::Pause) {
        settings::undo_all(watch).await.context("settings as they were")?;
    }
    Ok(())
}
