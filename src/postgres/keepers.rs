//! Where WAL may still be: the operator's archive, and the members' own `pg_wal`. Brings one segment into a file of
//! ours beside its place; never into its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haa_core::effect::Source;
use haa_core::line::Fork;
use haa_core::units::Lsn;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::control::Control;
use super::error::{JobError, sentence};
use super::files;
use super::process::remove_if_there;
use super::segment::{Extent, Segment};
use super::site::Site;
use super::sql::{Session, SqlError, quoted};
use super::timeline;
use super::tool::Tool;

/// The operator's command is killed then, and the segment counts as not found.
const RESTORE: Duration = Duration::from_secs(30);
/// One piece of a segment is there by then.
const PIECE: Duration = Duration::from_secs(10);
/// Bytes of a piece; as text it is twice as long.
const PIECE_BYTES: u64 = 1 << 20;

/// How the search for a segment ended.
pub(super) enum Found {
    /// In this file, checked and synced.
    Here(PathBuf),
    /// The leader has it.
    AtLeader,
    /// Nobody has it: what each said.
    Nowhere(String),
}

/// Asks the leader, which is the first of `from`, whether it has the segment; then the archive, then the others.
pub(super) async fn find(
    site: &Site,
    from: &[Source],
    segment: &Segment,
) -> Result<Found, JobError> {
    let mut said = Vec::new();
    let (leader, others) = match from.split_first() {
        Some((leader, others)) => (Some(leader), others),
        None => (None, from),
    };
    if let Some(leader) = leader {
        match member(site, leader, segment, None).await {
            Ok(()) => return Ok(Found::AtLeader),
            Err(why) => said.push(format!("{}: {why}", leader.member)),
        }
    }
    match anywhere(site, others, segment, &mut said).await? {
        Some(file) => Ok(Found::Here(file)),
        None => Ok(Found::Nowhere(said.join("; "))),
    }
}

/// Asks the archive, then each of `from`; `said` learns why not. One that ends with nothing may have been switched away
/// from, or be cut short: it is taken only if nobody has it whole, and of several the longest.
pub(super) async fn anywhere(
    site: &Site,
    from: &[Source],
    segment: &Segment,
    said: &mut Vec<String>,
) -> Result<Option<PathBuf>, JobError> {
    // A start of Postgres removes what begins so. Whatever an earlier run's command still writes is not this file.
    let file = format!("xlogtemp.haa.{}", std::process::id());
    let path = site.pg_wal().join(&file);
    let part = site.pg_wal().join(format!("{file}.part"));
    let mut longest: Option<Lsn> = None;
    for source in std::iter::once(None).chain(from.iter().map(Some)) {
        remove_if_there(&path).map_err(JobError::file("remove", &path))?;
        let (who, has) = match source {
            None => ("the archive".to_owned(), archive(site, segment, &file).await),
            Some(source) => {
                (source.member.to_string(), member(site, source, segment, Some(&path)).await)
            }
        };
        let why = match has {
            Ok(()) => match checked(site, segment, &path).await {
                Ok(extent) => {
                    tracing::info!(segment = segment.name(), from = who, "fetched a WAL segment");
                    if extent == Extent::Whole {
                        remove_if_there(&part).map_err(JobError::file("remove", &part))?;
                        return Ok(Some(path));
                    }
                    // Of two that go as far the member's, which has replayed it.
                    let until = extent.until(segment);
                    if longest.is_none_or(|longest| until >= longest) {
                        std::fs::rename(&path, &part).map_err(JobError::file("keep", &part))?;
                        longest = Some(until);
                    }
                    continue;
                }
                Err(error) => format!("what it gave is not the segment: {error}"),
            },
            Err(why) => why,
        };
        said.push(format!("{who}: {why}"));
    }
    remove_if_there(&path).map_err(JobError::file("remove", &path))?;
    Ok(longest.map(|_| part))
}

/// It is the segment, and on our disk: so much of it.
async fn checked(site: &Site, segment: &Segment, path: &Path) -> std::io::Result<Extent> {
    let system = Control::read(site.data())?.system_id;
    let (segment, path) = (*segment, path.to_owned());
    let check = move || {
        let extent = segment.check(&path, system)?;
        std::fs::File::open(&path)?.sync_all()?;
        Ok(extent)
    };
    files::apart(check).await
}

