//! `haad.toml`: what one member is told. Parsed and checked once; after this nobody asks again.

use std::path::PathBuf;

use haa_core::records::Tags;
use haa_core::settings::Settings;
use haa_core::units::{Address, MemberName};

/// A member's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
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
    pub parameters: std::collections::BTreeMap<String, String>,
    /// The operator's lines of `pg_hba.conf`.
    pub hba: Vec<String>,
    /// For everything that the agent does in its own server.
    pub superuser: Login,
    /// For streaming and cloning.
    pub replication: Login,
    /// For `pg_rewind`.
    pub rewind: Login,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
