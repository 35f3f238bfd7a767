//! `[clone]`: how this member's data are copied. Looks at the operator's programs; never runs one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Checker;
use super::error::At;
use super::file::{Said, Text};
use super::{Cloning, Method, size};

/// A large database takes hours.
const USUAL: Duration = Duration::from_secs(24 * 3_600);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What pg_basebackup takes, bytes a second.
const SLOWEST: u64 = 32 << 10;
const FASTEST: u64 = 1 << 30;
/// The way that is there without being said.
const OURS: &str = "basebackup";

/// `[clone]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloneFile {
    /// So much a second is copied by pg_basebackup at most, such as `50MB`. Default: as much as comes.
    pub(super) rate_limit: Option<Text>,
    /// pg_basebackup copies where no `method` has; false: nothing does then. Default: true.
    pub(super) basebackup: Option<Said<bool>>,
    /// Your own programs, each tried before the next: a backup that is restored instead of a member that is copied.
    #[serde(default)]
    pub(super) method: Vec<Said<MethodFile>>,
}

/// `[[clone.method]]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MethodFile {
    /// What it is called in the log: letters, digits, `-` and `_`.
    #[schemars(required)]
    pub(super) name: Option<Text>,
    /// The program with its path, and its arguments. It restores into `$HAA_DATA_DIRECTORY`.
    #[schemars(required)]
    pub(super) command: Option<Said<Vec<Text>>>,
    /// How long it may take. Default: 24h.
    pub(super) timeout: Option<Text>,
}

impl Checker<'_> {
    /// `[clone]`
    pub(super) fn cloning(&mut self, file: &CloneFile) -> Option<Cloning> {
        let before = self.problems.len();
        let rate_limit = file.rate_limit.as_ref().and_then(|said| self.rate(said));
        let mut methods: Vec<Method> = Vec::new();
        for said in &file.method {
            let Some(method) = self.method(said) else { continue };
            if methods.iter().any(|other| other.name == method.name) {
                let name = method.name;
                let says =
                    format!("clone.method: there are two called {name}: give each its own name");
                self.refuse_said::<(), _>(said, says);
                continue;
            }
            methods.push(method);
        }
        let basebackup = file.basebackup.as_ref().is_none_or(|said| *said.value());
        if let (false, [], Some(said)) = (basebackup, &file.method[..], &file.basebackup) {
            let says = "clone.basebackup: without it and without a [[clone.method]] nothing \
                        can clone this member: add one, or take this out";
            self.refuse_said::<(), _>(said, says.to_owned());
        }
        (self.problems.len() == before).then_some(Cloning { rate_limit, methods, basebackup })
    }

    fn rate(&mut self, said: &Text) -> Option<u64> {
        let rate = size::bytes(said.value());
        rate.filter(|rate| (SLOWEST..=FASTEST).contains(rate)).or_else(|| {
            let says = format!(
                "clone.rate_limit: '{}' is no rate: write what may be copied in a second, 32kB to \
                 1GB, such as 50MB",
                said.value()
            );
            self.refuse_said(said, says)
        })
    }

    fn method(&mut self, said: &Said<MethodFile>) -> Option<Method> {
        let (at, file) = (self.source.of(said), said.value());
        let name = self.method_name(at, file.name.as_ref());
        let timeout =
            self.patience("clone.method.timeout", file.timeout.as_ref(), (USUAL, LONGEST));
        let command = match self.command("clone.method.command", file.command.as_ref())? {
            Some(command) => command,
            None => {
                let says = "clone.method.command is missing: write the program with its path and \
                            its arguments, such as [\"/usr/local/bin/restore\", \"main\"]";
                return self.refuse(at, says.to_owned());
            }
        };
        Some(Method { name: name?, command, timeout: timeout? })
    }

    fn method_name(&mut self, at: At, said: Option<&Text>) -> Option<String> {
        let Some(said) = said else {
            let says = "clone.method.name is missing: give it one for the log, such as name = \
                        \"pgbackrest\"";
            return self.refuse(at, says.to_owned());
        };
        let name = said.value();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name == OURS {
            let says = format!(
                "clone.method.name: {OURS} is what pg_basebackup is called, which comes last by \
                 itself: use another name"
            );
            return self.refuse_said(said, says);
        }
        if (1..=48).contains(&name.len()) && name.chars().all(legal) {
            return Some(name.clone());
        }
        let says = format!(
            "clone.method.name: '{}' is not a name: use 1 to 48 letters, digits, - and _",
            name.escape_debug()
        );
        self.refuse_said(said, says)
    }
}
