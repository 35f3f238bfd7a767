//! A run from its first host to its verdict: safety under faults, then healing, last reads, and judgement. Breaks
//! nothing itself, and judges nothing itself.

mod crews;
mod lanes;
mod last;
mod led;
mod sabotage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::checkers::{Anomaly, Finding, OfWorkload, Verdict, deposed_reads, judge_all};
use crate::files;
use crate::hosts::{Lab, MEMBERS, Plan, Watch};
use crate::matrix;
use crate::nemesis::{self, Schedule, Struck, Trace};
use crate::report;
use crate::soak::{self, Soak};
use crate::workloads::{Recorder, Work, Workload, record};

use crews::Crews;

pub use sabotage::Sabotage;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What to make.
    pub plan: Plan,
    /// What clients do, all of it at once.
    pub workloads: Vec<Work>,
    /// Kinds of faults that were asked for: one of each must strike.
    pub kinds: Vec<nemesis::Kind>,
    /// What is broken, and when.
    pub schedule: Schedule,
    /// For how long, at least.
    pub length: Duration,
    /// Of the run.
    pub seed: u64,
    /// How many clients go where the routes lead, of all workloads together.
    pub clients: usize,
    /// What is done wrong on purpose, to see that the judges find it.
    pub sabotage: Option<Sabotage>,
    /// What an operator does instead of a schedule.
    pub soak: Option<Soak>,
    /// Where everything that is known of the run goes.
    pub out: PathBuf,
    /// What the run is called in its report.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
}

/// After everything is healed, clients go on for so long.
const CALM: Duration = Duration::from_secs(3);
/// I12: after healing, a primary accepts writes and everybody follows within this.
const HEALED: Duration = Duration::from_secs(180);

/// Makes a cluster, runs, judges, writes the report and removes the cluster.
///
/// # Errors
/// When the run itself could not be made; a cluster that does not come back is an error too. Logs are kept.
pub fn run(wish: &Wish, mut say: impl FnMut(&str) + Send) -> anyhow::Result<Verdict> {
    std::fs::create_dir_all(&wish.out)
        .with_context(|| format!("cannot make {}", wish.out.display()))?;
    let text = wish.schedule.print();
    std::fs::write(wish.out.join("schedule.jsonl"), &text)
        .with_context(|| format!("cannot write into {}", wish.out.display()))?;
    say(&format!("{}\nschedule, in {}/schedule.jsonl:\n{text}", wish.title, wish.out.display()));
    let mut lab = Lab::create(wish.plan.clone())?;
    let done = lab.work(async |lab, clients| examine(lab, wish, clients, &mut say).await);
    let kept = lab.keep_logs(&wish.out.join("logs"));
    lab.remove()?;
    let run = done?;
    kept?;
    report::write(&wish.out, &run)?;
    for OfWorkload { workload, verdict, counts } in &run.judgement.workloads {
        say(&format!("{workload}: {verdict}, {counts:?}"));
    }
    Ok(run.verdict())
}

