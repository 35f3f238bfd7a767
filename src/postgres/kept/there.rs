//! Which slots a server has, and how each is. Never changes one.

use std::collections::BTreeMap;

use haa_core::settings::KeptSlot;
use haa_core::units::Lsn;

use super::copies::By;
use crate::postgres::sql::{Row, Session, SqlError};

/// A slot of a server.
#[derive(Clone, Debug)]
pub(super) struct There {
    pub(super) kind: KeptSlot,
    pub(super) active: bool,
    /// Not there after a restart, nor after a promotion, or still being made.
    pub(super) temporary: bool,
    /// Where the WAL begins that it holds.
    pub(super) restart: Option<Lsn>,
    pub(super) holds: Option<u64>,
    /// Postgres gives nothing from it any more.
    pub(super) lost: bool,
    /// Standbys copy it.
    pub(super) failover: bool,
    /// A standby has copied it from its source. Of an extension's copies and those of an earlier leadership of our own
    /// nobody can tell which is which, nor need anybody: the extension moves on either.
    pub(super) copied: bool,
    /// The oldest transaction whose rows of the catalogs it needs, or, of a standby's own, which the standby needs.
    pub(super) catalog_xmin: Option<u32>,
}

impl There {
    /// Whether it is what the settings say.
    pub(super) fn is(&self, slot: &KeptSlot) -> bool {
        self.kind == *slot
    }
}

/// All of them by name.
pub(super) async fn slots_of(
    session: &Session,
    by: By,
) -> Result<BTreeMap<String, There>, SqlError> {
    let copies = match by {
        By::Postgres => "failover, synced",
        By::Extension => {
            "database IS NOT NULL, pg_is_in_recovery() AND confirmed_flush_lsn IS NOT NULL"
        }
        By::Nobody => "false, false",
    };
    let question = format!(
        "SELECT slot_name, database, plugin, active, \
         temporary OR database IS NOT NULL AND confirmed_flush_lsn IS NULL, restart_lsn, \
         greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
         ELSE pg_current_wal_insert_lsn() END, restart_lsn), 0)::bigint, \
         wal_status IS NOT DISTINCT FROM 'lost', {copies}, catalog_xmin FROM pg_replication_slots"
    );
    let rows = session.rows(&question).await?;
    Ok(rows.iter().filter_map(|row| Some((row.text(0)?.to_owned(), there(row)))).collect())
}

fn there(row: &Row) -> There {
    let text = |column| row.text(column).map(str::to_owned);
    There {
        kind: match (text(1), text(2)) {
            (Some(database), Some(plugin)) => KeptSlot::Logical { database, plugin },
            (_, _) => KeptSlot::Physical,
        },
        active: row.is_true(3),
        temporary: row.is_true(4),
        restart: row.parse(5),
        holds: row.parse(6),
        lost: row.is_true(7),
        failover: row.is_true(8),
        copied: row.is_true(9),
        catalog_xmin: row.parse(10),
    }
}
