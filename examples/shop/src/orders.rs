//! Orders: placed once, whatever happens on the way, and seen by whoever placed them. Chooses no server by itself.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::database::{Databases, Failed, Stage};
use crate::routes::Routes;

/// A failover takes a second or two; a client waits as long as this.
const PATIENCE: Duration = Duration::from_secs(15);
/// One attempt. A primary that was cut off answers nothing.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Before the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The table, as whoever sets the application up makes it.
pub const SCHEMA: &str = "CREATE TABLE orders \
     (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text UNIQUE NOT NULL, item text NOT NULL)";

/// What somebody wants.
#[derive(Clone, Debug, Deserialize)]
pub struct Wish {
    /// What.
    pub item: String,
}

/// What was placed.
#[derive(Clone, Debug, Serialize)]
pub struct Order {
    /// Its number.
    pub id: i64,
    /// What.
    pub item: String,
    /// How far the primary's WAL was then: who reads with this sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// Why there is no order.
#[derive(Debug)]
pub enum NoOrder {
    /// There is none, and there will be none.
    NotDone(String),
    /// There may be one: ask again with the same key.
    Unknown(String),
    /// It cannot be.
    Refused(String),
}

/// Where orders are kept.
#[derive(Debug)]
pub struct Orders {
    /// Where to go.
    pub routes: Routes,
    /// How.
    pub databases: Databases,
}

impl Orders {
    /// Places an order at the primary. `key` is the client's own name for it: with the same key there is one order,
    /// however often it is asked for. So it is tried again where nothing was done, and where the outcome is unknown.
    ///
    /// # Errors
    /// When it could not be placed in time, or whether it was is not known.
    pub async fn place(&self, key: &str, wish: &Wish) -> Result<Order, NoOrder> {
        let end = Instant::now() + PATIENCE;
        // Once an outcome is not known, it stays so until an attempt succeeds.
        let mut unknown = None;
        let mut said = "no primary accepts writes".to_owned();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(place) = self.routes.primary(left).await else { break };
            match self.attempt(&place, key, wish).await {
                Ok(order) => return Ok(order),
                Err(Failed::Refused(why)) => return Err(NoOrder::Refused(why)),
                Err(Failed::NotDone(why)) => said = why,
                Err(Failed::Unknown(why)) => unknown = Some(why),
            }
            if Instant::now() >= end {
                break;
            }
            sleep(PAUSE).await;
        }
        Err(unknown.map_or(NoOrder::NotDone(said), NoOrder::Unknown))
    }

    /// An order, as a replica has it that is as far as `seen`.
    ///
    /// # Errors
    /// When nobody could be asked.
    pub async fn show(&self, id: i64, seen: Option<&str>) -> Result<Option<Order>, NoOrder> {
        let end = Instant::now() + PATIENCE;
        let mut said = "no server is there to read from".to_owned();
        while Instant::now() < end {
            if let Some(place) = self.routes.reader(seen).await {
                match timeout(ATTEMPT, self.read(&place, id)).await {
                    Ok(Ok(found)) => return Ok(found),
                    // A read changes nothing: any that failed is done again, elsewhere if the routes say so.
                    Ok(Err(Failed::NotDone(why) | Failed::Unknown(why))) => said = why,
                    Ok(Err(Failed::Refused(why))) => return Err(NoOrder::Refused(why)),
                    Err(_) => said = format!("{place} does not answer"),
                }
            }
            sleep(PAUSE).await;
        }
        Err(NoOrder::NotDone(said))
    }

    async fn read(&self, place: &str, id: i64) -> Result<Option<Order>, Failed> {
        let client = self.databases.connect(place).await?;
        let row = client.query_opt("SELECT item FROM orders WHERE id = $1", &[&id]).await;
        let row = row.map_err(|error| Failed::at(Stage::Open, &error))?;
        Ok(row.map(|row| Order { id, item: row.get(0), seen: None }))
    }

    async fn attempt(&self, place: &str, key: &str, wish: &Wish) -> Result<Order, Failed> {
        let mut client = self.databases.connect(place).await?;
        let done = timeout(ATTEMPT, placed(&mut client, key, wish)).await;
        let done =
            done.unwrap_or_else(|_| Err(Failed::Unknown(format!("{place} does not answer"))));
        if done.is_err() {
            // Its session may be in the middle of something, and the server may not lead any more.
            drop(Object::take(client));
            self.databases.leave(place);
        }
        done
    }
}

async fn placed(client: &mut Object, key: &str, wish: &Wish) -> Result<Order, Failed> {
    let open = |error| Failed::at(Stage::Open, &error);
    let transaction = client.transaction().await.map_err(open)?;
    // The update changes nothing; without it, no row would come back for a key that is there.
    let insert = "INSERT INTO orders (key, item) VALUES ($1, $2) \
                  ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING id, item";
    let row = transaction.query_one(insert, &[&key, &wish.item]).await.map_err(open)?;
    transaction.commit().await.map_err(|error| Failed::at(Stage::Committing, &error))?;
    let mut order = Order { id: row.get(0), item: row.get(1), seen: None };
    // It is placed. Who does not learn how far the WAL is reads without that promise.
    let seen = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await;
    order.seen = seen.ok().map(|row| row.get(0));
    Ok(order)
}
