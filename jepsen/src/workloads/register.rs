//! Registers, each a row that is there beforehand and holds 0: read, write, compare and set.

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::history::Op;

use super::outcome::Failure;
use super::session::Session;
use super::{Done, Keys};

/// What is there before the first client comes.
pub(super) const SCHEMA: &str = "CREATE TABLE registers (key bigint PRIMARY KEY, value bigint NOT NULL); \
     INSERT INTO registers SELECT key, 0 FROM generate_series(0, 9999) AS key;";

/// One of the three.
pub(super) fn next(keys: &Keys, rng: &mut StdRng) -> Op {
    match rng.random_range(0..4) {
        0 | 1 => Op::Get { key: keys.read(rng), value: None },
        2 => {
            let (key, value) = keys.write(rng);
            Op::Put { key, value: i64::try_from(value).unwrap_or_default() }
        }
        _ => {
            let (key, to) = keys.write(rng);
            let to = i64::try_from(to).unwrap_or_default();
            Op::Cas { key, from: rng.random_range(to.saturating_sub(3).max(0)..=to), to }
        }
    }
}

/// A read.
pub(super) fn next_read(keys: &Keys, rng: &mut StdRng) -> Op {
    Op::Get { key: keys.read(rng), value: None }
}

/// Reads of every register that was ever written.
pub(super) fn last(keys: &Keys) -> Vec<Op> {
    (0..=keys.last()).map(|key| Op::Get { key, value: None }).collect()
}

const PUT: &str = "UPDATE registers SET value = $2 WHERE key = $1 RETURNING \
     ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int, \
     pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8";
const CAS: &str = "UPDATE registers SET value = $3 WHERE key = $1 AND value = $2 RETURNING \
     ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int, \
     pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8";

/// Does it. The key of a compare-and-set that finds another value did not change, for certain.
///
/// # Errors
/// As the session says.
pub(super) async fn perform(session: &mut Session, op: &Op) -> Done {
    let odd = |error: std::num::TryFromIntError| Failure::refused(error.to_string());
    match *op {
        Op::Get { key, .. } => {
            let k = i64::try_from(key).map_err(odd)?;
            let stamp = session.place().await?;
            let rows = session.within("SELECT value FROM registers WHERE key = $1", &[&k]).await?;
            let value = rows.first().and_then(|row| row.try_get(0).ok());
            Ok((Op::Get { key, value }, Some(stamp)))
        }
        Op::Put { key, value } => {
            let k = i64::try_from(key).map_err(odd)?;
            let rows = session.alone(PUT, &[&k, &value]).await?;
            Ok((op.clone(), rows.first().and_then(|row| session.stamp(row, 0))))
        }
        Op::Cas { key, from, to } => {
            let k = i64::try_from(key).map_err(odd)?;
            let rows = session.alone(CAS, &[&k, &from, &to]).await?;
            let row = rows.first().ok_or_else(|| Failure::kept("it held another value"))?;
            Ok((op.clone(), session.stamp(row, 0)))
        }
        _ => Err(Failure::kept("not for a register")),
    }
}
