//! A set that grows: each element is added once, by one statement, and in the end everything is read. Never reads
//! what it writes while it runs.

use crate::history::{Op, Stamp};

use super::outcome::Failure;
use super::session::Session;

/// What is there before the first client comes.
pub(super) const SCHEMA: &str =
    "CREATE TABLE elements (id bigint PRIMARY KEY, at timestamptz DEFAULT now());";

const ADD: &str = "INSERT INTO elements (id) VALUES ($1) RETURNING \
     ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int, \
     pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8";

/// Adds one.
///
/// # Errors
/// As the session says.
pub(super) async fn add(
    session: &mut Session,
    element: u64,
) -> Result<(Op, Option<Stamp>), Failure> {
    let number = i64::try_from(element).map_err(|error| Failure::refused(error.to_string()))?;
    let rows = session.alone(ADD, &[&number]).await?;
    let stamp = rows.first().and_then(|row| session.stamp(row, 0));
    Ok((Op::Add(element), stamp))
}

/// Reads all.
///
/// # Errors
/// As the session says.
pub(super) async fn all(session: &mut Session) -> Result<(Op, Option<Stamp>), Failure> {
    let stamp = session.place().await?;
    let rows = session.within("SELECT id FROM elements ORDER BY id", &[]).await?;
    let elements = rows.iter().filter_map(|row| row.try_get::<_, i64>(0).ok());
    let elements = elements.filter_map(|element| u64::try_from(element).ok()).collect();
    Ok((Op::All(Some(elements)), Some(stamp)))
}
