//! Pools to the members' Postgres, and what became of work on them. Knows no roles and no routes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error, NoTls};

/// A login, or a place in the pool, comes by then.
const CONNECT: Duration = Duration::from_secs(2);

/// Who logs in.
#[derive(Args, Clone, Debug)]
pub struct Login {
    /// The database
    #[arg(long, env = "PGDATABASE", default_value = "postgres")]
    pub database: String,
    /// The role
    #[arg(long, env = "PGUSER")]
    pub user: String,
    /// A file with its password
    #[arg(long, env = "PGPASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
}

/// What became of a transaction that failed.
#[derive(Debug)]
pub enum Failed {
    /// Nothing was done: it may be tried again, whatever it was.
    NotDone(String),
    /// It was asked to commit, and nobody said what came of that. It may be tried again only if doing it twice is the
    /// same as doing it once.
    Unknown(String),
    /// Postgres refused it, and will again.
    Refused(String),
}

/// How far a transaction had come.
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// COMMIT was not sent.
    Open,
    /// COMMIT was sent.
    Committing,
}

impl Failed {
    /// What an error means at that stage.
    pub fn at(stage: Stage, error: &Error) -> Self {
        let code = error.code();
        let said = error.as_db_error().map_or_else(|| error.to_string(), |said| said.to_string());
        let again = [
            // Serialization, deadlock: the whole transaction is to be done again.
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            // We still talk to a server that does not lead any more.
            &SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        let ends = [
            &SqlState::ADMIN_SHUTDOWN,
            &SqlState::CRASH_SHUTDOWN,
            &SqlState::CANNOT_CONNECT_NOW,
            &SqlState::TOO_MANY_CONNECTIONS,
        ];
        match (stage, code) {
            (_, Some(code)) if again.contains(&code) => Self::NotDone(said),
            (Stage::Open, Some(code)) if ends.contains(&code) => Self::NotDone(said),
            (Stage::Open, Some(_)) => Self::Refused(said),
            // The connection broke.
            (Stage::Open, None) => Self::NotDone(said),
            // A server that is stopped ends a COMMIT that waits for replicas by 57P01: it may be on one of them.
            (Stage::Committing, _) => Self::Unknown(said),
        }
    }
}

/// One pool a member.
#[derive(Debug)]
pub struct Databases {
    login: Config,
    pools: Mutex<HashMap<String, Pool>>,
}

impl Login {
    /// As a connection needs it, without a server.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::new();
        config.user(&self.user).dbname(&self.database).application_name("shop");
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            config.password(text.trim_end());
        }
        Ok(config)
    }
}

impl Databases {
    /// Connects to nobody yet.
    #[must_use]
    pub fn new(mut login: Config) -> Self {
        login.connect_timeout(CONNECT);
        Self { login, pools: Mutex::default() }
    }

    /// A connection to this `HOST:PORT`.
    ///
    /// # Errors
    /// When there is none in time: nothing was done.
    pub async fn connect(&self, place: &str) -> Result<Object, Failed> {
        let failed = |said: String| Failed::NotDone(format!("{place}: {said}"));
        let pool = self.pool(place).map_err(|error| failed(format!("{error:#}")))?;
        pool.get().await.map_err(|error| failed(error.to_string()))
    }

    /// Nobody is to talk to it any more: connections that wait in its pool end.
    pub fn leave(&self, place: &str) {
        if let Some(pool) = self.lock().remove(place) {
            pool.close();
        }
    }

    fn pool(&self, place: &str) -> anyhow::Result<Pool> {
        let mut pools = self.lock();
        if let Some(pool) = pools.get(place) {
            return Ok(pool.clone());
        }
        let (host, port) = place.rsplit_once(':').context("no port")?;
        let mut config = self.login.clone();
        config.host(host.trim_matches(['[', ']'])).port(port.parse()?);
        // A connection that was lost is found when it is used; looking before costs a round trip each time.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager).max_size(16).runtime(Runtime::Tokio1);
        let pool = pool.wait_timeout(Some(CONNECT)).create_timeout(Some(CONNECT)).build()?;
        pools.insert(place.to_owned(), pool.clone());
        Ok(pool)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Pool>> {
        self.pools.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
