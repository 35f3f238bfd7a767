//! `[bootstrap]`: what a new cluster is made of, if not of nothing. Looks at the operator's program; never runs it.

use std::time::Duration;

use haa_core::site::Site;
use haa_core::units::{Address, Lsn};
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Checker;
use super::file::{Said, Text};
use super::size::bytes;
use super::{Bootstrap, InitDb, Restore, name_objection};

/// A large database takes hours.
const USUAL: Duration = Duration::from_secs(24 * 3_600);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// `[bootstrap]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BootstrapFile {
    /// `initdb`: an empty database; `command`: a backup that `command` restores; `standby`: a copy of another cluster,
    /// which it follows. Default: `initdb`.
    pub(super) method: Option<Text>,
    /// The program with its path, and its arguments. It restores into `$HAA_DATA_DIRECTORY`.
    pub(super) command: Option<Said<Vec<Text>>>,
    /// Of a standby cluster: where the Postgres of each member of the other cluster listens, such as `10.0.0.1:5432`.
    pub(super) standby_of: Option<Said<Vec<Text>>>,
    /// Of a standby cluster: the replication slot that it uses there. Default: none.
    pub(super) standby_slot: Option<Text>,
    /// How long it may take. Default: 24h.
    pub(super) timeout: Option<Text>,
    /// The locale of an empty database. Default: `C.UTF-8`.
    pub(super) locale: Option<Text>,
    /// ICU's locale, which sorts then: PostgreSQL 15 and later. Default: none.
    pub(super) icu_locale: Option<Text>,
    /// The encoding of an empty database. Default: `UTF8`.
    pub(super) encoding: Option<Text>,
    /// How large the WAL's files are: a power of two from 1MB to 1GB. Default: 16MB.
    pub(super) wal_segment_size: Option<Text>,
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
            None | Some("initdb") => None,
            Some("command") => method,
            Some("standby") => return self.standby(file, method?),
            Some(other) => {
                let says = format!(
                    "bootstrap.method: '{other}' is no method: write initdb, command or standby"
                );
                return self.refuse_said(method?, says);
            }
        };
        if file.standby_of.is_some() || file.standby_slot.is_some() {
            let says = "bootstrap: standby_of and standby_slot are for method = \"standby\": write \
                        that, or take them out";
            return self.refuse(super::error::At::File, says.to_owned());
        }
        let target = self.target(file);
        let timeout = file.timeout.as_ref();
        let timeout = self.patience("bootstrap.timeout", timeout, (USUAL, LONGEST));
        let command = self.command("bootstrap.command", file.command.as_ref())?;
        let initdb = self.initdb(file);
        match (restores, command) {
            (Some(_), Some(command)) if initdb == InitDb::default() => {
                let restore = Restore { command, timeout: timeout?, target };
                (self.problems.len() == before).then_some(Bootstrap::Command(restore))
            }
            (Some(method), None) => {
                let says = "bootstrap.command is missing: write the program that restores the \
                            backup with its path and its arguments";
                self.refuse_said(method, says.to_owned())
            }
            (None, None) if target.is_empty() => {
                (self.problems.len() == before).then_some(Bootstrap::InitDb(initdb))
            }
            (Some(_), Some(_)) => {
                let says = "bootstrap: a backup has its own locale, encoding and \
                            wal_segment_size: take these out, or write method = \"initdb\"";
                self.refuse(super::error::At::File, says.to_owned())
            }
            (None, _) => {
                let says = "bootstrap: command and recovery_target_... are for method = \
                            \"command\": write that, or take them out";
                self.refuse(super::error::At::File, says.to_owned())
            }
        }
    }

    /// A standby cluster: everything else is as the other cluster has it.
    fn standby(&mut self, file: &BootstrapFile, method: &Text) -> Option<Bootstrap> {
        let slot = file.standby_slot.as_ref();
        let slot = slot.map(|said| self.slot_name(said)).unwrap_or(Some(None))?;
        let Some(said) = &file.standby_of else {
            let says = "bootstrap.standby_of is missing: write where the Postgres of each member of \
                        the other cluster listens, such as [\"10.0.0.1:5432\"]";
            return self.refuse_said(method, says.to_owned());
        };
        let mut hosts: Vec<Address> = Vec::new();
        for one in said.value() {
            match one.value().parse::<Address>() {
                Ok(address) if address.port > 0 && !address.host.contains(',') => {
                    hosts.push(address);
                }
                Ok(_) | Err(_) => {
                    let says = format!(
                        "bootstrap.standby_of: '{}' is not an address such as 10.0.0.1:5432",
                        one.value()
                    );
                    return self.refuse_said(one, says);
                }
            }
        }
        if hosts.is_empty() {
            let says =
                "bootstrap.standby_of is empty: write the other cluster's members".to_owned();
            return self.refuse_said(said, says);
        }
        let alone = BootstrapFile {
            method: file.method.clone(),
            standby_of: file.standby_of.clone(),
            standby_slot: file.standby_slot.clone(),
            ..BootstrapFile::default()
        };
        if format!("{alone:?}") != format!("{file:?}") {
            let says = "bootstrap: a standby cluster is as the other cluster is: take out what is \
                        there beside method, standby_of and standby_slot";
            return self.refuse(super::error::At::File, says.to_owned());
        }
        Some(Bootstrap::Standby(Site { hosts, slot }))
    }

    fn slot_name(&mut self, said: &Text) -> Option<Option<String>> {
        let name = said.value();
        match name_objection(name) {
            None => Some(Some(name.clone())),
            Some(why) => self.refuse_said(said, format!("bootstrap.standby_slot: '{name}': {why}")),
        }
    }

    /// What is no name is refused here. Whether there is such a locale, initdb says.
    fn initdb(&mut self, file: &BootstrapFile) -> InitDb {
        let usual = InitDb::default();
        let locale = file.locale.as_ref().and_then(|said| self.name_of("locale", said));
        let encoding = file.encoding.as_ref().and_then(|said| self.name_of("encoding", said));
        let size = file.wal_segment_size.as_ref().and_then(|said| self.segment_size(said));
        InitDb {
            locale: locale.unwrap_or(usual.locale),
            icu_locale: file.icu_locale.as_ref().and_then(|said| self.name_of("icu_locale", said)),
            encoding: encoding.unwrap_or(usual.encoding),
            wal_segment_size: size.unwrap_or(usual.wal_segment_size),
        }
    }

    fn name_of(&mut self, key: &str, said: &Text) -> Option<String> {
        let value = said.value();
        let mut letters = value.chars();
        let begins = letters.next().is_some_and(|c| c.is_ascii_alphanumeric());
        if begins && letters.all(|c| c.is_ascii_alphanumeric() || "_.@-=;,".contains(c)) {
            return Some(value.clone());
        }
        let says = format!("bootstrap.{key}: '{value}' is none: see docs/configuration.md");
        self.refuse_said(said, says)
    }

    fn segment_size(&mut self, said: &Text) -> Option<u64> {
        let size = bytes(said.value());
        let fits = size.filter(|size| size.is_power_of_two() && (1 << 20..=1 << 30).contains(size));
        fits.or_else(|| {
            let says = format!(
                "bootstrap.wal_segment_size: '{}' is none: write 1MB, 2MB, 4MB and so on to 1GB",
                said.value()
            );
            self.refuse_said(said, says)
        })
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
