//! One connection of one client to one member, with everything that tells an unknown outcome from a known one. Never
//! retries.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::{LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, Statement, types::ToSql};

use crate::history::Stamp;
use crate::hosts::Place;

use super::outcome::{Failure, Fate, Sent};

/// A login takes some milliseconds; a member that takes longer is given up.
const LOGIN: Duration = Duration::from_millis(1000);

/// The place of any server. A replica's timeline is that of its last restart point.
const PLACE: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END, \
     pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_insert_lsn() END, '0/0')::int8, pg_is_in_recovery()";

/// The values of a statement.
pub type Values<'a> = &'a [&'a (dyn ToSql + Sync)];
/// What it answers.
pub type Rows = Result<Vec<Row>, Failure>;

/// One that chooses by itself may meet hosts that are silent first.
const LOGIN_ANYWHERE: Duration = Duration::from_millis(4000);
/// Each of these is passed over after so long.
const HOST: Duration = Duration::from_millis(700);

/// Who this is, whatever leads there.
const ADDRESS: &str = "SELECT host(inet_server_addr())";

/// How one finds a server that accepts writes without asking any agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The list of all members' Postgres, tried in any order, and one that lets us write.
    Hosts,
    /// The list of all members' routers, in any order.
    Routers,
}

/// A connection. Dropping it closes the socket at once.
#[derive(Debug)]
pub struct Session {
    /// Where it leads.
    pub member: &'static str,
    /// It only reads, and takes what it is told for the past, whatever the member is by now.
    pub reader: bool,
    client: Client,
    statements: HashMap<&'static str, Statement>,
    warned: Arc<AtomicBool>,
    turning: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.turning.abort();
    }
}

impl Session {
    /// Connects as the application.
    ///
    /// # Errors
    /// Nothing was sent then: whatever was to be done was not.
    pub async fn open(place: &Place, reader: bool) -> Result<Self, Failure> {
        let mut config = Config::new();
        config.host(&place.postgres.host).port(place.postgres.port);
        config.user("app").dbname("postgres").application_name("jepsen");
        Self::connect(&config, LOGIN, place.member, reader).await
    }

    /// Connects as an application that knows all hosts and asks no agent, to write.
    ///
    /// # Errors
    /// Nothing was sent then: whatever was to be done was not.
    pub async fn by(way: Way, places: &[Place]) -> Result<Self, Failure> {
        let mut config = Config::new();
        for place in places {
            let address = match way {
                Way::Hosts => &place.postgres,
                Way::Routers => &place.router,
            };
            config.host(&address.host).port(address.port);
        }
        config.user("app").dbname("postgres").application_name("jepsen");
        config.connect_timeout(HOST).load_balance_hosts(LoadBalanceHosts::Random);
        if way == Way::Hosts {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let mut session = Self::connect(&config, LOGIN_ANYWHERE, "", false).await?;
        let asked = timeout(LOGIN, session.within(ADDRESS, &[])).await;
        let rows = asked.map_err(|_| Failure::refused("the server does not say who it is"))??;
        let address: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
        let place = places.iter().find(|place| Some(&place.postgres.host) == address.as_ref());
        let odd = || Failure::refused(format!("{address:?} is no member's address"));
        session.member = place.ok_or_else(odd)?.member;
        Ok(session)
    }

    async fn connect(
        config: &Config,
        at_most: Duration,
        member: &'static str,
        reader: bool,
    ) -> Result<Self, Failure> {
        let (client, mut connection) = match timeout(at_most, config.connect(NoTls)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                return Err(Failure::refused(Failure::of(&error, Sent::Before).said));
            }
            Err(_) => return Err(Failure::refused(format!("no login within {at_most:?}"))),
        };
        let warned = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&warned);
        let turning = tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
            // Its error is the answer to the statement that it cut off.
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.code().code() == "01000"
                {
                    flag.store(true, Ordering::Release);
                }
            }
        });
        let turning = turning.abort_handle();
        let statements = HashMap::new();
        Ok(Self { member, reader, client, statements, warned, turning })
    }

    /// Whether it is of no more use.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs one statement that commits by itself.
    ///
    /// # Errors
    /// [`Failure`], which knows whether it may have been done.
    pub async fn alone(&mut self, text: &'static str, values: Values<'_>) -> Rows {
        let statement = self.statement(text).await?;
        let rows = self.client.query(&statement, values).await;
        let rows = rows.map_err(|error| Failure::of(&error, Sent::Commit))?;
        self.unwarned()?;
        Ok(rows)
    }

    /// Runs a statement of a transaction that is open, or one that only reads.
    ///
    /// # Errors
    /// The transaction did not take place then.
    pub async fn within(&mut self, text: &'static str, values: Values<'_>) -> Rows {
        let statement = self.statement(text).await?;
        let rows = self.client.query(&statement, values).await;
        rows.map_err(|error| Failure::of(&error, Sent::Before))
    }

    async fn statement(&mut self, text: &'static str) -> Result<Statement, Failure> {
        if let Some(known) = self.statements.get(text) {
            return Ok(known.clone());
        }
        let new = self.client.prepare(text).await;
        let new = new.map_err(|error| Failure::of(&error, Sent::Before))?;
        self.statements.insert(text, new.clone());
        Ok(new)
    }

    /// Opens a transaction, or runs another command that answers no rows.
    ///
    /// # Errors
    /// The transaction did not take place then.
    pub async fn command(&self, text: &str) -> Result<(), Failure> {
        self.client.batch_execute(text).await.map_err(|error| Failure::of(&error, Sent::Before))
    }

    /// Ends a transaction in which something failed; the session is of use afterwards only if that works.
    pub async fn rolled_back(&self, failure: Failure) -> Failure {
        if failure.session == Fate::Keeps && self.command("ROLLBACK").await.is_err() {
            return Failure { session: Fate::Ends, ..failure };
        }
        failure
    }

    /// Commits. "ROLLBACK" as the answer to COMMIT cannot come: after an error nobody asks for one.
    ///
    /// # Errors
    /// [`Failure`], which knows whether it may have been done.
    pub async fn commit(&self) -> Result<(), Failure> {
        let done = self.client.batch_execute("COMMIT").await;
        done.map_err(|error| Failure::of(&error, Sent::Commit))?;
        self.unwarned()
    }

    /// Where this server's WAL was, from two columns that begin at `at`.
    #[must_use]
    pub fn stamp(&self, row: &Row, at: usize) -> Option<Stamp> {
        let timeline = u32::try_from(row.try_get::<_, i32>(at).ok()?).ok()?;
        let lsn = u64::try_from(row.try_get::<_, i64>(at + 1).ok()?).ok()?;
        Some(Stamp { member: self.member.to_owned(), timeline, lsn, replica: false })
    }

    /// Which server this is, now: its timeline, how far its WAL is, and whether it is a replica.
    ///
    /// # Errors
    /// Nothing was done then.
    pub async fn place(&mut self) -> Result<Stamp, Failure> {
        let rows = self.within(PLACE, &[]).await?;
        let odd = || Failure::refused("the server does not say where it is");
        let row = rows.first().ok_or_else(odd)?;
        let mut stamp = self.stamp(row, 0).ok_or_else(odd)?;
        stamp.replica = self.reader || row.try_get(2).map_err(|_| odd())?;
        Ok(stamp)
    }

    /// A success with a warning is none: Postgres says so when a wait for replicas was cancelled.
    fn unwarned(&self) -> Result<(), Failure> {
        match self.warned.load(Ordering::Acquire) {
            true => Err(Failure::unknown("success, with WARNING 01000")),
            false => Ok(()),
        }
    }
}
