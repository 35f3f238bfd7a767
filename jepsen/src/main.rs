//! haa-jepsen: parse, build, run, exit code.

mod arguments;
mod timed;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser as _, ValueEnum};

use haa_jepsen::checkers::Verdict;
use haa_jepsen::hosts::{Haactl, Plan, System, able, clean};
use haa_jepsen::load::{footprint, scale};
use haa_jepsen::nemesis::{Kind, Schedule};
use haa_jepsen::report;
use haa_jepsen::workloads::{Sort, names, works};
use haa_jepsen::{exam, files, matrix, soak};

use arguments::{Arguments, Exam, Half, Hosts, Load, Verb};

/// Everything was judged valid.
const VALID: u8 = 0;
/// It was not, or nobody knows.
const NOT_VALID: u8 = 1;
/// The run itself failed, or could not be made.
const FAILED: u8 = 2;

/// As Debian installs it; `clock` needs it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Room for a member's data, when disks are to be broken.
const DISK_MB: u64 = 1_200;

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Able => able().map(|()| say("runs can be made on this machine")).map(|()| VALID),
        Verb::Clean => cleaned(),
        Verb::Rto(wish) => timed::timed(wish),
        Verb::Compare(wish) => timed::compared(&wish),
        Verb::Load(wish) => weighed(wish),
        Verb::Run(wish) => examined(wish),
        Verb::Soak(wish) => soaked(wish),
        Verb::Matrix(wish) => tabled(wish),
        Verb::Check { history } => judged(&history),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "haa-jepsen: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn cleaned() -> anyhow::Result<u8> {
    let cleaned = clean::all()?;
    let names = |names: &[String]| match names {
        [] => "nothing".to_owned(),
        some => some.join(" "),
    };
    let (removed, living) = (names(&cleaned.removed), names(&cleaned.living));
    say(&format!("removed: {removed}; left alone, because it lives: {living}"));
    Ok(VALID)
}

fn weighed(asked: Load) -> anyhow::Result<u8> {
    let mut load = report::load::Load::default();
    let (length, keep) = (Duration::from_secs(asked.seconds), asked.hosts.out.clone());
    let bare = |system| plan(system, &asked.hosts, toml::Table::new());
    if asked.only != Some(Half::Scale) {
        for system in &asked.system {
            let mut plan = bare(*system)?;
            if *system == System::Patroni {
                plan.program = asked.patroni_dir.join("patroni");
            }
            let wish = footprint::Wish { plan, length, keep: keep.clone() };
            load.footprints.push(footprint::run(&wish, say)?);
        }
    }
    if asked.only != Some(Half::Footprint) && asked.system.contains(&System::Haa) {
        anyhow::ensure!(asked.sizes.is_sorted(), "--sizes grow: write the smaller ones first");
        let mut plan = bare(System::Haa)?;
        plan.etcds = 1;
        let sizes = asked.sizes.iter().map(|size| usize::from(*size)).collect();
        load.scale = Some(scale::run(&scale::Wish { plan, sizes, length, keep }, say)?);
    }
    if let Some(file) = &asked.json {
        write_json(file, &load)?;
    }
    load.write(&asked.hosts.out, &command())?;
    say(&load.markdown());
    say(&format!("report in {}", asked.hosts.out.display()));
    Ok(VALID)
}

