//! One look: from the data directory and the server to `PostgresFacts`. Never changes anything but a missing
//! incarnation, and never concludes.

use std::collections::BTreeMap;
use std::io;

use haa_core::line::Fork;
use haa_core::observe::{DataDir, Primary, Server, Shutdown, Standby, SyncState, Walsender};
use haa_core::units::{Incarnation, Lsn, Position, Timeline};

use super::control::{Control, State};
use super::error::sentence;
use super::jobs::rewind;
use super::site::Site;
use super::sql::{Row, Session, SqlError};
use super::{conninfo, door, incarnation, list, starved, timeline};

/// What is in the data directory.
pub(super) fn data(site: &Site) -> DataDir {
    let path = site.data();
    let shown = path.display();
    match occupied(site) {
        Ok(Occupied::No) => DataDir::Empty,
        Ok(Occupied::Otherwise) => DataDir::Foreign(format!(
            "the data directory {shown} is not empty and has no PG_VERSION; move away what is there, \
             or set postgres.data_directory in haad.toml"
        )),
        Ok(Occupied::Version(major)) if major == site.major().to_string() => match present(site) {
            Ok(present) => present,
            Err(error) => DataDir::Unreadable(format!("cannot read {shown}: {error}")),
        },
        Ok(Occupied::Version(major)) => DataDir::Foreign(format!(
            "the data directory {shown} is of PostgreSQL {major}, the binaries are of {}; set \
             postgres.bin_directory in haad.toml",
            site.major()
        )),
        Err(error) => {
            DataDir::Unreadable(format!("cannot read the data directory {shown}: {error}"))
        }
    }
}

/// initdb leaves this file, the first start removes it.
pub(super) const UNTOUCHED: &str = "haa.untouched";

enum Occupied {
    No,
    Version(String),
    Otherwise,
}

