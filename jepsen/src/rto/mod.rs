//! Failover timing: one accident again and again under writers, and what it cost them. Prints figures and asserts
//! none of them.

mod accident;
mod measure;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::checkers::Isolation;
use crate::history::{Event, Stamp};
use crate::hosts::{Lab, MEMBERS, PATIENCE, Plan, Watch, places};
use crate::report::rto::{Outage, Series, Timing};
use crate::workloads::record::routed;
use crate::workloads::{Crew, Kind, Recorder, Route, Sort, Work, Workload};

pub use accident::{Accident, Length};

use accident::Broken;

/// A leadership younger than this is not taken over on silence (`timing.settle`, with a second for the clock).
const SETTLE: Duration = Duration::from_secs(4);
/// Their pause between two rows, on average.
const PAUSE: Duration = Duration::from_millis(4);
/// A voter that was removed returns later each time, and a cluster that is whole late says little of an accident.
const RUNS_PER_CLUSTER: usize = 5;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What to make.
    pub plan: Plan,
    /// What happens to it.
    pub accident: Accident,
    /// How often.
    pub runs: usize,
    /// How many writers go where the routes lead.
    pub writers: usize,
    /// How long, if it has a length.
    pub length: Length,
    /// How the system is set, in a word.
    pub profile: String,
    /// Where a failed run's logs go.
    pub keep: PathBuf,
}

/// Makes clusters and breaks them, until all runs are done. `say` is told of each run.
///
/// # Errors
/// When a cluster did not come back; its logs are kept then.
pub fn run(wish: &Wish, mut say: impl FnMut(&str) + Send) -> anyhow::Result<Timing> {
    let mut runs: Vec<Outage> = Vec::new();
    while runs.len() < wish.runs {
        let several = (wish.runs - runs.len()).min(RUNS_PER_CLUSTER);
        let done = Lab::once(&wish.plan, &wish.keep, async |lab, clients| {
            series(lab, wish, several, (clients, &mut say)).await
        });
        runs.extend(done?);
    }
    let system = serde_json::to_value(wish.plan.system)?;
    let system = system.as_str().context("a system has a name")?.to_owned();
    let fault = wish.accident.name();
    Ok(Timing::from(Series { system, fault, profile: wish.profile.clone(), runs }))
}

async fn series(
    lab: &mut Lab,
    wish: &Wish,
    several: usize,
    (clients, say): (&Handle, &mut impl FnMut(&str)),
) -> anyhow::Result<Vec<Outage>> {
    let workload =
        Arc::new(Workload::new(Work { sort: Sort::Set, isolation: Isolation::Serializable }));
    lab.begin(workload.schema()).await?;
    let watch = lab.watch();
    let guard = clients.enter();
    let (route, _asking) = Route::begin(&places());
    let crew = Crew {
        workload,
        number: 0,
        among: 1,
        places: Arc::new(places()),
        route,
        recorder: Arc::new(Recorder::default()),
        pause: PAUSE,
        seed: rand::random(),
        retries: false,
    };
    let mut kinds = vec![Kind::Routed; wish.writers];
    kinds.extend(MEMBERS.map(Kind::Pinned));
    let at_work = crew.begin(&kinds);
    drop(guard);
    let mut runs = Vec::new();
    for number in 1..=several {
        let cost = once(lab, &watch, wish, &crew.recorder).await;
        let cost = cost.with_context(|| format!("run {number} of this cluster"))?;
        let whole = cost.redundancy_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        say(&format!(
            "outage {} ms, lost {}, two acknowledged for {} ms, whole again after {whole} ms",
            cost.outage_ms, cost.lost, cost.dual_ack_ms
        ));
        runs.push(cost);
    }
    at_work.finish().await;
    Ok(runs)
}

/// The accident, its healing, and what both cost.
async fn once(
    lab: &mut Lab,
    watch: &Watch,
    wish: &Wish,
    recorder: &Recorder,
) -> anyhow::Result<Outage> {
    let leader = watch.whole(PATIENCE).await?;
    sleep(SETTLE).await;
    let window = recorder.now();
    sleep(Duration::from_millis(200)).await;
    let began = recorder.now();
    let timeline = recorder.last_ok(by_route).and_then(|(_, stamp)| Some(stamp?.timeline));
    let broken = wish.accident.strike(lab, watch, leader).await?;
    if wish.accident.ends_the_leadership() {
        let from = (leader, timeline.unwrap_or(0));
        let acknowledged = acknowledged_anew(recorder, (&*lab, &broken), from, began);
        timeout(PATIENCE, acknowledged).await.with_context(|| {
            format!(
                "no row was acknowledged on another timeline within {PATIENCE:?}\n{}",
                lab.tails()
            )
        })?;
    }
    wish.accident.last(wish.length, began, recorder).await;
    let proof = wish.accident.heal(lab, watch, broken).await?;
    anyhow::ensure!(proof, "the accident left no trace: it did not act");
    let leader = watch.whole(PATIENCE * 4).await.context("after healing")?;
    let whole = recorder.now();
    // What was under way when all was whole is answered by then.
    sleep(Duration::from_millis(500)).await;
    let events = measure::window(&recorder.events(), window);
    let there = measure::there(lab, leader).await?;
    Ok(measure::cost(&events, &there, began, whole))
}

fn by_route(event: &Event) -> bool {
    routed(event.process)
}

/// Waits until a client that goes where the routes lead is answered by another member, on a later timeline, or by the
/// successor of a killed postmaster: Patroni as it comes starts a primary that has died again, as what it was.
async fn acknowledged_anew(
    recorder: &Recorder,
    (lab, broken): (&Lab, &Broken),
    (leader, timeline): (&str, u32),
    began: u64,
) {
    let mut runs_since = None;
    loop {
        let anew = recorder.last_ok(|event| {
            let stamp = event.stamp.as_ref();
            let other = |stamp: &Stamp| stamp.member != leader || stamp.timeline > timeline;
            by_route(event) && stamp.is_some_and(other)
        });
        if runs_since.is_none() && broken.runs_again(lab) {
            runs_since = Some(recorder.now());
        }
        let again = runs_since.is_some_and(|since| recorder.is_answered(by_route, since));
        if again || anew.is_some_and(|(at, _)| at > began) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
