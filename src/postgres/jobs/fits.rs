//! Before a clone: what it would lose, and what it has no room for. Refuses before anything is copied; changes nothing.

use std::path::Path;
use std::time::Duration;

use haa_core::effect::Source;

use super::keep::make_room;
use crate::config::size::readable;
use crate::postgres::error::{JobError, sentence};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError};
use crate::postgres::{room, tablespaces, wal_elsewhere};

/// To look at each file of a large database takes a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// The source as its catalogs have it.
struct Whole {
    tablespaces: String,
    bytes: u64,
}

/// Nothing speaks against a clone of `source`, and there is room for it.
pub(super) async fn clone(site: &Site, source: &Source) -> Result<(), JobError> {
    let data = site.data();
    if let Some(wal) = wal_elsewhere(data) {
        return Err(JobError::Refused(elsewhere(data, &wal)));
    }
    if let Some(count) = tablespaces(data) {
        return Err(JobError::Refused(format!(
            "{} has {count} tablespace(s), whose directories a clone finds in its way: move the data directory and \
             those directories away, and it is cloned into an empty place",
            data.display()
        )));
    }
    let whole = match ask(site, source).await {
        Ok(whole) => whole,
        // The clone itself will say what is wrong.
        Err(error) => {
            tracing::debug!("how large the source is cannot be asked: {}", sentence(&error));
            make_room(site, 0).await;
            return Ok(());
        }
    };
    if !whole.tablespaces.is_empty() {
        return Err(JobError::Refused(format!(
            "{} has tablespaces ({}), which haad does not clone: move what is in them to pg_default, and drop them",
            source.member, whole.tablespaces
        )));
    }
    make_room(site, whole.bytes).await;
    let parent = data.parent().unwrap_or(Path::new("/"));
    let free = room::free(parent).map_err(JobError::file("look at the room in", parent))?;
    lack(&source.member.to_string(), whole.bytes, free, parent)
        .map_or(Ok(()), |why| Err(JobError::Refused(why)))
}

async fn ask(site: &Site, source: &Source) -> Result<Whole, SqlError> {
    // A database that may not be connected to is not measured: what the sum lacks, the copy will find.
    const QUESTION: &str = "SELECT \
         (SELECT coalesce(string_agg(spcname, ', '), '') FROM pg_tablespace \
          WHERE spcname NOT IN ('pg_default', 'pg_global')), \
         (SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database \
          WHERE has_database_privilege(oid, 'CONNECT'))";
    let session = Session::open_at(&source.address, &site.config.rewind).await?;
    let rows = session.rows_within(QUESTION, PATIENCE).await?;
    let row = rows.first().ok_or(SqlError::Odd { column: 0 })?;
    Ok(Whole { tablespaces: row.need(0)?, bytes: row.need(1)? })
}

/// Why a copy of so many bytes does not fit.
fn lack(whose: &str, bytes: u64, free: u64, parent: &Path) -> Option<String> {
    (bytes > free).then(|| {
        format!(
            "no room for a clone: the databases of {whose} take {}, and {} are free in {}; nothing was copied. Make \
             room there, or name a data_directory where there is some",
            readable(bytes),
            readable(free),
            parent.display()
        )
    })
}

fn elsewhere(data: &Path, wal: &Path) -> String {
    format!(
        "pg_wal of {} is a link to {}, which a clone would not make anew: its WAL would lie with the data. If that \
         will do, move the data directory away, and it is cloned; else clone it by hand (pg_basebackup --waldir)",
        data.display(),
        wal.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_both_sizes() {
        assert_eq!(lack("n1", 5, 5, Path::new("/data")), None);
        let why = lack("n1", 3 << 30, 512 << 20, Path::new("/data")).expect("too much");
        assert!(
            why.contains("3.0 GB") && why.contains("512.0 MB") && why.contains("/data"),
            "{why}"
        );
    }
}
