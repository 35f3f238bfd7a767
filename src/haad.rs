//! haad's command line: what can be asked of it. Never does any of it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::guard::Post;
use crate::papers::Papers;

/// The agent that keeps one Postgres in its place in a cluster
#[derive(Debug, Parser)]
#[command(
    name = "haad",
    version,
    arg_required_else_help = true,
    after_help = "\
Exit codes:
  0  stopped as asked; with check: it would start
  1  failed; with check: it would not start
  2  wrong usage or wrong configuration
  3  refused to join: this member cannot be part of the cluster, and the last line says why

Examples:
  haad config example > haad.toml
  haad check --config /etc/haa/haad.toml
  haad run --config /etc/haa/haad.toml"
)]
pub struct Arguments {
    /// What is to be done
    #[command(subcommand)]
    pub verb: Verb,
}

/// What can be asked of haad.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run until SIGTERM or SIGINT
    Run {
        /// Its file
        #[command(flatten)]
        file: File,
        /// When stopped, leave Postgres running for the next haad, which must come within the lease
        #[arg(long)]
        leave_postgres: bool,
    },
    /// Say whether it would start, and if not, why; changes nothing
    Check {
        /// Its file
        #[command(flatten)]
        file: File,
    },
    /// Close Postgres when a deadline passes; started by `haad run`, not by hand
    #[command(after_help = GUARD)]
    Guard(Post),
    /// About haad.toml itself
    Config {
        /// What of it
        #[command(subcommand)]
        what: About,
    },
    /// Write the manual pages and the completions of this program; for packages
    #[command(hide = true)]
    Papers(Papers),
}

const GUARD: &str = "\
`haad run` starts one beside itself, and starts it again when it ends. It outlives haad: it holds the
postmaster and a deadline, which haad moves on as often as its lease is renewed. When the deadline passes
because haad was killed, is frozen or lost its lease, the guard ends every process of this Postgres, and says
so in one line. A Postgres in recovery is left alone. It ends by itself when it has nothing to guard; SIGTERM
ends it no sooner than that.

Exit codes:
  0  there was nothing left to guard
  1  failed: another guard has this state directory, or it cannot be used";

/// Which file haad goes by.
#[derive(Debug, clap::Args)]
pub struct File {
    /// This member's configuration
    #[arg(long, value_name = "FILE", env = "HAAD_CONFIG")]
    pub config: PathBuf,
}

/// What of haad.toml is printed.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum About {
    /// Print the JSON schema of haad.toml
    Schema,
    /// Print a commented haad.toml to begin with
    Example,
}
