//! The files of a playground: its directories, secrets, configurations and the record of what runs. Starts nothing.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use haa_core::units::{Address, MemberName};

use super::error::PlaygroundError;
use super::options::{Options, Routers, merge};
use super::process::{Process, User};
use super::{ports, programs};

/// The record of a playground: `state.json`, written before anything that it names is used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) directory: PathBuf,
    pub(super) cluster: String,
    pub(super) haad: PathBuf,
    pub(super) agent_arguments: Vec<String>,
    pub(super) user: Option<User>,
    pub(super) etcd: Store,
    pub(super) members: BTreeMap<MemberName, Member>,
}

/// The one etcd.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Store {
    pub(super) program: PathBuf,
    pub(super) client_port: u16,
    pub(super) peer_port: u16,
    pub(super) process: Option<Process>,
}

/// One member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) postgres_port: u16,
    pub(super) api_port: u16,
    /// Its router's, for writers and for readers.
    #[serde(default)]
    pub(super) router_ports: Option<(u16, u16)>,
    /// Its agents, the newest last; of an earlier one, what it started can still be there.
    pub(super) agents: Vec<Process>,
}

impl Member {
    /// Everything of its agents, but for sessions of their own.
    pub(super) fn sessions(&self) -> impl Iterator<Item = Process> {
        self.agents.iter().flat_map(|agent| agent.session())
    }
}

impl State {
    /// Makes the directory and everything in it that is there before the first start.
    pub(super) fn create(options: &Options) -> Result<Self, PlaygroundError> {
        let etcd = programs::etcd()?;
        let postgres = programs::postgres()?;
        let user = programs::user()?;
        let haad = programs::found(&options.haad)?;
        let port = || match options.first_port {
            Some(first) => ports::claim_from(first).map_err(|_| PlaygroundError::NoPort(first)),
            None => ports::claim().map_err(|_| PlaygroundError::NoPort(ports::RANGE.start)),
        };
        let (client_port, peer_port) = (port()?, port()?);
        let mut members = BTreeMap::new();
        for name in &options.members {
            let (postgres_port, api_port) = (port()?, port()?);
            let router_ports = match options.routers {
                Routers::Off => None,
                Routers::On => Some((port()?, port()?)),
            };
            let member = Member { postgres_port, api_port, router_ports, agents: Vec::new() };
            members.insert(name.clone(), member);
        }
        let directory = new_directory(&options.directory)?;
        let mut state = Self {
            cluster: options.cluster.clone(),
            haad,
            agent_arguments: options.agent_arguments.clone(),
            directory,
            user,
            etcd: Store { program: etcd, client_port, peer_port, process: None },
            members,
        };
        state.fill(&postgres, &options.extra).inspect_err(|_| {
            // What is half made helps nobody, and it is ours alone: the directory was empty.
            let _ = fs::remove_dir_all(&state.directory);
        })?;
        Ok(state)
    }

    fn fill(&mut self, postgres: &Path, extra: &toml::Table) -> Result<(), PlaygroundError> {
        self.haad = programs::reachable(&self.haad, self.user, &self.directory)?;
        self.save()?;
        self.write_files(postgres, extra)
    }

