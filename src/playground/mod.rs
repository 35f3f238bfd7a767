//! A throw-away cluster on this machine: one etcd, Postgres and haad for each member. Used by `haactl playground`
//! and by the integration tests. Never touches what it did not start.
//!
//! ```no_run
//! # async fn f() -> Result<(), haa::playground::PlaygroundError> {
//! use std::time::Duration;
//! use haa::playground::{Options, Playground};
//!
//! let mut playground = Playground::create(Options::new("/tmp/p", "target/debug/haad"))?;
//! playground.start_all().await?;
//! let primary = playground.wait_for_primary(Duration::from_secs(60)).await?;
//! playground.wait_streaming(2, Duration::from_secs(60)).await?;
//! playground.kill_postgres(&primary)?;
//! # Ok(()) }
//! ```

mod accident;
pub mod bench;
mod error;
pub mod etcd;
mod layout;
mod options;
pub mod ports;
mod process;
pub mod programs;
mod teardown;
pub mod tour;
mod wait;
pub mod watch;

use std::fs;
use std::path::{Path, PathBuf};

use haa_core::units::{Address, MemberName};

pub use accident::Part;
pub use error::PlaygroundError;
pub use options::{OnDrop, Options, Routers};
pub use process::{Process, User, postgres_of, postmaster_of};

use layout::{State, loopback};
use process::Launch;

/// A throw-away cluster.
#[derive(Debug)]
pub struct Playground {
    state: State,
    on_drop: OnDrop,
}

impl Playground {
    /// Writes directories, configurations, passwords and tokens. Starts nothing.
    ///
    /// # Errors
    /// When a program is missing or the directory cannot be used.
    pub fn create(options: Options) -> Result<Self, PlaygroundError> {
        Ok(Self { state: State::create(&options)?, on_drop: OnDrop::End })
    }

    /// One that an earlier command left running.
    ///
    /// # Errors
    /// When there is none, or it belongs to another user.
    pub fn open(directory: &Path) -> Result<Self, PlaygroundError> {
        Ok(Self { state: State::load(directory)?, on_drop: OnDrop::LeaveRunning })
    }

    /// Says what becomes of the processes when this value is dropped.
    pub fn on_drop(&mut self, wish: OnDrop) {
        self.on_drop = wish;
    }

