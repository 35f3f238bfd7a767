//! Where the oldest WAL that is still there begins, looked up now and then. Never removes any.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use haa_core::units::Lsn;

use super::timeline;

/// A directory of `pg_wal` may have tens of thousands of files. What is older than it seems does no harm.
const AGAIN: Duration = Duration::from_secs(5);

/// What was found last, for the server that started then.
pub(super) struct Oldest(Mutex<Option<Found>>);

#[derive(Clone, Copy)]
struct Found {
    at: Instant,
    server: u64,
    lsn: Option<Lsn>,
}

impl Oldest {
    pub(super) fn unknown() -> Self {
        Self(Mutex::new(None))
    }

    /// Of the server that started at this instant.
    pub(super) fn of(
        &self,
        server: u64,
        pg_wal: &Path,
        segment_size: u64,
    ) -> io::Result<Option<Lsn>> {
        let known = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = |found: &Found| found.server == server && found.at.elapsed() < AGAIN;
        if let Some(found) = known.filter(fresh) {
            return Ok(found.lsn);
        }
        let lsn = timeline::oldest(pg_wal, segment_size)?;
        let found = Found { at: Instant::now(), server, lsn };
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(found);
        Ok(lsn)
    }
}
