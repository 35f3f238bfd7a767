//! Transactions over lists: some steps that append or read, in one transaction with a pause in its middle. Rows are
//! there beforehand and grow by UPDATE, so that Postgres' own anomalies of inserts stay out of the way.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::checkers::Isolation;
use crate::history::{Op, Step};

use super::outcome::Failure;
use super::session::Session;
use super::{Done, Keys};

/// What is said of one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// What is there before the first client comes.
    pub(super) schema: &'static str,
    append: &'static str,
    read: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            schema: concat!(
                "CREATE TABLE ",
                $table,
                " (key bigint PRIMARY KEY, list bigint[] NOT NULL) WITH (fillfactor = 50); INSERT INTO ",
                $table,
                " SELECT key, '{}' FROM generate_series(0, 9999) AS key;"
            ),
            append: concat!("UPDATE ", $table, " SET list = list || $2::int8 WHERE key = $1"),
            read: concat!("SELECT list FROM ", $table, " WHERE key = $1"),
        }
    };
}

const LISTS: Statements = statements!("lists");
const LISTS_READ_COMMITTED: Statements = statements!("lists_read_committed");

/// A table for each level: one run may have both.
pub(super) fn statements(isolation: Isolation) -> &'static Statements {
    match isolation {
        Isolation::Serializable => &LISTS,
        Isolation::ReadCommitted => &LISTS_READ_COMMITTED,
    }
}

/// A transaction with one to four steps on keys that are hot now.
pub(super) fn next(keys: &Keys, rng: &mut StdRng) -> Op {
    let steps = (0..rng.random_range(1..=4)).map(|_| {
        if rng.random_bool(0.6) {
            let (key, value) = keys.write(rng);
            Step::Append { key, value }
        } else {
            Step::Read { key: keys.read(rng), list: None }
        }
    });
    Op::Txn(steps.collect())
}

/// One that only reads.
pub(super) fn next_read(keys: &Keys, rng: &mut StdRng) -> Op {
    let steps =
        (0..rng.random_range(1..=3)).map(|_| Step::Read { key: keys.read(rng), list: None });
    Op::Txn(steps.collect())
}

/// Reads of everything that was ever written, a few keys a transaction.
pub(super) fn last(keys: &Keys) -> Vec<Op> {
    let keys: Vec<u64> = (0..=keys.last()).collect();
    let some = |keys: &[u64]| {
        Op::Txn(keys.iter().map(|key| Step::Read { key: *key, list: None }).collect())
    };
    keys.chunks(16).map(some).collect()
}

/// Does it. Who only reads asks for one snapshot.
///
/// # Errors
/// As the session says.
pub(super) async fn perform(
    session: &mut Session,
    steps: &[Step],
    isolation: Isolation,
    delay: Duration,
) -> Done {
    session.command(begin(session.reader, isolation)).await?;
    let mut done = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter().enumerate() {
        if number == steps.len() / 2 {
            sleep(delay).await;
        }
        match perform_step(session, step, statements(isolation)).await {
            Ok(step) => done.push(step),
            Err(failure) => return Err(session.rolled_back(failure).await),
        }
    }
    let stamp = match session.place().await {
        Ok(stamp) => stamp,
        Err(failure) => return Err(session.rolled_back(failure).await),
    };
    session.commit().await?;
    Ok((Op::Txn(done), Some(stamp)))
}

fn begin(reader: bool, isolation: Isolation) -> &'static str {
    match (reader, isolation) {
        (true, _) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        (false, Isolation::Serializable) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        (false, Isolation::ReadCommitted) => "BEGIN ISOLATION LEVEL READ COMMITTED",
    }
}

async fn perform_step(
    session: &mut Session,
    step: &Step,
    statements: &'static Statements,
) -> Result<Step, Failure> {
    let odd = |error: std::num::TryFromIntError| Failure::refused(error.to_string());
    match step {
        Step::Append { key, value } => {
            let (k, v) = (i64::try_from(*key).map_err(odd)?, i64::try_from(*value).map_err(odd)?);
            session.within(statements.append, &[&k, &v]).await?;
            Ok(step.clone())
        }
        Step::Read { key, .. } => {
            let k = i64::try_from(*key).map_err(odd)?;
            let rows = session.within(statements.read, &[&k]).await?;
            let list: Vec<i64> = rows.first().map_or_else(Vec::new, |row| row.get(0));
            let list = list.into_iter().filter_map(|value| u64::try_from(value).ok()).collect();
            Ok(Step::Read { key: *key, list: Some(list) })
        }
    }
}
