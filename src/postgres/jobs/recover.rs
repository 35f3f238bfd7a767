//! Recovery of a restored backup, by a Postgres that nobody can reach: with the WAL that is in it and that the
//! operator's archive has. In a directory beside the data; never in their place, and ended with the job.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::postgres::control::{Control, State};
use crate::postgres::error::JobError;
use crate::postgres::files::{HEAD, setting, theirs, write_private};
use crate::postgres::process::remove_if_there;
use crate::postgres::site::Site;
use crate::postgres::tool::Tool;
use haa_core::parameters::LIMITS;

/// Where it ends.
#[derive(Clone, Copy)]
pub(super) enum Until<'a> {
    /// Where the backup was over: from there on the data follow somebody.
    Consistent,
    /// Where the operator says, by Postgres' own parameters, and on a timeline that begins there.
    Target(&'a [(&'static str, String)]),
}

/// What goes before the files of the server that was backed up.
pub(super) const FIRST: [&str; 14] = [
    "-clisten_addresses=",
    // Relative to the data directory: nobody is told of it.
    "-cunix_socket_directories=.",
    "-carchive_mode=off",
    "-cautovacuum=off",
    "-cssl=off",
    "-chot_standby=off",
    "-clogging_collector=off",
    "-clog_destination=stderr",
    "-clog_line_prefix=",
    "-clog_min_messages=warning",
    "-clc_messages=C",
    "-crestart_after_crash=off",
    "-csynchronous_standby_names=",
    "-cwal_log_hints=on",
];

/// Lines of the server's log that say where it stopped.
const TOLD: [&str; 4] =
    ["recovery stopping", "redo done", "last completed transaction", "selected new timeline ID"];

/// Recovers what is in `data`; it is shut down in order when this returns, with the configuration that it ran by.
///
/// # Errors
/// The WAL that it needs is not there; what Postgres said of it.
pub(super) async fn run(
    site: &Site,
    data: &Path,
    control: &Control,
    until: Until<'_>,
) -> Result<PathBuf, JobError> {
    let write = || JobError::file("write into", data);
    let config = write_configuration(site, control, until)?;
    let signal = data.join("recovery.signal");
    File::create(&signal).and_then(|file| file.sync_all()).map_err(write())?;
    let mut fatal = None;
    let server = Tool::new(site, "postgres").path("-D", data).path("-cconfig_file=", &config);
    let server = FIRST.into_iter().fold(server, Tool::arg);
    let server = match until {
        Until::Consistent => server,
        Until::Target(_) => server.until("database system is ready to accept connections"),
    };
    let ended = server.run(|line| {
        // How far it got is what an operator wants to know of it.
        if TOLD.iter().any(|told| line.contains(told)) {
            tracing::info!(line, "recovery");
        } else {
            tracing::debug!(line, "recovery");
        }
        let bad = line.contains("FATAL:") || line.contains("PANIC:");
        if fatal.is_none() && bad {
            fatal = Some(line.to_owned());
        }
    });
    let ended = ended.await;
    remove_if_there(&signal).map_err(write())?;
    let state = Control::read(data).map_err(JobError::file("read", data))?;
    let complete = !state.in_backup && !data.join("backup_label").exists();
    if complete && until.ends_in(state.state) {
        return Ok(config);
    }
    let said = match (fatal, ended) {
        (Some(line), _) => line,
        (None, Err(error)) => return Err(error),
        (None, Ok(_)) => "Postgres ended before it was done".to_owned(),
    };
    let hint = match &site.wishes.now().restore_command {
        Some(_) => "postgres.restore_command",
        None => "there is no postgres.restore_command, and a backup without its WAL needs one",
    };
    Err(JobError::Refused(format!(
        "what was restored could not be recovered with the WAL in it and in the archive ({hint}): {said}"
    )))
}

impl Until<'_> {
    const fn ends_in(self, state: State) -> bool {
        match self {
            Self::Consistent => matches!(state, State::ShutDownInRecovery),
            Self::Target(_) => matches!(state, State::ShutDown),
        }
    }

    fn settings(self) -> Vec<(&'static str, String)> {
        let text = |name, value: &str| (name, value.to_owned());
        match self {
            Self::Consistent => vec![
                text("recovery_target", "immediate"),
                text("recovery_target_timeline", "current"),
                text("recovery_target_action", "shutdown"),
            ],
            Self::Target(target) => {
                let promote = text("recovery_target_action", "promote");
                target.iter().cloned().chain([promote]).collect()
            }
        }
    }
}

/// A file of ours: what is in the backup is of another time, and of another machine.
fn write_configuration(
    site: &Site,
    control: &Control,
    until: Until<'_>,
) -> Result<PathBuf, JobError> {
    let (wished, file) = (site.wishes.now(), site.state("recovering.conf"));
    let hba = site.state("recovering.hba");
    // An empty one is an error.
    write_private(&hba, "local all all reject\n").map_err(JobError::file("write", &hba))?;
    let mut text = HEAD.to_owned();
    let mut own = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", setting(value));
    };
    theirs(&wished.told).for_each(|(name, value)| own(name, value));
    for (name, least) in LIMITS.into_iter().zip(control.limits) {
        let asked = wished.told.of(name).and_then(|asked| asked.parse().ok()).unwrap_or(0);
        own(name, &least.max(asked).to_string());
    }
    own("port", &site.config.listen.port.to_string());
    own("hba_file", &hba.to_string_lossy());
    // Without one Postgres does not begin at all.
    own("restore_command", wished.restore_command.as_deref().unwrap_or("false"));
    for (name, value) in until.settings() {
        own(name, &value);
    }
    write_private(&file, text).map_err(JobError::file("write", &file))?;
    Ok(file)
}
