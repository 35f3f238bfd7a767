//! `haad.toml`: what one member is told. Parsed and checked once; after this nobody asks again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haa_core::records::Tags;
use haa_core::settings::Settings;
use haa_core::site::Site;
use haa_core::units::{Address, MemberName, Millis};
use toml::de::DeTable;

use crate::tls::Tls;

mod api;
pub mod binaries;
mod bootstrap;
mod check;
mod clone;
mod difference;
mod error;
mod etcd;
mod file;
pub(crate) mod fresh;
mod guard;
mod hooks;
mod keys;
mod near;
mod parameters;
mod pgbouncer;
pub mod planned;
mod resets;
mod router;
pub(crate) mod secrets;
mod server;
pub mod settings;
pub(crate) mod size;
mod slots;
mod source;
#[cfg(test)]
mod tests;

pub use difference::Difference;
pub use error::{At, ConfigError, Problem};
pub(crate) use near::nearest;
pub(crate) use parameters::refusal;
pub(crate) use slots::name_objection;

/// The tags that mean something to haad.
pub(crate) fn known_tags() -> Vec<&'static str> {
    keys::words_in("tags")
}

/// A commented configuration of one member, as `haad config example` prints it.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The JSON schema of `haad.toml`, as `haad config schema` prints it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(file::File).to_value()
}

/// This process' variables. What is not UTF-8 is not ours to read.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The line of `[postgres.parameters]` that names this one.
pub(crate) fn line_of_parameter(text: &str, name: &str) -> Option<usize> {
    let whole = DeTable::parse(text).ok()?;
    let section = whole.get_ref().get("postgres")?.get_ref().as_table()?;
    let parameters = section.get("parameters")?.get_ref().as_table()?;
    let (key, _) = parameters.iter().find(|(key, _)| key.get_ref().eq_ignore_ascii_case(name))?;
    Some(1 + text.get(..key.span().start)?.matches('\n').count())
}

impl Config {
    /// Reads `haad.toml`, puts the `HAAD_*` variables of `env` over it, reads the files that it names, and
    /// checks all of it. `PATH` of `env` is where Postgres' programs are looked for last.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line and what to do.
    pub fn load(path: &Path, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let says = format!(
                "cannot be read ({error}): `haad config example > {}` makes one to begin with",
                path.display()
            );
            ConfigError::whole(path, says)
        })?;
        let mut problems = Vec::new();
        let file = source::Source::new(&text).read(path, env, &mut problems)?;
        let mut checker = check::Checker { source: source::Source::new(&text), env, problems };
        match checker.config(&file) {
            Some(config) if checker.problems.is_empty() => {
                Ok(Self { file: path.to_owned(), ..config })
            }
            Some(_) | None => Err(ConfigError::new(path, checker.problems)),
        }
    }
}

/// A member's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read.
    pub file: PathBuf,
    /// Its name.
    pub name: MemberName,
    /// The cluster's name: 1 to 48 of `a-z 0-9 - _`.
    pub cluster: String,
    /// Where the agent keeps what it must remember; beside the data directory unless said otherwise.
    pub state_directory: PathBuf,
    /// The store.
    pub etcd: Etcd,
    /// The server.
    pub postgres: Postgres,
    /// The API.
    pub api: Api,
    /// The guard.
    pub guard: Guard,
    /// The router, if there is to be one.
    pub router: Option<Router>,
    /// The PgBouncers before the cluster, if the agent is to know them.
    pub pgbouncer: Option<Pgbouncer>,
    /// The operator's own programs.
    pub hooks: Hooks,
    /// The operator's tags.
    pub tags: Tags,
    /// How to log.
    pub log: Log,
    /// What a new cluster begins with; an existing one keeps its own.
    pub settings: Settings,
}

/// How to reach etcd.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// One URL a member, `http://` or `https://`.
    pub endpoints: Vec<String>,
    /// User name and password, already read from their file.
    pub login: Option<Login>,
    /// Certificate authority, PEM, already read.
    pub ca: Option<Vec<u8>>,
    /// Client certificate and key, PEM, already read.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A name with its password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password, from a file.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The server and its files.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// `PGDATA`.
    pub data_directory: PathBuf,
    /// Where `postgres`, `initdb`, `pg_basebackup` and `pg_rewind` are; found by itself unless said.
    pub bin_directory: PathBuf,
    /// `listen_addresses` and port.
    pub listen: Address,
    /// Where the other members and the clients reach it.
    pub address: Address,
    /// `unix_socket_directories`, one; the agent connects through it.
    pub socket_directory: PathBuf,
    /// The operator's postgresql.conf, included before ours; never edited.
    pub include: Option<PathBuf>,
    /// The operator's parameters, in order of name.
    pub parameters: BTreeMap<String, String>,
    /// Those of the settings, until the cluster's own are known; the ones above go before them.
    pub shared_parameters: BTreeMap<String, String>,
    /// The cluster's name, for whoever is told of it.
    pub cluster: String,
    /// What a new cluster is made of.
    pub bootstrap: Bootstrap,
    /// How its data are copied.
    pub cloning: Cloning,
    /// How the operator's archive gives back WAL, with `%f` and `%p`; `None` where there is none.
    pub restore_command: Option<String>,
    /// `wal_receiver_timeout`, unless the operator's own files say otherwise.
    pub receiver_timeout: Millis,
    /// The operator's lines of `pg_hba.conf`.
    pub hba: Vec<String>,
    /// For everything that the agent does in its own server.
    pub superuser: Login,
    /// For streaming and cloning.
    pub replication: Login,
    /// For `pg_rewind`.
    pub rewind: Login,
}

