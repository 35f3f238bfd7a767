//! `[pgbouncer]`: admin consoles and how to be let in there. Reads the password; never connects.

use std::path::PathBuf;
use std::time::Duration;

use haa_core::units::Address;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Checker;
use super::error::At;
use super::file::{Said, Text};
use super::{Login, Pgbouncer};
use crate::tls::Believer;

/// While they are held, clients wait: PgBouncer itself lets nobody wait longer than `query_wait_timeout`, 120 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const USUAL_PAUSE: Duration = Duration::from_secs(5);
const USUAL_USER: &str = "pgbouncer";

/// `[pgbouncer]`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PgbouncerFile {
    /// Where the admin consoles of the PgBouncers before this cluster answer, such as `10.0.0.9:6432`.
    pub(super) consoles: Option<Said<Vec<Text>>>,
    /// One of their `admin_users`. Default: `pgbouncer`.
    pub(super) user: Option<Text>,
    /// The file with its password; nobody else may read it.
    pub(super) password_file: Option<Text>,
    /// Which of their databases lead to this cluster. Default: all.
    pub(super) databases: Option<Said<Vec<Text>>>,
    /// How long transactions may take to end before a switchover is refused. Default: 5s.
    pub(super) pause_timeout: Option<Text>,
    /// The authority of their certificates, PEM. With it the consoles are spoken to over TLS, and each certificate must
    /// be for the host in `consoles`. Default: in clear.
    pub(super) ca_file: Option<Text>,
}

impl Checker<'_> {
    /// `[pgbouncer]`; `Some(None)`: there is none.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    pub(super) fn pgbouncer(
        &mut self,
        section: Option<&Said<PgbouncerFile>>,
    ) -> Option<Option<Pgbouncer>> {
        let Some(section) = section else { return Some(None) };
        let (at, file) = (self.source.of(section), section.value());
        let Some(said) = &file.consoles else { return self.without_consoles(file, at) };
        let consoles = self.consoles(said);
        let user = match &file.user {
            None => Some(USUAL_USER.to_owned()),
            Some(said) if said.value().is_empty() => {
                self.refuse_said(said, "pgbouncer.user is empty: write a name".to_owned())
            }
            Some(said) => Some(said.value().clone()),
        };
        let password = self.password("pgbouncer", file.password_file.as_ref(), at);
        let databases = self.databases(file.databases.as_ref());
        let pause_timeout = self.pause_timeout(file.pause_timeout.as_ref());
        let authority = self.believed(file.ca_file.as_ref());
        Some(Some(Pgbouncer {
            consoles: consoles?,
            login: Login { user: user?, password: password? },
            databases: databases?,
            pause_timeout: pause_timeout?,
            authority: authority?,
        }))
    }

    /// An empty section is as good as none; a login for nothing is a mistake.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    fn without_consoles(&mut self, file: &PgbouncerFile, at: At) -> Option<Option<Pgbouncer>> {
        let texts = [&file.user, &file.password_file, &file.pause_timeout, &file.ca_file];
        if texts.into_iter().all(Option::is_none) && file.databases.is_none() {
            return Some(None);
        }
        let says = "pgbouncer.consoles is missing: under [pgbouncer] write \
                    consoles = [\"10.0.0.9:6432\"], one address for each PgBouncer, or remove \
                    the section";
        self.refuse(at, says.to_owned())
    }

    fn consoles(&mut self, said: &Said<Vec<Text>>) -> Option<Vec<Address>> {
        if said.value().is_empty() {
            let says = "pgbouncer.consoles is empty: write one address for each PgBouncer, such \
                        as 10.0.0.9:6432, or remove the section";
            return self.refuse_said(said, says.to_owned());
        }
        let before = self.problems.len();
        let mut consoles: Vec<Address> = Vec::new();
        for text in said.value() {
            let Some(address) = self.address("pgbouncer.consoles", text) else { continue };
            if consoles.contains(&address) {
                let says = format!(
                    "pgbouncer.consoles: {address} is there twice: write each PgBouncer once"
                );
                self.refuse_said::<(), _>(text, says);
            }
            consoles.push(address);
        }
        (self.problems.len() == before).then_some(consoles)
    }

    /// Names that its console takes as they are.
    fn databases(&mut self, said: Option<&Said<Vec<Text>>>) -> Option<Vec<String>> {
        let Some(said) = said else { return Some(Vec::new()) };
        if said.value().is_empty() {
            let says = "pgbouncer.databases is empty: leave it out for all of them";
            return self.refuse_said(said, says.to_owned());
        }
        let before = self.problems.len();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for text in said.value() {
            let name = text.value();
            if name.is_empty() || !name.chars().all(plain) {
                let says = format!(
                    "pgbouncer.databases: '{name}' has more in it than letters, digits and _: \
                     leave databases out, and all are held"
                );
                self.refuse_said::<(), _>(text, says);
            }
        }
        let names = || said.value().iter().map(|text| text.value().clone()).collect();
        (self.problems.len() == before).then(names)
    }

    /// `Some(None)`: no TLS is wanted.
    #[allow(clippy::option_option, reason = "the outer one is 'refused', as everywhere in Checker")]
    fn believed(&mut self, said: Option<&Text>) -> Option<Option<PathBuf>> {
        let Some(said) = said else { return Some(None) };
        let path = self.file("pgbouncer.ca_file", said)?;
        match Believer::load(&path) {
            Ok(_) => Some(Some(path)),
            Err(error) => self.refuse_said(said, format!("pgbouncer.ca_file: {error}")),
        }
    }

    fn pause_timeout(&mut self, said: Option<&Text>) -> Option<Duration> {
        let Some(said) = said else { return Some(USUAL_PAUSE) };
        let key = "pgbouncer.pause_timeout";
        let span = self.span(key, said)?;
        let says = match span {
            Duration::ZERO => format!("{key}: 0s lets no transaction end: write 1s or more"),
            span if span > LONGEST_PAUSE => {
                let longest = humantime::format_duration(LONGEST_PAUSE);
                format!("{key}: '{}' is too long: at most {longest}", said.value())
            }
            span => return Some(span),
        };
        self.refuse_said(said, says)
    }
}