async fn examine(
    lab: &mut Lab,
    wish: &Wish,
    clients: &Handle,
    say: &mut (impl FnMut(&str) + Send),
) -> anyhow::Result<report::Run> {
    let workloads: Vec<Workload> = wish.workloads.iter().copied().map(Workload::new).collect();
    let schemas: Vec<&str> = workloads.iter().map(Workload::schema).collect();
    lab.begin(&schemas.join(" ")).await?;
    let watch = lab.watch();
    if let Some(sabotage) = wish.sabotage {
        sabotage.prepare(lab, &watch).await?;
    }
    let recorder = Arc::new(Recorder::default());
    let groups = MEMBERS.iter().map(|name| lab.host(name).map(|host| host.group.clone()));
    let groups = groups.collect::<anyhow::Result<_>>()?;
    let sampler = lanes::Sampler::begin(watch.clone(), groups, Arc::clone(&recorder));
    let crews = Crews::send_out(wish, workloads, &recorder, clients);
    say("clients are at work");
    let tried = safety(lab, &watch, wish, &recorder, say).await;
    let end = tried.as_ref().map_or(0, |(trace, _)| trace.struck.len());
    let what = if wish.soak.is_some() { "verbs were tried" } else { "faults struck" };
    say(&format!("{end} {what}; healing"));
    let healing = recorder.now();
    nemesis::heal_everything(lab, &watch, &wish.schedule).await.context("healing")?;
    last::follow(lab, &watch, HEALED).await.map_err(|error| {
        let _ = files::save_all(&wish.out, &last::cases(&crews.all, &last::options(wish)));
        error.context("the cluster did not come back after everything was healed")
    })?;
    let took = (recorder.now() - healing) / 1_000_000;
    say(&format!("everybody follows again {took} ms after healing began"));
    sleep(CALM).await;
    let crews = crews.finish().await;
    let (lanes, lag, led) = sampler.finish();
    let mut options = last::read_all(lab, &watch, &crews, clients, (wish, &led)).await?;
    let (trace, wrong) = tried?;
    options.loss_accepted = trace.struck.iter().filter_map(|fault| fault.loss).max();
    let events = recorder.events();
    let cases = last::cases(&crews, &options);
    files::save_all(&wish.out, &cases)?;
    let late: usize = cases.iter().map(|one| deposed_reads(&one.history, &one.options)).sum();
    let mut judgement = tokio::task::spawn_blocking(move || judge_all(&cases)).await?;
    judgement.add(wrong);
    let never = never(&wish.kinds, &trace);
    let faults = trace.struck.into_iter().map(told).collect();
    let skipped = trace.skipped.into_iter().map(|one| (one.name, one.at)).collect();
    let mut facts = facts(lab, wish, took);
    facts.push(("acknowledged to clients that came by".to_owned(), record::ways(&events)));
    facts.push(("reads at a deposed primary, before its deadline".to_owned(), late.to_string()));
    facts.extend(options.loss_accepted.map(|at| ("loss accepted".to_owned(), until(at))));
    let (title, command) = (wish.title.clone(), wish.command.clone());
    Ok(report::Run { title, command, facts, events, faults, skipped, never, lanes, lag, judgement })
}

/// What was asked for and did not strike once.
fn never(asked: &[nemesis::Kind], trace: &Trace) -> Vec<String> {
    let idle = asked.iter().filter(|kind| !trace.kinds.contains(kind));
    idle.map(|kind| matrix::word(*kind)).collect()
}

async fn safety(
    lab: &mut Lab,
    watch: &Watch,
    wish: &Wish,
    recorder: &Recorder,
    say: &mut (impl FnMut(&str) + Send),
) -> anyhow::Result<(Trace, Vec<Finding>)> {
    let began = tokio::time::Instant::now();
    let trace = match (wish.sabotage, &wish.soak) {
        (Some(sabotage), _) => {
            let struck = sabotage.commit(lab, watch, (recorder, &wish.workloads)).await?;
            Trace { struck, ..Trace::default() }
        }
        (None, Some(soak)) => {
            let done = soak::run(soak, (wish.length, wish.seed), (lab, watch), recorder, say);
            let done = done.await?;
            let trace = Trace { struck: done.steps, ..Trace::default() };
            return Ok((trace, done.wrong.into_iter().map(finding).collect()));
        }
        (None, None) => nemesis::run(&wish.schedule, (lab, watch), recorder, say).await,
    };
    tokio::time::sleep_until(began + wish.length).await;
    Ok((trace, Vec::new()))
}

fn finding(wrong: soak::Wrong) -> Finding {
    let soak::Wrong { text, from, to } = wrong;
    let (ops, processes, members) = (Vec::new(), Vec::new(), Vec::new());
    Finding { anomaly: Anomaly::Operation, text, ops, processes, members, from, to }
}

fn told(struck: Struck) -> report::Fault {
    let Struck { name, from, to, proof, loss: _ } = struck;
    report::Fault { name, from, to, proof }
}

fn until(at: u64) -> String {
    let ms = at / 1_000_000;
    format!("what was acknowledged before {}.{:03} s is not demanded", ms / 1_000, ms % 1_000)
}

fn facts(lab: &Lab, wish: &Wish, healed_ms: u64) -> Vec<(String, String)> {
    let version = |program: &std::path::Path, argument: &str| {
        let output = std::process::Command::new(program).arg(argument).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("seed", wish.seed.to_string()),
        fact("haad", version(&wish.plan.program, "--version")),
        fact("PostgreSQL", version(&lab.tools.postgres.join("postgres"), "--version")),
        fact("etcd", format!("{} of {}", lab.etcds().len(), version(&lab.tools.etcd, "--version"))),
        fact("settings", wish.plan.settings.to_string().replace('\n', "; ")),
        fact("everybody followed after healing", format!("{healed_ms} ms")),
    ]
}
