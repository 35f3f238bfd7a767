//! The command line of haa-jepsen. Decides nothing.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use haa_jepsen::checkers::Isolation;
use haa_jepsen::exam::Sabotage;
use haa_jepsen::hosts::System;
use haa_jepsen::nemesis::Kind;
use haa_jepsen::rto::Accident;
use haa_jepsen::soak;
use haa_jepsen::workloads::Sort;

/// Breaks a real cluster on purpose, on hosts of its own on this machine, and judges what clients saw. Needs root
#[derive(Debug, Parser)]
#[command(
    name = "haa-jepsen",
    version,
    arg_required_else_help = true,
    after_help = "\
Exit codes:
  0  valid, or done
  1  not valid, or nobody knows
  2  the run could not be made, or the cluster did not come back

Examples:
  haa-jepsen run --workload append --nemesis kill,partition --seconds 120 --seed 7
  haa-jepsen run --workload set,append,register,bank --nemesis kill --seed 7
  haa-jepsen matrix --together --seconds 600
  haa-jepsen soak --seconds 1800 --seed 7
  haa-jepsen rto --fault host --runs 10 --json host.json
  haa-jepsen compare host.json patroni-host.json --out compare.html
  haa-jepsen load --system haa,patroni --json load.json
  haa-jepsen clean"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Break a cluster under load, and judge what clients saw
    Run(Exam),
    /// Do an operator's work under load, check each answer against what the cluster shows, and judge what clients saw
    Soak(Soak),
    /// Every fault under every workload, one run after the other, and a table of verdicts; asked again, it goes on
    Matrix(Matrix),
    /// Time failovers: the same accident again and again under writers
    Rto(Rto),
    /// Join the figures of several `rto --json` into one table and one picture
    Compare(Compare),
    /// Measure what a system costs when nothing happens: memory, CPU, requests to etcd, answers a second
    Load(Load),
    /// Judge a history again
    Check {
        /// history.json of a run, or a history.edn; or the directory of a run, with all of its workloads
        history: PathBuf,
    },
    /// Say whether runs can be made on this machine, and if not, what it lacks
    Able,
    /// Remove what a crashed run left: hosts, processes, files
    Clean,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Hosts {
    /// How many etcd: 1 or 3
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) etcd: u8,
    /// Where haad is; by default beside this program
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Where the report, the history and the logs go
    #[arg(long, value_name = "DIR", default_value = "jepsen-out")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Exam {
    /// What clients do; with commas between, all of it at once, the clients shared out
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    pub(crate) workload: Vec<Sort>,
    /// What is broken, with commas between; nothing if left out
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) nemesis: Vec<Kind>,
    /// For how long
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// Draws schedule and operations; random if left out, and printed
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// A schedule as an earlier run printed it, instead of one that is drawn
    #[arg(long, value_name = "FILE")]
    pub(crate) schedule: Option<PathBuf>,
    /// What transactions over lists ask for; with commas between, `append` is there once for each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "serializable")]
    pub(crate) isolation: Vec<Isolation>,
    /// How many clients go where the routes lead
    #[arg(long, default_value_t = 16)]
    pub(crate) clients: usize,
    /// Where the haad is that `upgrade` starts agents from; by default the same one, elsewhere
    #[arg(long, value_name = "DIR")]
    pub(crate) upgrade_to: Option<PathBuf>,
    /// Do something wrong on purpose: the run must fail
    #[arg(long, value_enum, conflicts_with_all = ["nemesis", "schedule"])]
    pub(crate) sabotage: Option<Sabotage>,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Soak {
    /// What an operator does, with commas between; everything if left out
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) verbs: Vec<soak::Verb>,
    /// For how long, at least; the last verb is ended
    #[arg(long, default_value_t = 1800)]
    pub(crate) seconds: u64,
    /// Draws verbs, members and operations; random if left out, and printed
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What clients do
    #[arg(long, value_enum, default_value = "append")]
    pub(crate) workload: Sort,
    /// What transactions over lists ask for
    #[arg(long, value_enum, default_value = "serializable")]
    pub(crate) isolation: Isolation,
    /// How many clients go where the routes lead
    #[arg(long, default_value_t = 8)]
    pub(crate) clients: usize,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Matrix {
    /// Which faults, with commas between; all if left out, and runs without any
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) nemesis: Vec<Kind>,
    /// Which workloads, with commas between; all if left out
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) workload: Vec<Sort>,
    /// One run for each fault, with all workloads at once, instead of one for each pair
    #[arg(long)]
    pub(crate) together: bool,
    /// For how long each
    #[arg(long, default_value_t = 120)]
    pub(crate) seconds: u64,
    /// The seeds of all runs follow from it
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rto {
    /// Who keeps the cluster
    #[arg(long, value_enum, default_value = "haa")]
    pub(crate) system: System,
    /// What happens to it
    #[arg(long, value_enum)]
    pub(crate) fault: Accident,
    /// How often
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// How many writers go where the routes lead
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) writers: u8,
    /// How long the accident lasts, in seconds; by default as long as it needs
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// How the system is set
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) profile: Profile,
    /// The figures, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// What `rto --json` wrote, of one fault and one system each
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The page with table and picture
    #[arg(long, value_name = "FILE", default_value = "compare.html")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Who keeps the cluster; with commas between, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_value = "haa")]
    pub(crate) system: Vec<System>,
    /// For how long each is watched
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Measure one half only
    #[arg(long, value_enum)]
    pub(crate) only: Option<Half>,
    /// How many simulated clusters, with commas between; in growing order
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) sizes: Vec<u16>,
    /// Where Patroni is
    #[arg(long, value_name = "DIR", default_value = "/opt/patroni/bin")]
    pub(crate) patroni_dir: PathBuf,
    /// The figures, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hosts: Hosts,
}

/// What `load` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Half {
    /// What an idle cluster costs
    Footprint,
    /// How the cost grows with the number of clusters; of haa
    Scale,
}

/// How a system is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// As it comes
    Default,
    /// Silence is noticed sooner
    Fast,
}
