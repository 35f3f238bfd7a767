//! `haa-sim`: runs seeds, prints what did not hold and how to see it again. Decides nothing.
#![allow(clippy::print_stdout)]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, ValueEnum as _};
use haa_core::node::Pools;
use haa_core::settings::Durability;
use haa_sim::model::action::Kind;
use haa_sim::model::explore::explore;
use haa_sim::model::scope::{Pace, Scope};
use haa_sim::model::worlds::WORLDS;
use haa_sim::mutation::Broken;
use haa_sim::run::{Options, Told, run};
use haa_sim::sometimes::Sometimes;
use haa_sim::story::retell_broken;
use haa_sim::time::At;
use haa_sim::world::Guard;

/// Runs the core of haa in a simulated world, one seed after another, and checks its invariants.
#[derive(Parser)]
#[command(version, after_help = "Example: haa-sim --seeds 0..10000\n         haa-sim --seed 42")]
struct Arguments {
    /// Run these seeds, such as 0..10000.
    #[arg(long, default_value = "0..1000", value_parser = range)]
    seeds: Range<u64>,
    /// Replay this one and tell its story.
    #[arg(long)]
    seed: Option<u64>,
    /// Tell this story, such as tests/scenarios/alone.txt, as it comes out.
    #[arg(long)]
    story: Option<PathBuf>,
    /// Run without a guard: frozen and killed agents do not count.
    #[arg(long)]
    no_guard: bool,
    /// Break this safety mechanism.
    #[arg(long)]
    mutation: Option<Broken>,
    /// With this durability only; else each seed draws its own.
    #[arg(long)]
    durability: Option<Only>,
    /// With PgBouncers that agents hold in a hand-over.
    #[arg(long)]
    pools: bool,
    /// Go on after a violation, and count them.
    #[arg(long)]
    keep_going: bool,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Instead of seeds: every order of events in small worlds; those of each verification, or one of these bounds.
    #[arg(long)]
    model: bool,
    #[command(flatten)]
    small: Small,
}

/// The bounds of a small world.
#[derive(clap::Args)]
struct Small {
    /// How many members.
    #[arg(long, requires = "model", value_parser = clap::value_parser!(u8).range(2..=3))]
    members: Option<u8>,
    /// How much may go wrong.
    #[arg(long, requires = "model", default_value_t = 1)]
    faults: u8,
    /// What may go wrong; anything if not said.
    #[arg(long, requires = "model", value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// How many writes clients make.
    #[arg(long, requires = "model", default_value_t = 0)]
    writes: u8,
    /// How many switchovers an operator asks for.
    #[arg(long, requires = "model", default_value_t = 0)]
    wishes: u8,
    /// How many seconds pass.
    #[arg(long, requires = "model", default_value_t = 4)]
    steps: u8,
    /// At most so many choices in a row.
    #[arg(long, requires = "model")]
    depth: Option<usize>,
    /// One fault more, and long work that ends whenever it likes: hours instead of minutes.
    #[arg(long, requires = "model")]
    large: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Only {
    Async,
    Quorum,
}

impl Only {
    const fn durability(self) -> Durability {
        match self {
            Self::Async => Durability::Async,
            Self::Quorum => Durability::Quorum,
        }
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("'{text}' is not a range of seeds such as 0..10000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    Ok(from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?)
}

#[derive(Default)]
struct Total {
    seeds: u64,
    simulated: At,
    events: u64,
    sometimes: Sometimes,
    violations: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let guard = if arguments.no_guard { Guard::Off } else { Guard::On };
    let only = arguments.durability.map(Only::durability);
    let pools = if arguments.pools { Pools::Known } else { Pools::None };
    let options = Options { guard, broken: arguments.mutation, only, told: Told::No, pools };
    if arguments.model {
        return small(&arguments);
    }
    if let Some(path) = &arguments.story {
        return tell(path, arguments.mutation);
    }
    match arguments.seed {
        Some(seed) => replay(seed, options),
        None => many(&arguments, options),
    }
}

/// The world that was asked for, or those of each verification.
fn small(arguments: &Arguments) -> ExitCode {
    let asked = &arguments.small;
    let every = Kind::value_variants();
    let kinds = if asked.kinds.is_empty() { every } else { asked.kinds.clone().leak() };
    let worlds: Vec<(&str, Scope)> = match asked.members {
        Some(members) => {
            let scope = Scope {
                members: usize::from(members),
                faults: asked.faults,
                kinds,
                writes: asked.writes,
                wishes: asked.wishes,
                steps: asked.steps,
                pace: Pace::Usual,
                depth: asked.depth,
                broken: None,
            };
            vec![("as asked", scope)]
        }
        None => WORLDS.into_iter().map(|world| (world.name, world.scope)).collect(),
    };
    let mut code = ExitCode::SUCCESS;
    for (name, scope) in worlds {
        let scope = if asked.large { scope.enlarged() } else { scope };
        let began = Instant::now();
        let report = explore(&Scope { broken: arguments.mutation, ..scope });
        println!("{name}\n{report}; {:.1} s\n", began.elapsed().as_secs_f64());
        if report.violation.is_some() {
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn tell(path: &Path, broken: Option<Broken>) -> ExitCode {
    let written = std::fs::read_to_string(path).map_err(|why| why.to_string());
    match written.and_then(|written| retell_broken(&written, broken)) {
        Ok(told) => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{}: {why}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn replay(seed: u64, options: Options) -> ExitCode {
    let report = run(seed, Options { told: Told::Yes, ..options });
    for line in &report.story {
        println!("{line}");
    }
    println!("\n{}", report.sometimes);
    match report.violation {
        Some(violation) => {
            println!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed}: no violation in {} of virtual time", report.simulated);
            ExitCode::SUCCESS
        }
    }
}

fn many(arguments: &Arguments, options: Options) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(arguments.seeds.start);
    let mut total = Total::default();
    std::thread::scope(|scope| {
        let work = || some(&next, arguments, options);
        let threads: Vec<_> = (0..arguments.threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let part = thread.join().expect("a panic in a thread aborts the process");
            total.seeds += part.seeds;
            total.events += part.events;
            total.simulated = total.simulated.after(part.simulated);
            total.sometimes.add(&part.sometimes);
            total.violations.extend(part.violations);
        }
    });
    let took = began.elapsed().as_secs_f64();
    let seconds = total.simulated.0 as f64 / 1e6;
    total.violations.sort();
    print!("{}", total.sometimes);
    for (seed, violation) in total.violations.iter().take(20) {
        println!("seed {seed}: {violation}\n  again: haa-sim --seed {seed}");
    }
    println!(
        "{} seeds, {:.1} simulated hours, {} events, {} promotions, {} violations, {took:.1} s, \
         {:.0} simulated seconds a second",
        total.seeds,
        seconds / 3_600.0,
        total.events,
        total.sometimes.of("promotion"),
        total.violations.len(),
        seconds / took,
    );
    if total.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn some(next: &AtomicU64, arguments: &Arguments, options: Options) -> Total {
    let mut total = Total::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= arguments.seeds.end {
            return total;
        }
        let report = run(seed, options);
        total.seeds += 1;
        total.events += report.events;
        total.simulated = total.simulated.after(report.simulated);
        total.sometimes.add(&report.sometimes);
        if let Some(violation) = report.violation {
            total.violations.push((seed, violation.to_string()));
            if !arguments.keep_going {
                next.store(arguments.seeds.end, Ordering::Relaxed);
            }
        }
    }
}
