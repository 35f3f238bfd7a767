//! `[bootstrap]`: what a new cluster is made of, if not of nothing. Looks at the operator's program; never runs it.

use std::time::Duration;

use haa_core::units::Lsn;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Checker;
use super::file::{Said, Text};
use super::{Bootstrap, Restore};

/// A large database takes hours.
const USUAL: Duration = Duration::from_secs(24 * 3_600);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// `[bootstrap]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BootstrapFile {
    /// `initdb`: an empty database; `command`: a backup that `command` restores. Default: `initdb`.
    pub(super) method: Option<Text>,
    /// The program with its path, and its arguments. It restores into `$HAA_DATA_DIRECTORY`.
    pub(super) command: Option<Said<Vec<Text>>>,
    /// How long it may take. Default: 24h.
    pub(super) timeout: Option<Text>,
    /// Recover until this time, such as `2027-01-31 12:00:00+00`. Default: to the end of the archive.
    pub(super) recovery_target_time: Option<Text>,
    /// Recover until this place in the WAL.
    pub(super) recovery_target_lsn: Option<Text>,
    /// Recover until this restore point.
    pub(super) recovery_target_name: Option<Text>,
    /// Recover until this transaction.
    pub(super) recovery_target_xid: Option<Text>,
    /// Whether what the target names is recovered too. Default: true.
    pub(super) recovery_target_inclusive: Option<Said<bool>>,
    /// `latest`, `current` (the backup's own) or a number. Default: `latest`.
    pub(super) recovery_target_timeline: Option<Text>,
}

impl Checker<'_> {
    /// `[bootstrap]`
    pub(super) fn bootstrap(&mut self, file: &BootstrapFile) -> Option<Bootstrap> {
        let before = self.problems.len();
        let method = file.method.as_ref();
        let restores = match method.map(|said| said.value().as_str()) {
            None | Some("initdb") => false,
            Some("command") => true,
            Some(other) => {
                let says =
                    format!("bootstrap.method: '{other}' is no method: write initdb or command");
                return self.refuse_said(method?, says);
            }
        };
        let target = self.target(file);
        let timeout = file.timeout.as_ref();
        let timeout = self.patience("bootstrap.timeout", timeout, (USUAL, LONGEST));
        let command = self.command("bootstrap.command", file.command.as_ref())?;
        match (restores, command, method) {
            (true, Some(command), _) => {
                let restore = Restore { command, timeout: timeout?, target };
                (self.problems.len() == before).then_some(Bootstrap::Command(restore))
            }
            (true, None, Some(method)) => {
                let says = "bootstrap.command is missing: write the program that restores the \
                            backup with its path and its arguments";
                self.refuse_said(method, says.to_owned())
            }
            (false, None, _) if target.is_empty() => {
                (self.problems.len() == before).then_some(Bootstrap::InitDb)
            }
            (_, _, _) => {
                let says = "bootstrap: command and recovery_target_... are for method = \
                            \"command\": write that, or take them out";
                self.refuse(super::error::At::File, says.to_owned())
            }
        }
    }

    /// As Postgres takes it. What a time is it says itself.
    fn target(&mut self, file: &BootstrapFile) -> Vec<(&'static str, String)> {
        let points = [
            ("recovery_target_time", &file.recovery_target_time),
            ("recovery_target_lsn", &file.recovery_target_lsn),
            ("recovery_target_name", &file.recovery_target_name),
            ("recovery_target_xid", &file.recovery_target_xid),
        ];
        let mut target: Vec<(&'static str, String)> = Vec::new();
        for (key, said) in points.into_iter().filter_map(|(key, said)| Some((key, said.as_ref()?)))
        {
            let value = said.value();
            let wrong = match key {
                "recovery_target_lsn" => value.parse::<Lsn>().is_err(),
                "recovery_target_xid" => value.parse::<u64>().is_err(),
                _ => value.trim().is_empty() || value.len() > 63,
            };
            if wrong {
                let says = format!("bootstrap.{key}: '{value}' is none: see docs/configuration.md");
                self.refuse_said::<(), _>(said, says);
            } else if let Some((other, _)) = target.first() {
                let says = format!("bootstrap.{key}: {other} is there too: write one target");
                self.refuse_said::<(), _>(said, says);
            } else {
                target.push((key, value.clone()));
            }
        }
        if let Some(said) = &file.recovery_target_inclusive {
            let value = if *said.value() { "on" } else { "off" };
            target.push(("recovery_target_inclusive", value.to_owned()));
        }
        if let Some(said) = &file.recovery_target_timeline {
            let value = said.value();
            if matches!(value.as_str(), "latest" | "current") || value.parse::<u32>().is_ok() {
                target.push(("recovery_target_timeline", value.clone()));
            } else {
                let says = format!(
                    "bootstrap.recovery_target_timeline: '{value}' is none: write latest, current \
                     or a number"
                );
                self.refuse_said::<(), _>(said, says);
            }
        }
        target
    }
}
