//! The admin console of one PgBouncer: `PAUSE`, `RESUME`, `RECONNECT`. Never waits without a deadline.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use haa_core::units::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::config::Pgbouncer;
use crate::tls::{Believer, TlsError};

/// Asks a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A console that has not answered by then is not there.
const PATIENCE: Duration = Duration::from_secs(1);

/// So long is waited for logins.
const LOGINS: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(5);

/// The columns of `SHOW POOLS` with connections to the server that are logged in.
const ESTABLISHED: [&str; 4] = ["sv_active", "sv_idle", "sv_used", "sv_tested"];

/// Why a PgBouncer did not do as told.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConsoleError {
    #[error("PgBouncer at {at} cannot be reached")]
    Unreachable { at: Address, source: Box<dyn Error + Send + Sync> },
    #[error("PgBouncer at {at} did not answer within {} ms", after.as_millis())]
    Silent { at: Address, after: Duration },
    #[error(
        "transactions through the PgBouncer at {at} did not end within {after:?}: end them (SHOW CLIENTS in its \
         console names who is active), or raise pgbouncer.pause_timeout, and ask again"
    )]
    Busy { at: Address, after: Duration },
    #[error(
        "PgBouncer at {at} does not take {said} from '{user}': check [pgbouncer] in haad.toml, and that PgBouncer's \
         admin_users names this user"
    )]
    Refused { at: Address, user: String, said: String, source: tokio_postgres::Error },
    #[error(
        "PgBouncer at {at} lets nobody in without TLS: give pgbouncer.ca_file in haad.toml, the authority of its \
         certificate"
    )]
    WantsTls { at: Address },
    #[error(
        "PgBouncer at {at} speaks no TLS, and pgbouncer.ca_file in haad.toml asks for it: set client_tls_sslmode, \
         client_tls_key_file and client_tls_cert_file in pgbouncer.ini, or take out ca_file"
    )]
    NoTls { at: Address },
    #[error(
        "PgBouncer at {at} is not believed: its certificate (client_tls_cert_file in pgbouncer.ini) must be for \
         '{}', and of the authority in pgbouncer.ca_file of haad.toml", at.host
    )]
    Stranger { at: Address, source: io::Error },
    #[error("pgbouncer.ca_file in haad.toml cannot be used")]
    Authority(#[from] TlsError),
}

/// One PgBouncer.
#[derive(Clone, Debug)]
pub(super) struct Console {
    pub(super) at: Address,
    config: Pgbouncer,
}

/// How it was found.
enum Was {
    Paused,
    AtWork,
}

/// Its connections to the server.
#[derive(Default)]
struct Servers {
    logging_in: u64,
    established: u64,
}

