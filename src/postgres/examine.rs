//! What of our own server matters to a setup: parameters, slots, roles. Asks once, changes nothing, judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::sentence;
use super::kept::Ailing;
use super::site::Site;
use super::sql::{Row, Session, SqlError, quoted};

/// A server that is slow is still worth examining.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parameters that are looked up.
const PARAMETERS: [&str; 8] = [
    "data_checksums",
    "fsync",
    "full_page_writes",
    "hot_standby_feedback",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_wal_senders",
    "synchronous_commit",
];

/// Asks our own server.
#[derive(Clone)]
pub struct Examiner(pub(super) Arc<Site>);

/// What it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// The server's `server_version_num`.
    pub version: u32,
    /// It is a standby: what is the same everywhere, the primary tells.
    pub in_recovery: bool,
    /// Those of the parameters above that this version has, as the files and the command line set them.
    pub parameters: BTreeMap<String, String>,
    /// Its replication slots.
    pub slots: Vec<Slot>,
    /// What is wrong with those that are kept.
    pub ailing: Vec<Ailing>,
    /// `synchronous_commit` below `on` for a role or a database.
    pub commits: Vec<Exception>,
    /// The archive does not take what this server gives it.
    pub archiving: Option<NotArchived>,
    /// Databases some of whose pages this disk gave back wrong.
    pub broken: Vec<Broken>,
    /// Roles that haad logs in with for replication or rewinding, and that are superusers.
    pub superusers: Vec<String>,
}

/// A replication slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// haad made it, for a member.
    pub ours: bool,
    /// The operator's, and kept by haad: what ails it is told of by itself.
    pub kept: bool,
    /// Postgres gives nothing from it any more.
    pub lost: bool,
    /// Of changes, not of WAL as it is.
    pub logical: bool,
    /// Somebody uses it.
    pub active: bool,
    /// Bytes of WAL since its position; `None` if it holds none.
    pub holds: Option<u64>,
    /// Bytes of WAL that may be written before it loses some; `None` where nothing bounds it, or it has lost some.
    pub left: Option<u64>,
}

/// Pages that did not match their checksums when they were read, since these data were made or crashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// The database; none for the catalogs that all share.
    pub database: Option<String>,
    /// How often; a page that is read again counts again.
    pub times: u64,
    /// When last, in UTC.
    pub last: String,
}

/// WAL that the operator's archive has not taken, and was tried with last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotArchived {
    /// Which segment.
    pub segment: String,
    /// How often any was not taken.
    pub times: u64,
    /// When last, in UTC.
    pub last: String,
}

/// A parameter that is set by `ALTER ROLE` or `ALTER DATABASE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// For this role; for all if not said.
    pub role: Option<String>,
    /// In this database; in all if not said.
    pub database: Option<String>,
    /// The value.
    pub value: String,
}

impl Examiner {
    pub(super) const fn of(site: Arc<Site>) -> Self {
        Self(site)
    }

    /// Asks.
    ///
    /// # Errors
    /// Why there is no answer, in a sentence.
    pub async fn examine(&self) -> Result<Examined, String> {
        self.ask().await.map_err(|error| sentence(&error))
    }

