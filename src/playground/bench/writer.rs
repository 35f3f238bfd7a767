//! The benchmark's application: one row a transaction, without an end, through the routes. Remembers what was
//! acknowledged and when. Never reads a row back while it runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_ok;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};

use haa_core::units::Address;

use super::super::Playground;
use crate::ctl::http::Ask;

/// Between two rows: what can be told of a pause, and no more load than a small application makes.
const BETWEEN: Duration = Duration::from_millis(2);
/// One row, and one login, take a few milliseconds; what takes longer is given up, its outcome unknown.
const ATTEMPT: Duration = Duration::from_millis(500);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS bench (id bigint PRIMARY KEY)";

/// What the application knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// When a row was acknowledged, and which; in order.
    pub(super) acknowledged: Vec<(Instant, i64)>,
    /// How many attempts ended otherwise, on a connection that had been good.
    pub(super) failed: usize,
}

impl Known {
    /// The longest time without an acknowledgement that ended after `since`.
    pub(super) fn longest_gap(&self, since: Instant) -> Duration {
        let times = self.acknowledged.iter().map(|(at, _)| *at);
        let gaps = times.clone().zip(times.skip(1)).filter(|(_, end)| *end > since);
        gaps.map(|(begin, end)| end - begin).max().unwrap_or_default()
    }

    /// The last acknowledgement.
    pub(super) fn last(&self) -> Option<Instant> {
        self.acknowledged.last().map(|(at, _)| *at)
    }
}

/// A writer at work. Dropping it ends it.
pub(super) struct Writer {
    known: watch::Receiver<Known>,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Where to ask for the primary, and how to log in there.
struct Addresses {
    agents: Vec<Address>,
    login: Config,
}

impl Writer {
    /// Makes the table and begins to write.
    pub(super) async fn begin(playground: &Playground) -> Result<Self, String> {
        let names = playground.names();
        let first = names.first().ok_or("there is no member")?;
        let login = playground.superuser(&playground.postgres(first));
        let addresses = Addresses {
            agents: names.iter().map(|name| playground.api(name)).collect(),
            login: login.map_err(|error| error.to_string())?,
        };
        let client = addresses.connect().await.ok_or("no primary takes a connection")?;
        client.batch_execute(TABLE).await.map_err(|error| error.to_string())?;
        let (sender, known) = watch::channel(Known::default());
        let work = tokio::spawn(write(addresses, sender));
        Ok(Self { known, work })
    }

    /// What is known by now.
    pub(super) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Waits for an acknowledgement that came after `since`.
    pub(super) async fn acknowledged_after(&mut self, since: Instant, at_most: Duration) -> bool {
        let after = |known: &Known| known.last().is_some_and(|last| last > since);
        timeout(at_most, self.known.wait_for(after)).await.is_ok_and(|known| known.is_ok())
    }
}

/// Which of these rows the server at `at` does not have.
pub(super) async fn missing(
    playground: &Playground,
    at: &Address,
    acknowledged: &[(Instant, i64)],
) -> Result<usize, String> {
    let text = |error: tokio_postgres::Error| error.to_string();
    let login = playground.superuser(at).map_err(|error| error.to_string())?;
    let (client, connection) = login.connect(NoTls).await.map_err(text)?;
    tokio::spawn(connection);
    let rows = client.query("SELECT id FROM bench", &[]).await.map_err(text)?;
    let there: BTreeSet<i64> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    Ok(acknowledged.iter().filter(|(_, id)| !there.contains(id)).count())
}

impl Addresses {
    /// Asks all at once and takes the first that names a primary.
    async fn route(&self) -> Option<Address> {
        let asked = self.agents.iter().map(|agent| {
            let ask = Ask::get("/routes/primary?format=hostport").within(ATTEMPT);
            Box::pin(async move {
                let answer = ask.send(agent).await.ok().filter(|answer| answer.status == 200);
                answer.and_then(|answer| answer.text().trim().parse().ok()).ok_or(())
            })
        });
        select_ok(asked).await.ok().map(|(address, _)| address)
    }

    async fn connect(&self) -> Option<Client> {
        let at = self.route().await?;
        let mut login = Config::new();
        login.host(&at.host).port(at.port).dbname("postgres");
        login.user(self.login.get_user()?).password(self.login.get_password()?);
        let (client, connection) = timeout(ATTEMPT, login.connect(NoTls)).await.ok()?.ok()?;
        tokio::spawn(async move {
            // Its error is the answer to the statement that it cut off.
            let _ = connection.await;
        });
        Some(client)
    }
}

async fn write(addresses: Addresses, known: watch::Sender<Known>) {
    let mut client: Option<Arc<Client>> = None;
    for id in 0_i64.. {
        sleep(BETWEEN).await;
        let Some(good) = client.clone().filter(|client| !client.is_closed()) else {
            client = addresses.connect().await.map(Arc::new);
            continue;
        };
        let insert = format!("INSERT INTO bench VALUES ({id})");
        let done =
            timeout(ATTEMPT, good.batch_execute(&insert)).await.is_ok_and(|done| done.is_ok());
        let at = Instant::now();
        known.send_modify(|known| match done {
            true => known.acknowledged.push((at, id)),
            false => known.failed += 1,
        });
        if !done {
            client = None;
        }
    }
}