/// A session in a console. Dropping it ends it.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Console {
    pub(super) fn all(config: &Pgbouncer) -> Vec<Self> {
        let console = |at: &Address| Self { at: at.clone(), config: config.clone() };
        config.consoles.iter().map(console).collect()
    }

    /// Returns when no transaction is under way any more, and none begins.
    ///
    /// # Errors
    /// `Busy` where they do not end in time; the last may end, and it be paused, a moment later.
    pub(super) async fn pause(&self) -> Result<(), ConsoleError> {
        let session = self.open().await?;
        // A pause that was given up may still wait there for its last transaction, and be no answer to ours.
        self.resume(&session).await?;
        self.calm(&session).await?;
        let after = self.config.pause_timeout;
        let busy = |_| ConsoleError::Busy { at: self.at.clone(), after };
        timeout(after, self.tell(&session, "PAUSE")).await.map_err(busy)?
    }

    /// Lets the clients through. Where it was not paused, it connects to its server anew; else it has to anyway.
    pub(super) async fn release(&self, session: &Session) -> Result<(), ConsoleError> {
        match self.resume(session).await? {
            Was::Paused => Ok(()),
            Was::AtWork => match self.calm(session).await? {
                Servers { established: 0, .. } => Ok(()),
                Servers { .. } => self.promptly(self.tell(session, "RECONNECT")).await,
            },
        }
    }

    async fn resume(&self, session: &Session) -> Result<Was, ConsoleError> {
        self.promptly(async {
            let mut was = Was::AtWork;
            for command in self.commands("RESUME") {
                match session.client.simple_query(&command).await {
                    Ok(_) => was = Was::Paused,
                    Err(error) if says(&error, "not paused") => {}
                    Err(error) => return Err(self.failed(&command, error)),
                }
            }
            Ok(was)
        })
        .await
    }

    /// Waits a moment for logins to end. `PAUSE` and `RECONNECT` break off those under way, and then PgBouncer tells
    /// its clients of a failed login, for `server_login_retry`.
    async fn calm(&self, session: &Session) -> Result<Servers, ConsoleError> {
        let until = Instant::now() + LOGINS;
        loop {
            let servers = self.promptly(self.servers(session)).await?;
            if servers.logging_in == 0 || Instant::now() >= until {
                return Ok(servers);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn servers(&self, session: &Session) -> Result<Servers, ConsoleError> {
        let command = "SHOW POOLS";
        let shown = session.client.simple_query(command).await;
        let shown = shown.map_err(|error| self.failed(command, error))?;
        let mut servers = Servers::default();
        for message in shown {
            let SimpleQueryMessage::Row(pool) = message else { continue };
            if !self.leads_here(pool.try_get("database").ok().flatten().unwrap_or_default()) {
                continue;
            }
            let of = |column: &str| -> u64 {
                let shown = pool.try_get(column).ok().flatten();
                shown.and_then(|number| number.parse().ok()).unwrap_or(0)
            };
            servers.logging_in += of("sv_login");
            servers.established += ESTABLISHED.map(of).into_iter().sum::<u64>();
        }
        Ok(servers)
    }

    fn leads_here(&self, database: &str) -> bool {
        let databases = &self.config.databases;
        databases.is_empty() || databases.iter().any(|name| name == database)
    }

    async fn tell(&self, session: &Session, verb: &str) -> Result<(), ConsoleError> {
        for command in self.commands(verb) {
            let told = session.client.simple_query(&command).await;
            told.map_err(|error| self.failed(&command, error))?;
        }
        Ok(())
    }

    fn commands(&self, verb: &str) -> Vec<String> {
        match self.config.databases.as_slice() {
            [] => vec![verb.to_owned()],
            some => some.iter().map(|database| format!("{verb} {database}")).collect(),
        }
    }

    async fn promptly<T>(
        &self,
        work: impl Future<Output = Result<T, ConsoleError>>,
    ) -> Result<T, ConsoleError> {
        let silent = |_| ConsoleError::Silent { at: self.at.clone(), after: PATIENCE };
        timeout(PATIENCE, work).await.map_err(silent)?
    }

    pub(super) async fn open(&self) -> Result<Session, ConsoleError> {
        let mut config = tokio_postgres::Config::new();
        config
            .ssl_mode(SslMode::Disable)
            .dbname("pgbouncer")
            .user(&self.config.login.user)
            .password(&self.config.login.password)
            .application_name("haad");
        let login = async {
            let stream = self.connected().await?;
            let opened = config.connect_raw(stream, NoTls).await;
            opened.map_err(|error| self.failed("the login", error))
        };
        let (client, connection) = self.promptly(login).await?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a session in PgBouncer's console ended");
            }
        });
        Ok(Session { client, connection })
    }

    /// A connection, over TLS where an authority is given: then never without.
    async fn connected(&self) -> Result<Either<TcpStream, TlsStream<TcpStream>>, ConsoleError> {
        let at = || self.at.clone();
        let away = |error: io::Error| ConsoleError::Unreachable { at: at(), source: error.into() };
        let there = TcpStream::connect((self.at.host.as_str(), self.at.port)).await;
        let mut stream = there.map_err(away)?;
        let Some(authority) = &self.config.authority else { return Ok(Either::Left(stream)) };
        let believer = Believer::load(authority)?;
        stream.write_all(&SSL_REQUEST).await.map_err(away)?;
        match stream.read_u8().await.map_err(away)? {
            b'S' => {}
            _ => return Err(ConsoleError::NoTls { at: at() }),
        }
        match believer.secure(stream, &self.at).await {
            Ok(secure) => Ok(Either::Right(secure)),
            // What rustls says of a certificate, or the other side of our hello.
            Err(source) if source.kind() == io::ErrorKind::InvalidData => {
                Err(ConsoleError::Stranger { at: at(), source })
            }
            Err(source) => Err(away(source)),
        }
    }

    /// It answers with an error, or it does not answer.
    fn failed(&self, said: &str, source: tokio_postgres::Error) -> ConsoleError {
        let (at, user) = (self.at.clone(), self.config.login.user.clone());
        match source.as_db_error() {
            Some(told) if told.message().contains("SSL required") => ConsoleError::WantsTls { at },
            Some(_) => ConsoleError::Refused { at, user, said: said.to_owned(), source },
            None => ConsoleError::Unreachable { at, source: source.into() },
        }
    }
}

fn says(error: &tokio_postgres::Error, words: &str) -> bool {
    error.as_db_error().is_some_and(|error| error.message().contains(words))
}
