//! Clients that write one row a transaction through something, and note what was acknowledged and what they saw.
//! They connect anew as docs/routing.md tells applications to. Tests nothing itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use haa_core::units::Address;
use tokio_postgres::{Config, NoTls};

use super::fixture::{Cluster, LONG};

/// Between two attempts to connect, and after a row.
const AGAIN: Duration = Duration::from_millis(50);
const BREATH: Duration = Duration::from_millis(5);
/// Longer than a server that is deposed keeps a session.
const PATIENCE: Duration = Duration::from_secs(15);

/// A row that was acknowledged: when its client sent it, and when it heard.
#[derive(Clone, Copy)]
struct Row {
    sent: Instant,
    heard: Instant,
    id: i64,
}

/// What all of them share.
#[derive(Default)]
struct Book {
    stop: AtomicBool,
    next: AtomicI64,
    rows: Mutex<Vec<Row>>,
    errors: Mutex<Vec<String>>,
}

/// Four clients at work, until they are told to end. Whoever sees an error notes it and connects anew.
pub(super) struct Writers {
    book: Arc<Book>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    pub(super) fn start(cluster: &Cluster, at: &Address) -> Self {
        Self::through(cluster.playground.superuser(at).expect("a password"))
    }

    /// The same, whoever they are to reach and how.
    pub(super) fn through(config: Config) -> Self {
        let book = Arc::<Book>::default();
        let tasks = (0..4).map(|_| tokio::spawn(Arc::clone(&book).write(config.clone())));
        Self { tasks: tasks.collect(), book }
    }

    fn rows(&self) -> Vec<Row> {
        self.book.rows.lock().expect("no panic").clone()
    }

    /// Waits until so many more rows are acknowledged.
    pub(super) async fn go_on(&self, more: usize) {
        let count = || self.book.rows.lock().expect("no panic").len();
        let (began, before) = (Instant::now(), count());
        while count() < before + more {
            assert!(began.elapsed() < LONG, "no writes get through: {:?}", self.book.errors.lock());
            tokio::time::sleep(BREATH).await;
        }
    }

    /// The longest that a client has waited for one row since then.
    pub(super) fn pause_since(&self, since: Instant) -> Duration {
        let rows = self.rows().into_iter().filter(|row| row.heard > since);
        rows.map(|row| row.heard - row.sent).max().expect("writes went on")
    }

    /// The longest time since then without an acknowledged row, and when it was over.
    pub(super) fn outage_since(&self, since: Instant) -> (Duration, Instant) {
        let mut heard: Vec<Instant> = self.rows().into_iter().map(|row| row.heard).collect();
        heard.sort();
        let pairs = heard.windows(2).filter(|pair| pair[1] > since);
        pairs.map(|pair| (pair[1] - pair[0], pair[1])).max().expect("writes went on")
    }

    /// Ends them: the errors that they saw. Every acknowledged row is there.
    pub(super) async fn end(self, cluster: &Cluster) -> Vec<String> {
        self.book.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer does not panic");
        }
        let primary = cluster.playground.postgres(&cluster.primary().await);
        let client = cluster.connect(&primary).await.expect("it accepts");
        let there = client.query("SELECT id FROM t", &[]).await.expect("a table");
        let there: BTreeSet<i64> = there.iter().map(|row| row.get(0)).collect();
        let rows = std::mem::take(&mut *self.book.rows.lock().expect("no panic"));
        let lost = rows.iter().filter(|row| !there.contains(&row.id)).count();
        println!("{} rows acknowledged, {lost} of them lost", rows.len());
        assert_eq!(lost, 0);
        std::mem::take(&mut *self.book.errors.lock().expect("no panic"))
    }
}

impl Book {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn write(self: Arc<Self>, config: Config) {
        while self.goes_on() {
            if let Err(error) = self.write_on(&config).await {
                self.errors.lock().expect("no panic").push(error);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// On one connection, until it breaks.
    async fn write_on(&self, config: &Config) -> Result<(), String> {
        let (client, connection) = in_time(config.connect(NoTls)).await?;
        let connection = tokio::spawn(connection);
        while self.goes_on() {
            let (sent, id) = (Instant::now(), self.next.fetch_add(1, Ordering::Relaxed));
            // No prepared statement: a pool of transactions would not know it.
            let sql = format!("INSERT INTO t VALUES ({})", 1_000 + id);
            let written = in_time(client.simple_query(&sql)).await;
            if let Err(error) = written {
                connection.abort();
                return Err(error);
            }
            let row = Row { sent, heard: Instant::now(), id: 1_000 + id };
            self.rows.lock().expect("no panic").push(row);
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }
}

async fn in_time<T>(
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| format!("{error:?}")),
        Err(_) => Err(format!("no answer in {PATIENCE:?}")),
    }
}