    /// Starts etcd and every member.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start_all(&mut self) -> Result<(), PlaygroundError> {
        self.start_etcd().await?;
        self.names().iter().try_for_each(|name| self.start_member(name))
    }

    /// Starts etcd, on the data that it had, and waits until it answers. Does nothing if it runs.
    ///
    /// # Errors
    /// When it ends at once or does not answer.
    pub async fn start_etcd(&mut self) -> Result<(), PlaygroundError> {
        if !self.state.etcd.process.is_some_and(Process::alive) {
            let etcd = &self.state.etcd;
            let peer = format!("http://127.0.0.1:{}", etcd.peer_port);
            let (client, data) = (self.state.endpoint(), self.state.path("etcd/data"));
            let arguments = [
                ("--name", "playground"),
                ("--data-dir", &data.to_string_lossy()),
                ("--listen-client-urls", &client),
                ("--advertise-client-urls", &client),
                ("--listen-peer-urls", &peer),
                ("--initial-advertise-peer-urls", &peer),
                ("--initial-cluster", &format!("playground={peer}")),
                ("--logger", "zap"),
            ];
            let launch = Launch {
                program: etcd.program.clone(),
                arguments: arguments
                    .iter()
                    .flat_map(|(k, v)| [k, v])
                    .map(ToString::to_string)
                    .collect(),
                log: self.etcd_log(),
                user: self.state.user,
            };
            self.state.etcd.process = Some(launch.spawn()?);
            self.state.save()?;
        }
        self.wait_for_etcd().await
    }

    /// Starts a member's agent, which starts its Postgres. Does nothing if it runs.
    ///
    /// # Errors
    /// When it cannot be started. Whether it stays is seen by waiting.
    pub fn start_member(&mut self, name: &MemberName) -> Result<(), PlaygroundError> {
        if self.agent(name)?.is_some() {
            return Ok(());
        }
        let config = self.config(name).to_string_lossy().into_owned();
        let fixed = ["run".to_owned(), "--config".to_owned(), config];
        let launch = Launch {
            program: self.state.haad.clone(),
            arguments: fixed.into_iter().chain(self.state.agent_arguments.clone()).collect(),
            log: self.log(name),
            user: self.state.user,
        };
        let process = launch.spawn()?;
        if let Some(member) = self.state.members.get_mut(name) {
            member.agents.retain(|agent| !agent.session().is_empty());
            member.agents.push(process);
        }
        self.state.save()
    }

    /// The members.
    #[must_use]
    pub fn names(&self) -> Vec<MemberName> {
        self.state.members.keys().cloned().collect()
    }

    /// Where it lives.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.state.directory
    }

    /// etcd's client URL.
    #[must_use]
    pub fn etcd_endpoint(&self) -> String {
        self.state.endpoint()
    }

    /// Where a member's agent answers.
    #[must_use]
    pub fn api(&self, name: &MemberName) -> Address {
        loopback(self.state.members.get(name).map_or(0, |member| member.api_port))
    }

    /// Where a member's Postgres listens.
    #[must_use]
    pub fn postgres(&self, name: &MemberName) -> Address {
        loopback(self.state.members.get(name).map_or(0, |member| member.postgres_port))
    }

    /// Where a member's router listens, for writers and for readers, if it runs one.
    #[must_use]
    pub fn router(&self, name: &MemberName) -> Option<(Address, Address)> {
        let (write, read) = self.state.members.get(name)?.router_ports?;
        Some((loopback(write), loopback(read)))
    }

    /// A member's data directory.
    #[must_use]
    pub fn data(&self, name: &MemberName) -> PathBuf {
        self.state.home(name).join("data")
    }

    /// A member's state directory.
    #[must_use]
    pub fn state(&self, name: &MemberName) -> PathBuf {
        self.state.home(name).join("state")
    }

    /// A member's haad.toml.
    #[must_use]
    pub fn config(&self, name: &MemberName) -> PathBuf {
        self.state.home(name).join("haad.toml")
    }

    /// A member's log.
    #[must_use]
    pub fn log(&self, name: &MemberName) -> PathBuf {
        self.state.home(name).join("haad.log")
    }

    /// The file with the token that commands need.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.state.path("secrets/token")
    }

    /// The client file for haactl.
    #[must_use]
    pub fn client_file(&self) -> PathBuf {
        self.state.path("haactl.toml")
    }

    /// The agent's process while it lives.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn agent(&self, name: &MemberName) -> Result<Option<Process>, PlaygroundError> {
        let agents = &self.state.member(name)?.agents;
        Ok(agents.last().copied().filter(|agent| agent.alive()))
    }

    /// The guard that one of a member's agents started, while it lives.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn guard(&self, name: &MemberName) -> Result<Option<Process>, PlaygroundError> {
        Ok(self.state.member(name)?.sessions().find(|process| process.is_guard()))
    }

    /// The postmaster's process while it lives.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn postmaster(&self, name: &MemberName) -> Result<Option<Process>, PlaygroundError> {
        self.state.member(name)?;
        Ok(postmaster_of(&self.data(name)))
    }

    /// How to connect as superuser to a Postgres of this cluster: host, port and password are set.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn superuser(&self, at: &Address) -> Result<tokio_postgres::Config, PlaygroundError> {
        let path = self.state.path("secrets/superuser");
        let password = fs::read_to_string(&path).map_err(PlaygroundError::file("read", &path))?;
        let mut config = tokio_postgres::Config::new();
        config.host(&at.host).port(at.port).user("postgres").dbname("postgres");
        config.password(password.trim()).application_name("playground");
        Ok(config)
    }

    fn etcd_log(&self) -> PathBuf {
        self.state.path("etcd/log")
    }
}

/// Waits until somebody wants this command to end: Ctrl-C, SIGTERM, or a closed terminal.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let waiters =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(|kind| {
            Box::pin(async move {
                match signal(kind) {
                    Ok(mut signals) => signals.recv().await,
                    // Without the wait, the signal does what it always did: it ends us.
                    Err(_) => std::future::pending().await,
                }
            })
        });
    futures_util::future::select_all(waiters).await;
}