/// The operator's command, in the data directory, as Postgres would run it. However it fails: not found.
async fn archive(site: &Site, segment: &Segment, file: &str) -> Result<(), String> {
    let wished = site.wishes.now();
    let Some(command) = &wished.restore_command else {
        return Err("there is no postgres.restore_command".to_owned());
    };
    let command = filled_in(command, &segment.name(), &format!("pg_wal/{file}"));
    let tool = Tool::shell(&command).inside(site.data());
    match timeout(RESTORE, tool.run(|line| tracing::debug!(line, "restore_command"))).await {
        Ok(Ok(_)) if site.pg_wal().join(file).exists() => Ok(()),
        Ok(Ok(_)) => Err("restore_command brought nothing".to_owned()),
        Ok(Err(error)) => Err(sentence(&error)),
        Err(_) => Err(format!("restore_command did not end within {} s", RESTORE.as_secs())),
    }
}

/// `%f`, `%p` and `%%`; the configuration has no other.
fn filled_in(command: &str, name: &str, path: &str) -> String {
    let filled = |part: &str| part.replace("%f", name).replace("%p", path);
    command.split("%%").map(filled).collect::<Vec<_>>().join("%")
}

/// Whether a member has the segment; copied where `into` says where to. Else why not.
async fn member(
    site: &Site,
    source: &Source,
    segment: &Segment,
    into: Option<&Path>,
) -> Result<(), String> {
    ask(site, source, segment, into).await.map_err(|error| sentence(&error))
}

async fn ask(
    site: &Site,
    source: &Source,
    segment: &Segment,
    into: Option<&Path>,
) -> Result<(), JobError> {
    let not = |why: &str| Err(JobError::Refused(why.to_owned()));
    let session = Session::open_at(&source.address, &site.config.rewind).await?;
    let file = quoted(&format!("pg_wal/{}", segment.name()));
    let question = format!(
        "SELECT (pg_stat_file({file}, true)).size, {} <= CASE WHEN pg_is_in_recovery() \
         THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END",
        quoted(&segment.end().to_string())
    );
    let rows = session.rows(&question).await?;
    let row = rows.first().ok_or(SqlError::Odd { column: 0 })?;
    if row.text(0).is_none() {
        return not("it is not there");
    }
    // What is still being written there, or all of it: whoever streams from it needs nothing else.
    let Some(into) = into else { return Ok(()) };
    // A file that Postgres keeps for later use may have the name already.
    if !row.is_true(1) {
        return not("it is not complete there");
    }
    if let Some(made_by) = segment.made_by
        && !agrees(&session, segment, made_by).await?
    {
        return not("its timeline began elsewhere");
    }
    let write = || JobError::file("write", into);
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut to = options.open(into).await.map_err(write())?;
    let mut at = 0;
    while at < segment.size {
        let bytes = piece(&session, &file, at).await?;
        if bytes.is_empty() {
            return not("it was thrown away meanwhile");
        }
        to.write_all(&bytes).await.map_err(write())?;
        at += bytes.len() as u64;
    }
    to.flush().await.map_err(write())
}

/// Bytes of a member's file from there on; none where it ends before, or is gone.
async fn piece(session: &Session, file: &str, at: u64) -> Result<Vec<u8>, SqlError> {
    let sql =
        format!("SELECT encode(pg_read_binary_file({file}, {at}, {PIECE_BYTES}, true), 'hex')");
    let rows = session.rows_within(&sql, PIECE).await?;
    Ok(rows.first().and_then(|row| row.text(0)).and_then(bytes).unwrap_or_default())
}

/// Whether the member knows the segment's timeline as one that began where ours did.
async fn agrees(session: &Session, segment: &Segment, made_by: Fork) -> Result<bool, SqlError> {
    let file = quoted(&format!("pg_wal/{:08X}.history", segment.timeline.0));
    let text = piece(session, &file, 0).await?;
    let forks = timeline::parse_history(&String::from_utf8_lossy(&text));
    Ok(forks.last() == Some(&made_by))
}

/// From hexadecimal.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? << 4 | digit(*pair.get(1)?)?).ok();
    hex.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_filled_in_as_postgres_does_it() {
        let filled = |command| filled_in(command, "0001", "pg_wal/x");
        assert_eq!(filled("cp /a/%f %p"), "cp /a/0001 pg_wal/x");
        assert_eq!(filled("get '%f' \"%p\" 100%% 5%"), "get '0001' \"pg_wal/x\" 100% 5%");
    }

    #[test]
    fn hexadecimal_is_read() {
        assert_eq!(bytes("00ff7A"), Some(vec![0, 255, 122]));
        assert_eq!(bytes(""), Some(Vec::new()));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("xx"), None);
    }
}