fn write_json(file: &std::path::Path, figures: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn command() -> String {
    std::env::args().collect::<Vec<_>>().join(" ")
}

fn examined(asked: Exam) -> anyhow::Result<u8> {
    let seed = asked.seed.unwrap_or_else(rand::random);
    let length = Duration::from_secs(asked.seconds);
    let schedule = match &asked.schedule {
        Some(file) => {
            let tell = || format!("cannot read the schedule {}", file.display());
            Schedule::read(&std::fs::read_to_string(file).with_context(tell)?)?
        }
        None => Schedule::draw(&asked.nemesis, length, seed),
    };
    anyhow::ensure!(
        !asked.workload.contains(&Sort::Register) || !schedule.needs(Kind::AcceptLoss),
        "after an accepted loss nobody can search for an order of what was acknowledged before it: say another \
         --workload than register"
    );
    let mut settings = toml::Table::new();
    if let Some((key, value)) = asked.sabotage.and_then(exam::Sabotage::settings) {
        settings.insert(key.to_owned(), toml::Value::String(value.to_owned()));
    }
    let mut plan = plan(System::Haa, &asked.hosts, settings)?;
    let faults = |kind: Kind| schedule.needs(kind);
    let lies = asked.sabotage.is_some_and(exam::Sabotage::loses_power);
    (plan.seed, plan.router) = (seed, true);
    plan.fsync = faults(Kind::Fsync) || lies;
    plan.state_on_disk = faults(Kind::Power);
    let disks = faults(Kind::Disk) || plan.fsync || plan.state_on_disk;
    plan.disk_mb = disks.then_some(DISK_MB);
    let next = asked.upgrade_to.as_ref().map(|directory| directory.join("haad"));
    plan.upgrade = faults(Kind::Upgrade).then(|| next.unwrap_or_else(|| plan.program.clone()));
    plan.guard = asked.sabotage.is_none_or(exam::Sabotage::leaves_the_guard);
    plan.faketime = faults(Kind::Clock).then(|| PathBuf::from(FAKETIME));
    if let Some(library) = plan.faketime.as_ref().filter(|library| !library.is_file()) {
        anyhow::bail!("{} is missing: install libfaketime", library.display());
    }
    let workloads = works(&asked.workload, &asked.isolation);
    let carried = names(&workloads).join(" and ");
    let kinds = schedule.kinds(&asked.nemesis);
    let names: Vec<String> = kinds.iter().map(|kind| matrix::word(*kind)).collect();
    let nemesis = if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") };
    let wish = exam::Wish {
        plan,
        workloads,
        kinds,
        schedule,
        length,
        seed,
        clients: asked.clients,
        sabotage: asked.sabotage,
        soak: None,
        out: asked.hosts.out,
        title: format!("{carried}, {nemesis}, seed {seed}"),
        command: command(),
    };
    let out = wish.out.clone();
    Ok(told(&exam::run(&wish, say)?, &format!("report in {}", out.display())))
}

fn soaked(asked: arguments::Soak) -> anyhow::Result<u8> {
    let seed = asked.seed.unwrap_or_else(rand::random);
    let mut plan = plan(System::Haa, &asked.hosts, soak::Soak::settings()?)?;
    (plan.seed, plan.router) = (seed, true);
    Haactl::beside(&plan)?;
    let wish = exam::Wish {
        plan,
        workloads: works(&[asked.workload], &[asked.isolation]),
        kinds: Vec::new(),
        schedule: Schedule::default(),
        length: Duration::from_secs(asked.seconds),
        seed,
        clients: asked.clients,
        sabotage: None,
        soak: Some(soak::Soak { verbs: or_all(asked.verbs) }),
        out: asked.hosts.out,
        title: format!("{}, an operator at work, seed {seed}", matrix::word(asked.workload)),
        command: command(),
    };
    let out = wish.out.clone();
    Ok(told(&exam::run(&wish, say)?, &format!("report in {}", out.display())))
}

fn tabled(asked: arguments::Matrix) -> anyhow::Result<u8> {
    // What no run could be made with is refused before the first.
    let plan = plan(System::Haa, &asked.hosts, toml::Table::new())?;
    let directory = plan.program.parent().map(PathBuf::from).unwrap_or_default();
    let directory = directory.to_string_lossy().into_owned();
    let etcd = asked.hosts.etcd.to_string();
    let clean = asked.nemesis.is_empty().then_some(None);
    let nemesis = or_all(asked.nemesis).into_iter().map(Some).chain(clean).collect();
    let wish = matrix::Wish {
        nemesis,
        workloads: or_all(asked.workload),
        together: asked.together,
        seconds: asked.seconds,
        seed: asked.seed,
        more: vec!["--etcd".to_owned(), etcd, "--bin-dir".to_owned(), directory],
        out: asked.hosts.out,
    };
    let (table, valid) = matrix::run(&wish, say)?;
    say(&table);
    Ok(if valid { VALID } else { NOT_VALID })
}

fn or_all<T: ValueEnum>(some: Vec<T>) -> Vec<T> {
    if some.is_empty() { T::value_variants().to_vec() } else { some }
}

fn judged(history: &std::path::Path) -> anyhow::Result<u8> {
    let report = files::check(history)?;
    Ok(told(&report.verdict, &format!("{:?}", report.counts)))
}

fn told(verdict: &Verdict, beside: &str) -> u8 {
    for finding in verdict.findings() {
        say(&format!("found: {}", finding.text));
    }
    if let Verdict::Unknown { reason } = verdict {
        say(reason);
    }
    say(&format!("{}; {beside}", verdict.word()));
    if verdict.is_valid() { VALID } else { NOT_VALID }
}

fn plan(system: System, hosts: &Hosts, settings: toml::Table) -> anyhow::Result<Plan> {
    anyhow::ensure!(hosts.etcd != 2, "two etcd lose their majority with one: say 1 or 3");
    let own = std::env::current_exe()?;
    let beside = own.parent().map(PathBuf::from).unwrap_or_default();
    let directory = hosts.bin_dir.clone().unwrap_or(beside);
    let program = match system {
        System::Haa => directory.join("haad"),
        System::Patroni => directory.join("patroni"),
    };
    let etcds = hosts.etcd;
    Ok(Plan {
        system,
        etcds,
        program,
        settings,
        disk_mb: None,
        faketime: None,
        fsync: false,
        state_on_disk: false,
        upgrade: None,
        router: false,
        seed: rand::random(),
        guard: true,
    })
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
