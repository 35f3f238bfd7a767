//! The guard: a process of its own that closes writes when the agent cannot. Never opens anything, and never
//! decides who leads.
//!
//! | module | owns | runs in |
//! |---|---|---|
//! | `tether` | what the agent wishes of its guard, and the task that sees to it | haad |
//! | `line` | one connection to the guard | haad |
//! | `start` | starting a guard, and ending one that does not answer | haad |
//! | `wire` | what the two say to each other | both |
//! | `serve` | the loop: the socket, the agents, the end | the guard |
//! | `keeper` | the deadline, and what is done when it has come | the guard |
//! | `timer` | waking by `CLOCK_BOOTTIME` | the guard |
//! | `watchdog` | the watchdog device | the guard |

mod keeper;
mod line;
mod serve;
mod start;
mod tether;
mod timer;
mod watchdog;
mod wire;

use std::path::{Path, PathBuf};

use crate::config::{Config, Log, LogFormat};

pub use serve::run;
pub use tether::{Standing, Tether};

/// Whose guard, and where: what `haad guard` is told.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Post {
    /// The agent's state directory: the guard's socket and lock are there
    #[arg(long, value_name = "DIRECTORY")]
    pub state_directory: PathBuf,
    /// The data directory of the Postgres that it closes
    #[arg(long, value_name = "DIRECTORY")]
    pub data_directory: PathBuf,
    /// A watchdog device to feed while a deadline stands, such as /dev/watchdog
    #[arg(long, value_name = "DEVICE")]
    pub watchdog: Option<PathBuf>,
    /// As `log.format` of haad.toml
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// As `log.level` of haad.toml
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log_level: String,
}

impl Post {
    fn of(config: &Config) -> Self {
        Self {
            state_directory: config.state_directory.clone(),
            data_directory: config.postgres.data_directory.clone(),
            watchdog: config.guard.watchdog.clone(),
            log_format: config.log.format,
            log_level: config.log.level.clone(),
        }
    }

    /// How to log.
    #[must_use]
    pub fn log(&self) -> Log {
        Log { format: self.log_format, level: self.log_level.clone() }
    }

    fn socket(&self) -> PathBuf {
        socket(&self.state_directory)
    }

    fn lock(&self) -> PathBuf {
        self.state_directory.join("guard.lock")
    }
}

/// Where the guard of this state directory listens.
#[must_use]
pub fn socket(state_directory: &Path) -> PathBuf {
    state_directory.join("guard.sock")
}