fn occupied(site: &Site) -> io::Result<Occupied> {
    match std::fs::read_to_string(site.data().join("PG_VERSION")) {
        Ok(version) => return Ok(Occupied::Version(version.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match std::fs::read_dir(site.data()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Occupied::No),
        Err(error) => Err(error),
        Ok(entries) => {
            for entry in entries {
                if entry?.file_name() != "lost+found" {
                    return Ok(Occupied::Otherwise);
                }
            }
            Ok(Occupied::No)
        }
    }
}

fn present(site: &Site) -> io::Result<DataDir> {
    let control = Control::read(site.data())?;
    Ok(DataDir::Present {
        system_id: control.system_id,
        incarnation: number(site)?,
        needs_source: is_incomplete(site, &control)?
            || starved::MARK.is_set(site)?
            // Started alone it would wait for this for ever.
            || !timeline::has_segment(&site.pg_wal(), control.segment_size, control.redo)?,
        untouched: site.data().join(UNTOUCHED).exists(),
    })
}

/// pg_rewind brings the source's file, and may have been broken off amid that. Such data are given up: with any number
/// of their own they are seen, and cloned anew.
fn number(site: &Site) -> io::Result<Incarnation> {
    match incarnation::read_or_make(site.data()) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData && rewind::is_half_done(site)? => {
            incarnation::make(site.data())
        }
        read => read,
    }
}

/// A copy or a rewind of these data was begun and is not complete.
pub(super) fn is_incomplete(site: &Site, control: &Control) -> io::Result<bool> {
    let begun = control.in_backup || site.data().join("backup_label").exists();
    Ok(begun || rewind::is_half_done(site)?)
}

/// How a Postgres without processes ended.
pub(super) fn shutdown(site: &Site) -> Shutdown {
    match Control::read(site.data()) {
        Ok(Control { state: State::ShutDown, checkpoint, .. }) => Shutdown::Primary(checkpoint),
        Ok(Control { state: State::ShutDownInRecovery, .. }) => Shutdown::Standby,
        Ok(Control { state: State::InRecovery | State::Other, .. }) => Shutdown::Crashed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Shutdown::NoData,
        Err(error) => {
            tracing::warn!(error = %sentence(&error), "how Postgres ended cannot be read");
            Shutdown::Crashed
        }
    }
}

/// One round trip, of the functions that lie under the views: planning the views takes ten times as long as the
/// answer, and a new session reads half the catalog for them. Columns are read by number in `standby` and `primary`.
const QUESTION: &str = "\
WITH r AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby)
SELECT r.standby,
  (extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint,
  CASE WHEN NOT r.standby THEN pg_current_wal_flush_lsn() END,
  CASE WHEN NOT r.standby THEN pg_walfile_name(pg_current_wal_flush_lsn()) END,
  pg_last_wal_replay_lsn(),
  (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint,
  CASE WHEN r.standby THEN pg_is_wal_replay_paused() END,
  current_setting('primary_conninfo'),
  w.pid, w.status, w.flushed_lsn, w.received_tli,
  (SELECT wait_event FROM pg_stat_get_activity(NULL) WHERE backend_type = 'startup' LIMIT 1),
  CASE WHEN NOT r.standby THEN pg_current_wal_insert_lsn() END,
  current_setting('synchronous_standby_names'), current_setting('haa.door', true),
  (SELECT string_agg(slot_name::text, ' ') FROM pg_get_replication_slots()
   WHERE slot_type = 'physical' AND slot_name LIKE 'haa\\_%'),
  pg_conf_load_time(),
  CASE WHEN r.standby THEN
    (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend') END
FROM r LEFT JOIN pg_stat_get_wal_receiver() w ON w.pid IS NOT NULL
UNION ALL
SELECT NULL, NULL, flush_lsn, application_name, replay_lsn, NULL, NULL, w.state,
  sync_priority, sync_state, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pg_stat_get_wal_senders() w JOIN pg_stat_get_activity(NULL) USING (pid)";

/// The wait from which the startup process cannot begin to receive before it has taken new settings.
pub(super) const RETRY: &str = "RecoveryRetrieveRetryInterval";
/// The wait for a WAL receiver, with nothing left to replay.
const ASKS: &str = "RecoveryWalStream";

/// What a server says that answers.
pub(super) async fn server(site: &Site, session: &Session) -> Result<Server, LookError> {
    let rows = session.rows(QUESTION).await?;
    let (replicas, own): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.text(0).is_none());
    let own = *own.first().ok_or(SqlError::Odd { column: 0 })?;
    site.standing.loaded(own.text(17));
    if own.is_true(0) {
        Ok(Server::Standby(standby(site, session, own)?))
    } else {
        Ok(Server::Primary(primary(site, own, &replicas)?))
    }
}

/// Why a look at a living server found nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("cannot read pg_wal")]
    Files(#[from] io::Error),
}

fn standby(site: &Site, session: &Session, row: &Row) -> Result<Standby, LookError> {
    // NULL before the first record was replayed: then the WAL ends where replay begins.
    let replayed = row.parse(4).unwrap_or_default();
    let source = row.text(7).unwrap_or_default();
    let receiver = row.text(8).is_some();
    let streaming = row.text(9) == Some("streaming");
    let received = row.parse::<Lsn>(10).filter(|flushed| streaming && *flushed >= replayed);
    let event = row.text(12).filter(|_| !site.is_fetching());
    let waits = !receiver && event == Some(RETRY);
    // Between tries that each take longer than the pause between them, there is none.
    let asks = !streaming && event == Some(ASKS);
    let pg_wal = site.pg_wal();
    let newest = match (received, row.parse(11).map(Timeline)) {
        (Some(_), Some(timeline)) => Some(timeline),
        _ => timeline::newest_with(&pg_wal, segment_size(site)?, replayed)?,
    };
    let newest = newest.map_or_else(|| last_known(site), Ok)?;
    let lsn = received.unwrap_or(replayed);
    let opened_at = session.opened_at;
    let started_unix_ms = row.need(1)?;
    let proven = opened_at.is_multiple_of(2) && opened_at == site.source_writes();
    let timeline = timeline::owner(&pg_wal, newest, lsn)?;
    let position = Position { timeline, lsn };
    // Whoever streams is on the way of its source.
    let ahead = if streaming { Vec::new() } else { timeline::ahead(&pg_wal, position)? };
    Ok(Standby {
        position,
        lineage: timeline::lineage(&pg_wal, timeline)?,
        ahead,
        replayed,
        replay_age_ms: row.parse::<i64>(5).map(|age| age.max(0).unsigned_abs()),
        source: conninfo::address(source),
        detached: proven && source.is_empty() && waits,
        mute: false,
        streaming,
        dry: !source.is_empty() && (waits || asks),
        paused: row.is_true(6),
        door: row.text(15).and_then(door::parse),
        sessions: row.parse(18),
        oldest: site.oldest.of(started_unix_ms, &pg_wal, segment_size(site)?)?,
        started_unix_ms,
    })
}

fn segment_size(site: &Site) -> io::Result<u64> {
    Ok(Control::read(site.data())?.segment_size)
}

fn last_known(site: &Site) -> io::Result<Timeline> {
    Ok(Control::read(site.data())?.checkpoint.timeline)
}

fn primary(site: &Site, row: &Row, replicas: &[&Row]) -> Result<Primary, LookError> {
    let file = row.text(3).unwrap_or_default();
    let timeline = file.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).map(Timeline);
    let timeline = timeline.ok_or(SqlError::Odd { column: 3 })?;
    let lineage: Vec<Fork> = timeline::lineage(&site.pg_wal(), timeline)?;
    let (mut by_name, mut abroad) = (BTreeMap::new(), BTreeMap::new());
    for row in replicas {
        let name = row.text(3).unwrap_or_default();
        let (whose, (member, incarnation)) = match conninfo::parse_application_name(name) {
            Some(ours) => (&mut by_name, ours),
            None => match conninfo::parse_name_abroad(name) {
                Some(theirs) => (&mut abroad, theirs),
                None => continue,
            },
        };
        let walsender = Walsender {
            incarnation,
            streaming: row.text(7) == Some("streaming"),
            flushed: row.parse(2).unwrap_or_default(),
            replayed: row.parse(4).unwrap_or_default(),
            priority: row.parse(8).unwrap_or_default(),
            sync: sync_state(row.text(9).unwrap_or_default()),
        };
        // A dead connection may linger beside the new one; the one that streams counts.
        let better = |old: &Walsender| !old.streaming || walsender.streaming;
        if whose.get(&member).is_none_or(better) {
            whose.insert(member, walsender);
        }
    }
    let shown = list::parse(row.text(14).unwrap_or_default());
    let started_unix_ms = row.need(1)?;
    Ok(Primary {
        oldest: site.oldest.of(started_unix_ms, &site.pg_wal(), segment_size(site)?)?,
        position: Position { timeline, lsn: row.need(2)? },
        inserted: row.need(13)?,
        lineage,
        replicas: by_name,
        abroad,
        effective: site.sync.proven().filter(|list| Some(list) == shown.as_ref()),
        shown,
        door: row.text(15).and_then(door::parse),
        slots: row.text(16).unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        flush: site.flush.shown(),
        started_unix_ms,
    })
}

fn sync_state(shown: &str) -> SyncState {
    match shown {
        "quorum" => SyncState::Quorum,
        "sync" => SyncState::Sync,
        "potential" => SyncState::Potential,
        _ => SyncState::Async,
    }
}
