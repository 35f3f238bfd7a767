//! `[hooks]`: the operator's own programs. Looks at the files; never runs one.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::geteuid;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Checker;
use super::file::{Said, Text};
use super::{Command, Hooks};

/// Nobody waits for these.
const USUAL: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3_600);
/// Every failover waits for this one.
const USUAL_BEFORE: Duration = Duration::from_secs(1);

/// `[hooks]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HooksFile {
    /// Run when this member has become primary or has ceased to be: a program with its path, and its arguments.
    pub(super) on_role_change: Option<Said<Vec<Text>>>,
    /// Run when Postgres has started.
    pub(super) on_start: Option<Said<Vec<Text>>>,
    /// Run when Postgres has stopped.
    pub(super) on_stop: Option<Said<Vec<Text>>>,
    /// Run before each promotion, which waits for it; unless it ends with 0, in time, this member gives way.
    pub(super) before_promote: Option<Said<Vec<Text>>>,
    /// How long each may take, but for `before_promote`. Default: 10s.
    pub(super) timeout: Option<Text>,
    /// How long `before_promote` may take. Default: 1s.
    pub(super) before_promote_timeout: Option<Text>,
}

impl Checker<'_> {
    /// `[hooks]`; the settings of the file say how long a promotion may take.
    pub(super) fn hooks(&mut self, file: &HooksFile, promote: Duration) -> Option<Hooks> {
        let on_role_change = self.command("hooks.on_role_change", file.on_role_change.as_ref());
        let on_start = self.command("hooks.on_start", file.on_start.as_ref());
        let on_stop = self.command("hooks.on_stop", file.on_stop.as_ref());
        let before_promote = self.command("hooks.before_promote", file.before_promote.as_ref());
        let timeout = self.patience("hooks.timeout", file.timeout.as_ref(), (USUAL, LONGEST));
        let usual = USUAL_BEFORE.min(promote / 2);
        let said = file.before_promote_timeout.as_ref();
        let before = self.patience("hooks.before_promote_timeout", said, (usual, LONGEST));
        if let (Some(said), Some(before)) = (said, before)
            && before >= promote
        {
            let says = format!(
                "hooks.before_promote_timeout: {} is not less than settings.timing.promote_timeout \
                 ({}), after which a member that is not promoted gives way: write less, such as 1s",
                said.value(),
                humantime::format_duration(promote)
            );
            return self.refuse_said(said, says);
        }
        Some(Hooks {
            on_role_change: on_role_change?,
            on_start: on_start?,
            on_stop: on_stop?,
            before_promote: before_promote?,
            timeout: timeout?,
            before_promote_timeout: before?,
        })
    }

    /// How long a program may take.
    pub(super) fn patience(
        &mut self,
        key: &str,
        said: Option<&Text>,
        (usual, longest): (Duration, Duration),
    ) -> Option<Duration> {
        let Some(said) = said else { return Some(usual) };
        let says = match self.span(key, said)? {
            Duration::ZERO => format!("{key}: no program ends within 0s: write 1s or more"),
            span if span > longest => {
                let longest = humantime::format_duration(longest);
                format!("{key}: '{}' is too long: at most {longest}", said.value())
            }
            span => return Some(span),
        };
        self.refuse_said(said, says)
    }

    /// A program with its arguments. `Some(None)`: there is none.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    pub(super) fn command(
        &mut self,
        key: &str,
        said: Option<&Said<Vec<Text>>>,
    ) -> Option<Option<Command>> {
        let Some(said) = said else { return Some(None) };
        let Some((first, rest)) = said.value().split_first() else {
            let says = format!(
                "{key} is empty: write the program with its path and its arguments, such as \
                 [\"/usr/local/bin/moved\", \"--quiet\"], or take it out"
            );
            return self.refuse_said(said, says);
        };
        let program = self.file(key, first)?;
        if let Some(why) = unsafe_to_run(&program) {
            return self.refuse_said(first, format!("{key}: {} {why}", program.display()));
        }
        if let Some(odd) = said.value().iter().find(|text| text.value().contains('\0')) {
            return self.refuse_said(odd, format!("{key}: no argument can have a NUL in it"));
        }
        let arguments = rest.iter().map(|text| text.value().clone()).collect();
        Some(Some(Command { program, arguments }))
    }
}

/// Whoever can write the program can do what haad can.
fn unsafe_to_run(program: &Path) -> Option<String> {
    let found = match std::fs::metadata(program) {
        Ok(found) => found,
        Err(error) => return Some(format!("cannot be looked at: {error}")),
    };
    let (mode, owner, me) = (found.mode() & 0o7777, found.uid(), geteuid());
    let shown = program.display();
    if mode & 0o022 != 0 {
        return Some(format!("can be written by others (mode {mode:04o}): run chmod go-w {shown}"));
    }
    if owner != 0 && owner != me.as_raw() && !me.is_root() {
        return Some(format!(
            "belongs to another user (number {owner}), who can change it: run chown root {shown}"
        ));
    }
    if access(program, Access::EXEC_OK).is_err() {
        return Some(format!("cannot be run by haad's user: run chmod +x {shown}"));
    }
    None
}
