//! `[postgres]`: directories, addresses, roles, pg_hba lines. Reads passwords; never touches the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haa_core::settings::Timing;

use super::check::{Checker, is_within};
use super::error::At;
use super::file::{File, LoginFile, PostgresFile, Said, Text};
use super::{Bootstrap, Cloning, Login, Postgres, binaries, secrets};

/// Bytes of a Unix socket's path, without its closing zero (`sun_path` of Linux).
pub(super) const SOCKET_PATH_MAX: usize = 107;

/// What a line of pg_hba.conf begins with.
const HBA_WORDS: [&str; 6] =
    ["local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"];

impl Checker<'_> {
    /// Where the agent's own files are: beside the data directory unless said.
    pub(super) fn state_directory(
        &mut self,
        file: &File,
        postgres: &PostgresFile,
    ) -> Option<PathBuf> {
        let data = postgres.data_directory.as_ref().map(|said| PathBuf::from(said.value()));
        let Some(said) = &file.state_directory else {
            let mut name = data?.into_os_string();
            // Once: the root ends in a slash for ever.
            if name.as_encoded_bytes().ends_with(b"/") {
                name = PathBuf::from(name).components().collect::<PathBuf>().into_os_string();
            }
            name.push(".haa");
            return Some(PathBuf::from(name));
        };
        let state = self.path("state_directory", said)?;
        if data.is_some_and(|data| is_within(&state, &data)) {
            let says = format!(
                "state_directory: {} is inside the data directory, which a clone replaces: put \
                     it beside it",
                state.display()
            );
            return self.refuse_said(said, says);
        }
        Some(state)
    }

    /// `[postgres]`
    pub(super) fn postgres(
        &mut self,
        section: &Said<PostgresFile>,
        state: Option<&Path>,
    ) -> Option<Postgres> {
        let (at, file) = (self.source.of(section), section.value());
        let data = self.need("postgres.data_directory", file.data_directory.as_ref(), at);
        let data = data.and_then(|said| self.path("postgres.data_directory", &said));
        let bin = self.bin_directory(file.bin_directory.as_ref(), data.as_deref(), at);
        let said = self.need("postgres.listen", file.listen.as_ref(), at);
        let listen = said.as_ref().and_then(|said| self.address("postgres.listen", said));
        let place = said.as_ref().map(|said| self.source.of(said));
        let address =
            self.reached_at("postgres", file.address.as_ref(), listen.as_ref().zip(place));
        let socket = self.socket_directory(file.socket_directory.as_ref(), state, at);
        if let (Some(directory), Some(listen)) = (&socket, &listen) {
            self.socket_fits(directory, listen.port, file.socket_directory.as_ref(), at);
        }
        let include = file.include.as_ref().map(|said| self.file("postgres.include", said));
        let hba = self.hba(&file.hba);
        let parameters = self.parameters("postgres.parameters", &file.parameters);
        let restore_command = self.restore_command(file.restore_command.as_ref());
        let superuser = self.role("postgres.superuser", file.superuser.as_ref(), "postgres", at);
        let replication =
            self.role("postgres.replication", file.replication.as_ref(), "haa_replication", at);
        let rewind = self.role("postgres.rewind", file.rewind.as_ref(), "haa_rewind", at);
        let (superuser, replication, rewind) = (superuser?, replication?, rewind?);
        self.three_roles(&[&superuser, &replication, &rewind], at)?;
        Some(Postgres {
            data_directory: data?,
            bin_directory: bin?,
            listen: listen?,
            address: address?,
            socket_directory: socket?,
            include: match include {
                None => None,
                Some(path) => Some(path?),
            },
            parameters: parameters?,
            shared_parameters: BTreeMap::new(),
            cluster: String::new(),
            cloning: Cloning::default(),
            bootstrap: Bootstrap::default(),
            restore_command,
            receiver_timeout: Timing::default().receiver_timeout(),
            hba: hba?,
            superuser,
            replication,
            rewind,
        })
    }

    fn bin_directory(
        &mut self,
        said: Option<&Text>,
        data: Option<&Path>,
        at: At,
    ) -> Option<PathBuf> {
        let (directory, at) = match said {
            Some(said) => (self.path("postgres.bin_directory", said)?, self.source.of(said)),
            None => match binaries::find(data, self.env) {
                Ok(found) => (found, at),
                Err(looked) => {
                    let says = format!(
                        "postgres.bin_directory: there is no postgres in {looked}: \
                         install PostgreSQL, or write where its programs are"
                    );
                    return self.refuse(at, says);
                }
            },
        };
        let missing = binaries::missing_in(&directory);
        if missing.is_empty() {
            return Some(directory);
        }
        self.refuse(
            at,
            format!(
                "postgres.bin_directory: {} has no {}: install PostgreSQL's server and \
                 client programs, \
                 or write where they are",
                directory.display(),
                missing.join(", no ")
            ),
        )
    }

    fn socket_directory(
        &mut self,
        said: Option<&Text>,
        state: Option<&Path>,
        at: At,
    ) -> Option<PathBuf> {
        let directory = match said {
            Some(said) => self.path("postgres.socket_directory", said)?,
            None => state?.join("socket"),
        };
        if directory.as_os_str().as_encoded_bytes().contains(&b',') {
            let says = format!(
                "postgres.socket_directory: {} has a comma in it, which Postgres takes as a \
                     separator",
                directory.display()
            );
            return self.refuse(said.map_or(at, |said| self.source.of(said)), says);
        }
        Some(directory)
    }

    fn socket_fits(&mut self, directory: &Path, port: u16, said: Option<&Text>, at: At) {
        let socket = directory.join(format!(".s.PGSQL.{port}"));
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            let at = said.map_or(at, |said| self.source.of(said));
            let says = format!(
                "postgres.socket_directory: {} is {length} bytes long, a Unix socket's path may \
                     have \
                 {SOCKET_PATH_MAX}: write a shorter one, such as /run/haa",
                socket.display()
            );
            self.refuse::<()>(at, says);
        }
    }

    fn hba(&mut self, lines: &[Text]) -> Option<Vec<String>> {
        let before = self.problems.len();
        for said in lines {
            let line = said.value();
            let first = line.split_whitespace().next().unwrap_or("");
            if line.contains(['\n', '\r']) {
                let says = "postgres.hba: each string is one line: split this one".to_owned();
                self.refuse_said::<(), _>(said, says);
            } else if !first.starts_with('#') && !HBA_WORDS.contains(&first) {
                let says = format!(
                    "postgres.hba: '{line}' begins with none of {}: write a line as in \
                         pg_hba.conf, \
                     such as host all all 10.0.0.0/8 scram-sha-256",
                    HBA_WORDS.join(", ")
                );
                self.refuse_said::<(), _>(said, says);
            }
        }
        let taken = || lines.iter().map(|said| said.value().clone()).collect();
        (self.problems.len() == before).then(taken)
    }

    fn role(
        &mut self,
        section: &str,
        said: Option<&Said<LoginFile>>,
        usual: &str,
        at: At,
    ) -> Option<Login> {
        let Some(said) = said else {
            return self.refuse(
                at,
                format!(
                    "[{section}] is missing: add it, with password_file = \"/etc/haa/...\", \
                     a file that only haad's user may read"
                ),
            );
        };
        let at = self.source.of(said);
        let login = said.value();
        let user = match &login.user {
            None => Some(usual.to_owned()),
            Some(said) => {
                let name = said.value();
                let odd = |c: char| c.is_control() || c == '"' || c == '\\';
                if name.is_empty()
                    || name.len() > 63
                    || name.starts_with("pg_")
                    || name.contains(odd)
                {
                    let says = format!(
                        "{section}.user: '{name}' is no role's name: use 1 to 63 letters, not \
                             beginning with pg_"
                    );
                    self.refuse_said(said, says)
                } else {
                    Some(name.clone())
                }
            }
        };
        let password = self.password(section, login.password_file.as_ref(), at);
        Some(Login { user: user?, password: password? })
    }

    /// The password in the file that `section.password_file` names.
    pub(super) fn password(
        &mut self,
        section: &str,
        said: Option<&Text>,
        at: At,
    ) -> Option<String> {
        let key = format!("{section}.password_file");
        let Some(said) = said else {
            let says = format!(
                "{key} is missing: write the file with the password, such as /etc/haa/{}.password",
                section.rsplit('.').next().unwrap_or(section)
            );
            return self.refuse(at, says);
        };
        let path = self.path(&key, said)?;
        match secrets::password(&path) {
            Ok(password) => Some(password),
            Err(error) => self.refuse_said(said, format!("{key}: {error}")),
        }
    }

    fn three_roles(&mut self, logins: &[&Login; 3], at: At) -> Option<()> {
        let [superuser, replication, rewind] = logins.map(|login| login.user.as_str());
        if superuser != replication && superuser != rewind && replication != rewind {
            return Some(());
        }
        self.refuse(
            at,
            format!(
                "[postgres] superuser, replication and rewind are {superuser}, {replication} \
                 and {rewind}: \
                 use three roles, so that each can do only its own work"
            ),
        )
    }
}
