//! Sessions in our own server, over its unix socket, and the one that asks a rewind's source.
//! Every answer has a deadline of ours. Never a decision.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::site::Site;
use crate::config::Login;
use haa_core::units::Address;

/// A server that has not answered a small question by then is silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// Nobody listens, or the server says that it does not take connections at the moment.
    #[error("Postgres does not accept connections")]
    NotAccepting(#[source] tokio_postgres::Error),
    #[error(
        "Postgres refuses the login of '{user}'; the role must exist, and the password file in haad.toml \
         must hold the password that it has; over the socket, only the operating system's user of the \
         same name needs none (peer)"
    )]
    Login { user: String, source: tokio_postgres::Error },
    #[error("Postgres did not answer within {} ms", after.as_millis())]
    Silent { after: Duration },
    #[error("Postgres answered with an error")]
    Refused(#[source] tokio_postgres::Error),
    #[error("Postgres' answer lacks column {column}")]
    Odd { column: usize },
}

impl SqlError {
    /// It answers, and has no place for us: that tells nothing of its health. Whatever else it says in the place of an
    /// answer may be the word of a broken disk.
    pub(super) fn keeps_us_out(&self) -> bool {
        match self {
            Self::Login { .. } => true,
            Self::Refused(error) => error.code().is_some_and(|code| {
                let known = [
                    SqlState::TOO_MANY_CONNECTIONS,
                    SqlState::UNDEFINED_DATABASE,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                ];
                known.contains(code)
            }),
            Self::NotAccepting(_) | Self::Silent { .. } | Self::Odd { .. } => false,
        }
    }
}

/// A session. Dropping it ends it.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    /// `Site::source_writes` when the session was opened, or from when on it shows what was written.
    pub(super) opened_at: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// A new session of the superuser in our own server.
    pub(super) async fn open(site: &Site) -> Result<Self, SqlError> {
        Self::connect(own(site), site.source_writes()).await
    }

    /// The same in another of its databases.
    pub(super) async fn open_in(site: &Site, database: &str) -> Result<Self, SqlError> {
        let mut config = own(site);
        config.dbname(database);
        Self::connect(config, site.source_writes()).await
    }

    /// A session in another member's server.
    pub(super) async fn open_at(address: &Address, login: &Login) -> Result<Self, SqlError> {
        let mut config = config(login);
        config.host(&address.host).port(address.port);
        Self::connect(config, 0).await
    }

    async fn connect(config: tokio_postgres::Config, opened_at: u64) -> Result<Self, SqlError> {
        let (client, connection) = timeout(PATIENCE, config.connect(NoTls))
            .await
            .map_err(|_| SqlError::Silent { after: PATIENCE })?
            .map_err(|error| refused(error, config.get_user().unwrap_or_default()))?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a session ended");
            }
        });
        Ok(Self { client, connection, opened_at })
    }

    /// Asks, in one round trip, and returns the rows of all statements.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Row>, SqlError> {
        self.rows_within(sql, PATIENCE).await
    }

    /// As [`Session::rows`], for a question that may take longer.
    pub(super) async fn rows_within(
        &self,
        sql: &str,
        patience: Duration,
    ) -> Result<Vec<Row>, SqlError> {
        let messages = timeout(patience, self.client.simple_query(sql))
            .await
            .map_err(|_| SqlError::Silent { after: patience })?
            .map_err(|error| refused(error, ""))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(Row(row)),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The first column of the first row; `None` for NULL and for no row.
    pub(super) async fn value(&self, sql: &str) -> Result<Option<String>, SqlError> {
        let rows = self.rows(sql).await?;
        Ok(rows.first().and_then(|row| row.text(0)).map(str::to_owned))
    }

    /// The connection is known to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// A row as text.
pub(super) struct Row(SimpleQueryRow);

impl Row {
    /// `None` for NULL.
    pub(super) fn text(&self, column: usize) -> Option<&str> {
        self.0.try_get(column).ok().flatten()
    }

    /// `None` for NULL and for what does not parse.
    pub(super) fn parse<T: std::str::FromStr>(&self, column: usize) -> Option<T> {
        self.text(column)?.parse().ok()
    }

    /// A value that must be there.
    pub(super) fn need<T: std::str::FromStr>(&self, column: usize) -> Result<T, SqlError> {
        self.parse(column).ok_or(SqlError::Odd { column })
    }

    pub(super) fn is_true(&self, column: usize) -> bool {
        self.text(column) == Some("t")
    }
}

/// Whatever the parameters say for everybody else. A standby answers nothing to a session that is serializable.
const OPTIONS: &str = "-c search_path=pg_catalog -c statement_timeout=0 \
     -c client_min_messages=error -c default_transaction_isolation=read\\ committed";

/// From 17 on a trigger may run at each login: one that writes, or fails, would shut us out, of a standby first of all.
const NO_TRIGGERS: &str = " -c event_triggers=off -c transaction_timeout=0";
const TRIGGERED_FROM: u32 = 17;

/// In our own server, where we may say so much.
fn own(site: &Site) -> tokio_postgres::Config {
    let mut config = config(&site.config.superuser);
    config.host_path(&site.config.socket_directory).port(site.config.listen.port);
    if site.major() >= TRIGGERED_FROM {
        config.options(format!("{OPTIONS}{NO_TRIGGERS}"));
    }
    config
}

fn config(login: &Login) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .user(&login.user)
        .password(&login.password)
        .dbname("postgres")
        .application_name("haad")
        .options(OPTIONS);
    config
}

fn refused(error: tokio_postgres::Error, user: &str) -> SqlError {
    let Some(code) = error.code() else { return SqlError::NotAccepting(error) };
    let login =
        [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(code);
    if login {
        SqlError::Login { user: user.to_owned(), source: error }
    } else if *code == SqlState::CANNOT_CONNECT_NOW {
        SqlError::NotAccepting(error)
    } else {
        SqlError::Refused(error)
    }
}

/// A string literal.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The oid of a role, as an expression; NULL without one.
pub(super) fn role(name: &str) -> String {
    format!("(SELECT oid FROM pg_authid WHERE rolname = {})", quoted(name))
}