/// How a member's data are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloning {
    /// Bytes a second that pg_basebackup may copy.
    pub rate_limit: Option<u64>,
    /// The operator's own ways, each tried before the next.
    pub methods: Vec<Method>,
    /// Whether pg_basebackup comes after them.
    pub basebackup: bool,
}

impl Default for Cloning {
    fn default() -> Self {
        Self { rate_limit: None, methods: Vec::new(), basebackup: true }
    }
}

/// What a new cluster is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// An empty database.
    InitDb(InitDb),
    /// A backup.
    Command(Restore),
    /// A copy of another cluster, which it follows.
    Standby(Site),
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self::InitDb(InitDb::default())
    }
}

/// What holds for a database system from its making on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitDb {
    /// Of the C library: how text sorts, and which letters there are.
    pub locale: String,
    /// ICU's, which sorts instead of the C library's where it is said.
    pub icu_locale: Option<String>,
    /// Of the databases.
    pub encoding: String,
    /// Of the WAL's files, in bytes: a power of two.
    pub wal_segment_size: u64,
}

impl Default for InitDb {
    fn default() -> Self {
        Self {
            locale: "C.UTF-8".to_owned(),
            icu_locale: None,
            encoding: "UTF8".to_owned(),
            wal_segment_size: 16 << 20,
        }
    }
}

/// How a backup becomes a new cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// What restores it.
    pub command: Command,
    /// How long that may take.
    pub timeout: Duration,
    /// Until where it is recovered: Postgres' own parameters. None: to the end of the archive.
    pub target: Vec<(&'static str, String)>,
}

/// A program that restores a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// What it is called.
    pub name: String,
    /// The program.
    pub command: Command,
    /// How long it may take.
    pub timeout: Duration,
}

/// The HTTP API and the peers' service, on one port.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where to listen.
    pub listen: Address,
    /// Where the others reach it.
    pub address: Address,
    /// The file with the tokens that commands and peers need; read anew when it changes.
    pub token_file: PathBuf,
    /// Who may ask for more than health and routes.
    pub questions: Questions,
    /// How TLS is spoken there, if it is.
    pub tls: Option<Tls>,
}

/// Who may ask for documents and metrics. Health checks and routes are answered to everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Questions {
    /// Everybody.
    #[default]
    Open,
    /// Whoever has a token, of any role.
    Token,
}

/// The process that closes writes when the agent cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Whether there is one; without it, nothing is promoted less, and an agent that is frozen closes nothing.
    pub enabled: bool,
    /// A watchdog device to feed while this member leads.
    pub watchdog: Option<PathBuf>,
}

/// The TCP router: at least one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Where writers come.
    pub read_write: Option<Address>,
    /// Where readers come.
    pub read_only: Option<Address>,
    /// So many clients on each port, those that are held among them.
    pub max_connections: u64,
    /// So many are held on each port.
    pub max_held: u64,
    /// How long a client is held while there is no server for it.
    pub hold: Duration,
    /// How long clients may go on when the agent stops.
    pub drain: Duration,
}

/// PgBouncers that are held while the leadership is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pgbouncer {
    /// Where their admin consoles answer: at least one.
    pub consoles: Vec<Address>,
    /// One of their `admin_users`.
    pub login: Login,
    /// Which of their databases lead to this cluster; empty: all.
    pub databases: Vec<String>,
    /// How long transactions may take to end before a hand-over is refused.
    pub pause_timeout: Duration,
    /// Whom to believe that it is they: certificates of this authority. `None`: they are spoken to in clear.
    pub authority: Option<PathBuf>,
}

/// The operator's own programs, run when something happens to this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// It has become primary, or has ceased to be.
    pub on_role_change: Option<Command>,
    /// Its Postgres has started.
    pub on_start: Option<Command>,
    /// Its Postgres has stopped.
    pub on_stop: Option<Command>,
    /// It is about to be promoted: ends it with anything but 0, it is not.
    pub before_promote: Option<Command>,
    /// How long each may take, but for `before_promote`.
    pub timeout: Duration,
    /// How long `before_promote` may take.
    pub before_promote_timeout: Duration,
}

/// A program that nobody but its owner can change, and its arguments. No shell reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where it is.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// How to log.
#[derive(Clone, Debug)]
pub struct Log {
    /// In which form.
    pub format: LogFormat,
    /// A filter such as `info` or `haa::store=debug`.
    pub level: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