    async fn ask(&self) -> Result<Examined, SqlError> {
        let site = &self.0;
        let session = Session::open(site).await?;
        let rows = |sql: String| {
            let session = &session;
            async move { session.rows_within(&sql, PATIENCE).await }
        };
        let server = "SELECT current_setting('server_version_num'), pg_is_in_recovery()";
        let server = rows(server.to_owned()).await?;
        let server = server.first().ok_or(SqlError::Odd { column: 0 })?;
        let names: Vec<String> = PARAMETERS.into_iter().map(quoted).collect();
        // Not what a session was given by its role: what everybody begins with.
        let parameters = format!(
            "SELECT name, coalesce(reset_val, setting) FROM pg_settings WHERE name IN ({})",
            names.join(", ")
        );
        let parameters = rows(parameters).await?;
        let own =
            [&site.config.replication.user, &site.config.rewind.user].map(|role| quoted(role));
        let superusers = format!(
            "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname IN ({})",
            own.join(", ")
        );
        let superusers = rows(superusers).await?;
        let own_superuser = &site.config.superuser.user;
        Ok(Examined {
            version: server.need(0)?,
            in_recovery: server.is_true(1),
            parameters: parameters
                .iter()
                .filter_map(|row| Some((row.text(0)?.to_owned(), row.text(1)?.to_owned())))
                .collect(),
            slots: {
                let known = site.kept.now();
                let kept = |slot: Slot| Slot { kept: known.contains_key(&slot.name), ..slot };
                rows(SLOTS.to_owned()).await?.iter().filter_map(slot).map(kept).collect()
            },
            ailing: site.kept.now().into_values().filter_map(|slot| slot.ailing).collect(),
            commits: rows(COMMITS.to_owned()).await?.iter().filter_map(exception).collect(),
            archiving: rows(ARCHIVING.to_owned()).await?.first().and_then(not_archived),
            broken: rows(BROKEN.to_owned()).await?.iter().filter_map(broken).collect(),
            superusers: superusers
                .iter()
                .filter_map(|row| row.text(0))
                .filter(|role| role != own_superuser)
                .map(str::to_owned)
                .collect(),
        })
    }
}

const SLOTS: &str = "SELECT slot_name, slot_type = 'physical' AND slot_name LIKE 'haa\\_%', active, \
     greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_insert_lsn() END, restart_lsn), 0)::bigint, \
     CASE WHEN safe_wal_size < 0 THEN 0 ELSE safe_wal_size END, \
     wal_status IS NOT DISTINCT FROM 'lost', slot_type = 'logical' FROM pg_replication_slots";

/// Of each value that is written `name=value`, in the order in which Postgres takes them.
const COMMITS: &str = "SELECT r.rolname, d.datname, split_part(said, '=', 2) FROM pg_db_role_setting s \
     CROSS JOIN LATERAL unnest(s.setconfig) said LEFT JOIN pg_roles r ON r.oid = s.setrole \
     LEFT JOIN pg_database d ON d.oid = s.setdatabase \
     WHERE said LIKE 'synchronous\\_commit=%' ORDER BY 1, 2";

/// Of this server alone: its replicas have pages of their own.
const BROKEN: &str = "SELECT datname, checksum_failures, \
     to_char(checksum_last_failure AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' \
     FROM pg_stat_database WHERE checksum_failures > 0 ORDER BY 1";

/// The last try failed, and was not long ago: what fails is tried again within a minute of its end. A standby archives
/// with `always` alone.
const ARCHIVING: &str = "SELECT last_failed_wal, failed_count, \
     to_char(last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' FROM pg_stat_archiver \
     WHERE last_failed_time > coalesce(last_archived_time, '-infinity') \
     AND last_failed_time > clock_timestamp() - interval '1 hour' \
     AND current_setting('archive_mode') = ANY (CASE WHEN pg_is_in_recovery() THEN '{always}' \
     ELSE '{on,always}' END::text[])";

fn not_archived(row: &Row) -> Option<NotArchived> {
    let last = row.text(2).unwrap_or("an unknown time").to_owned();
    Some(NotArchived { segment: row.text(0)?.to_owned(), times: row.parse(1)?, last })
}

fn broken(row: &Row) -> Option<Broken> {
    let last = row.text(2).unwrap_or("an unknown time").to_owned();
    Some(Broken { database: row.text(0).map(str::to_owned), times: row.parse(1)?, last })
}

fn slot(row: &Row) -> Option<Slot> {
    Some(Slot {
        name: row.text(0)?.to_owned(),
        ours: row.is_true(1),
        kept: false,
        lost: row.is_true(5),
        logical: row.is_true(6),
        active: row.is_true(2),
        holds: row.parse(3),
        left: row.parse(4),
    })
}

fn exception(row: &Row) -> Option<Exception> {
    let text = |column| row.text(column).map(str::to_owned);
    Some(Exception { role: text(0), database: text(1), value: text(2)? })
}