    /// Reads the record of a playground that was made before.
    pub(super) fn load(directory: &Path) -> Result<Self, PlaygroundError> {
        let path = directory.join("state.json");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(PlaygroundError::Absent(directory.to_owned()));
            }
            other => other.map_err(PlaygroundError::file("read", &path))?,
        };
        let ours = |path: &Path| {
            let uid = rustix::process::geteuid().as_raw();
            fs::metadata(path).is_ok_and(|found| found.uid() == uid)
        };
        if !ours(&path) || !ours(directory) {
            let why = "belongs to another user";
            return Err(PlaygroundError::Foreign { path: directory.to_owned(), why });
        }
        serde_json::from_str(&text)
            .map_err(|error| PlaygroundError::Odd { what: path, why: error.to_string() })
    }

    /// Writes the record; a reader sees the old one or the new one.
    pub(super) fn save(&self) -> Result<(), PlaygroundError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| PlaygroundError::Odd {
            what: self.path("state"),
            why: error.to_string(),
        })?;
        let (new, path) = (self.path("state.json.new"), self.path("state.json"));
        write_private(&new, &text, None)?;
        fs::rename(&new, &path).map_err(PlaygroundError::file("write", path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn home(&self, name: &MemberName) -> PathBuf {
        self.directory.join(name.as_str())
    }

    pub(super) fn member(&self, name: &MemberName) -> Result<&Member, PlaygroundError> {
        self.members.get(name).ok_or_else(|| PlaygroundError::UnknownMember {
            asked: name.clone(),
            known: self.members.keys().map(MemberName::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd.client_port)
    }

    fn write_files(&self, postgres: &Path, extra: &toml::Table) -> Result<(), PlaygroundError> {
        let folder = |path: PathBuf| make_directory(&path, 0o700, self.user);
        folder(self.path("etcd"))?;
        folder(self.path("secrets"))?;
        for name in ["superuser", "replication", "rewind", "token"] {
            let secret = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
            write_private(&self.path("secrets").join(name), &format!("{secret}\n"), self.user)?;
        }
        for (name, member) in &self.members {
            folder(self.home(name))?;
            let mut table = self.member_table(name, member, postgres)?;
            merge(&mut table, extra.clone());
            let text = format!("# Written by haactl playground; removed by its stop.\n{table}");
            write_private(&self.home(name).join("haad.toml"), &text, self.user)?;
        }
        let ports = self.members.values().map(|member| loopback(member.api_port));
        let client = json!({
            "api": ports.map(|address| address.to_string()).collect::<Vec<_>>(),
            "token_file": self.path("secrets/token"),
        });
        let client = self.as_table(client)?.to_string();
        write_private(&self.path("haactl.toml"), &client, None)
    }

    fn member_table(
        &self,
        name: &MemberName,
        member: &Member,
        postgres: &Path,
    ) -> Result<toml::Table, PlaygroundError> {
        let home = self.home(name);
        let secret = |which: &str| self.path("secrets").join(which);
        let listens = loopback(member.postgres_port);
        let api = loopback(member.api_port);
        let router = match member.router_ports {
            None => json!({}),
            Some((write, read)) => {
                json!({ "read_write": loopback(write), "read_only": loopback(read) })
            }
        };
        self.as_table(json!({
            "name": name,
            "cluster": self.cluster,
            "state_directory": home.join("state"),
            "etcd": { "endpoints": [self.endpoint()] },
            "postgres": {
                "data_directory": home.join("data"),
                "bin_directory": postgres,
                "listen": listens,
                "address": listens,
                "socket_directory": home,
                // Shared memory then lives in the data directory and goes with it, whatever is killed.
                "parameters": { "dynamic_shared_memory_type": "mmap", "shared_buffers": "16MB" },
                "superuser": { "user": "postgres", "password_file": secret("superuser") },
                "replication": { "user": "haa_replication", "password_file": secret("replication") },
                "rewind": { "user": "haa_rewind", "password_file": secret("rewind") },
            },
            "api": { "listen": api, "address": api, "token_file": secret("token") },
            "router": router,
        }))
    }

    fn as_table(&self, document: serde_json::Value) -> Result<toml::Table, PlaygroundError> {
        toml::Table::try_from(document).map_err(|error| PlaygroundError::Odd {
            what: self.path("haad.toml"),
            why: error.to_string(),
        })
    }
}

/// An address of this machine that no other machine reaches.
pub(super) fn loopback(port: u16) -> Address {
    Address { host: "127.0.0.1".to_owned(), port }
}

/// Makes the playground's own directory: passable for the user that the servers run as, readable for nobody.
fn new_directory(path: &Path) -> Result<PathBuf, PlaygroundError> {
    let foreign = |why| PlaygroundError::Foreign { path: path.to_owned(), why };
    // A member's socket is DIRECTORY/NAME/.s.PGSQL.PORT.
    if path.as_os_str().len() > 60 {
        return Err(PlaygroundError::PathTooLong(path.to_owned()));
    }
    match fs::symlink_metadata(path) {
        Err(_) => make_directory(path, 0o711, None)?,
        Ok(found) if !found.is_dir() => return Err(foreign("is not a directory")),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            return Err(foreign("belongs to another user"));
        }
        Ok(_) if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) => {
            return Err(foreign("holds files that are not a playground's"));
        }
        Ok(_) => fs::set_permissions(path, fs::Permissions::from_mode(0o711))
            .map_err(PlaygroundError::file("change", path))?,
    }
    path.canonicalize().map_err(PlaygroundError::file("find", path))
}

fn make_directory(path: &Path, mode: u32, user: Option<User>) -> Result<(), PlaygroundError> {
    let made = DirBuilder::new().mode(mode).create(path);
    made.map_err(PlaygroundError::file("make directory", path))?;
    give(path, user)
}

/// Writes a file that nobody else may read.
fn write_private(path: &Path, text: &str, user: Option<User>) -> Result<(), PlaygroundError> {
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(PlaygroundError::file("write", path))?;
    give(path, user)
}

fn give(path: &Path, user: Option<User>) -> Result<(), PlaygroundError> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(user.uid), Some(user.gid)).map_err(PlaygroundError::file("hand over", path))
}
