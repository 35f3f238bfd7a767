//! haa-jepsen: parse, build, run, exit code.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use haa_jepsen::hosts::{Plan, System, clean};
use haa_jepsen::report::rto;
use haa_jepsen::rto::{Accident, Wish, run};

/// Breaks a real cluster on purpose, on hosts of its own on this machine, and judges what clients saw. Needs root
#[derive(Debug, Parser)]
#[command(name = "haa-jepsen", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Remove what a crashed run left: hosts, processes, files
    Clean,
    /// Time failovers: the same accident again and again under writers
    Rto(Rto),
}

#[derive(Debug, clap::Args)]
struct Rto {
    /// Who keeps the cluster
    #[arg(long, value_enum, default_value = "haa")]
    system: System,
    /// What happens to it
    #[arg(long, value_enum)]
    fault: Accident,
    /// How often
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many etcd: 1 or 3
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    etcd: u8,
    /// How long the accident lasts, in seconds; by default as long as it needs
    #[arg(long)]
    seconds: Option<u64>,
    /// How the system is set
    #[arg(long, value_enum, default_value = "default")]
    profile: Profile,
    /// The figures, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where haad is; by default beside this program
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Where logs go when a run fails
    #[arg(long, value_name = "DIR", default_value = "jepsen-out")]
    out: PathBuf,
}

/// How a system is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// As it comes
    Default,
    /// Silence is noticed sooner
    Fast,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Clean => cleaned(),
        Verb::Rto(wish) => timed(wish),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "haa-jepsen: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn cleaned() -> anyhow::Result<ExitCode> {
    let cleaned = clean::all()?;
    let names =
        |names: &[String]| if names.is_empty() { "nothing".into() } else { names.join(" ") };
    say(&format!(
        "removed: {}; left alone, because it lives: {}",
        names(&cleaned.removed),
        names(&cleaned.living)
    ));
    Ok(ExitCode::SUCCESS)
}

fn timed(asked: Rto) -> anyhow::Result<ExitCode> {
    let settings = match asked.profile {
        Profile::Default => toml::Table::new(),
        Profile::Fast => "timing.suspect_after = \"300ms\"\ntiming.heartbeat = \"75ms\"".parse()?,
    };
    let plan = Plan {
        system: asked.system,
        etcds: asked.etcd,
        program: beside(asked.bin_dir)?.join("haad"),
        settings,
        variables: Vec::new(),
    };
    let profile =
        asked.profile.to_possible_value().map_or_else(String::new, |p| p.get_name().to_owned());
    let wish = Wish {
        plan,
        accident: asked.fault,
        runs: asked.runs,
        length: asked.seconds.map_or(asked.fault.usual_length(), std::time::Duration::from_secs),
        profile,
        keep: asked.out,
    };
    let timing = run(&wish, say)?;
    if let Some(file) = asked.json {
        std::fs::write(file, serde_json::to_string_pretty(&timing)? + "\n")?;
    }
    say(&rto::table(std::slice::from_ref(&timing)));
    Ok(ExitCode::SUCCESS)
}

fn beside(directory: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(directory) = directory {
        return Ok(directory);
    }
    let own = std::env::current_exe()?;
    Ok(own.parent().map(PathBuf::from).unwrap_or_default())
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
