//! The tour's application: a table of rows, written through the routes. Each attempt has a deadline of its own.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use haa_core::units::{Address, MemberName};

use super::super::Playground;
use crate::ctl::documents::RouteView;

/// One connection and one statement take a few milliseconds here; what takes longer is tried anew.
const ATTEMPT: Duration = Duration::from_millis(400);
/// Between two attempts.
const BETWEEN: Duration = Duration::from_millis(2);

/// A connection; it ends with the value.
pub(super) struct Session {
    client: Client,
    turning: tokio::task::JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.turning.abort();
    }
}

impl Session {
    pub(super) async fn open(playground: &Playground, at: &Address) -> Result<Self, String> {
        let config = playground.superuser(at).map_err(|error| error.to_string())?;
        let connected = timeout(ATTEMPT, config.connect(NoTls)).await;
        let (client, connection) = connected
            .map_err(|_| format!("no connection to {at} within {ATTEMPT:?}"))?
            .map_err(|error| told(&error))?;
        let turning = tokio::spawn(async move {
            // Its error is the answer to the statement that it cut off.
            let _ = connection.await;
        });
        Ok(Self { client, turning })
    }

    pub(super) async fn run(&self, statement: &str) -> Result<(), String> {
        let done = timeout(Duration::from_secs(10), self.client.batch_execute(statement)).await;
        done.map_err(|_| "no answer within 10s".to_owned())?.map_err(|error| told(&error))
    }

    pub(super) async fn count(&self) -> Result<i64, String> {
        let asked = self.client.query_one("SELECT count(*) FROM tour", &[]);
        let row = timeout(Duration::from_secs(10), asked)
            .await
            .map_err(|_| "no answer within 10s".to_owned())?
            .map_err(|error| told(&error))?;
        row.try_get(0).map_err(|error| told(&error))
    }
}

/// Where to write now, by the routes of any member that lives.
pub(super) async fn primary(playground: &Playground) -> Option<(MemberName, Address)> {
    let route = playground.routes_to_primary().await?.primary?;
    Some((route.member.parse().ok()?, address(&route)))
}

fn address(route: &RouteView) -> Address {
    Address { host: route.host.clone(), port: route.port }
}

/// Tries to write one row until it is acknowledged: by whom, and how long after `since`.
pub(super) async fn first_write(
    playground: &Playground,
    since: Instant,
    at_most: Duration,
) -> Result<(MemberName, Duration), String> {
    let mut seen = "no member named a primary".to_owned();
    while since.elapsed() < at_most {
        if let Some((member, at)) = primary(playground).await {
            match timeout(ATTEMPT, write_row(playground, &at)).await {
                Ok(Ok(())) => return Ok((member, since.elapsed())),
                Ok(Err(error)) => seen = format!("{member}: {error}"),
                Err(_) => seen = format!("{member}: no answer within {ATTEMPT:?}"),
            }
        }
        sleep(BETWEEN).await;
    }
    Err(format!("no write was acknowledged within {at_most:?}; the last attempt: {seen}"))
}

async fn write_row(playground: &Playground, at: &Address) -> Result<(), String> {
    let session = Session::open(playground, at).await?;
    session.run("INSERT INTO tour DEFAULT VALUES").await
}

/// Waits until the Postgres at `at` shows at least `rows` rows; answers how many.
pub(super) async fn wait_rows(
    playground: &Playground,
    at: &Address,
    rows: i64,
    at_most: Duration,
) -> Result<i64, String> {
    let began = Instant::now();
    loop {
        let counted = match Session::open(playground, at).await {
            Ok(session) => session.count().await,
            Err(error) => Err(error),
        };
        match counted {
            Ok(count) if count >= rows => return Ok(count),
            other if began.elapsed() > at_most => {
                let seen = other.map_or_else(|error| error, |count| format!("{count} rows"));
                return Err(format!("{at} does not show {rows} rows within {at_most:?}: {seen}"));
            }
            Ok(_) | Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The server's own words where there are any.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => server.message().to_owned(),
        None => error.to_string(),
    }
}
