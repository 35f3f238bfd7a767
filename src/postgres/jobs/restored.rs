//! A backup that the operator's own program restores: run, examined, made consistent, and compared with whom it is to
//! follow. In a directory beside the data; never in their place, and nothing is taken on trust.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use haa_core::effect::Source;
use haa_core::line::{Beside, Line};
use haa_core::units::{Lsn, Position, SystemId};

use super::keep::Scaffold;
use super::recover::{self, Until};
use crate::config::{Command, Method, Restore};
use crate::postgres::control::{Control, State};
use crate::postgres::error::JobError;
use crate::postgres::process::remove_if_there;
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError, quoted};
use crate::postgres::{files, look, room, timeline};
use crate::program::{self, Run};

/// So many of the last lines that a program said are told to whoever asked for the clone.
const LAST: usize = 3;

/// Where a restored backup is found, told to the program that restores it. Of a process, it tells that it is one.
pub(in crate::postgres) const DIRECTORY: &str = "HAA_DATA_DIRECTORY";

/// Whom the data are to follow.
struct Theirs {
    system: SystemId,
    line: Line,
    /// How far it has got.
    end: Lsn,
}

/// Restores by `method` into `new`. Returns the history that the data are part of.
pub(super) async fn clone(
    site: &Site,
    source: &Source,
    (method, new): (&Method, &Scaffold),
) -> Result<Line, JobError> {
    let system = ask(site, source).await?.system;
    let mut told = told(site, new.path());
    told.extend([
        ("HAA_SOURCE_HOST", source.address.host.clone()),
        ("HAA_SOURCE_PORT", source.address.port.to_string()),
        ("HAA_SYSTEM_IDENTIFIER", system.to_string()),
    ]);
    run(new.path(), Run { told, ..Run::of(&method.name, &method.command, method.timeout) }).await?;
    let control = examine(site, new.path(), Some(system))?;
    if new.path().join("backup_label").exists() {
        recover::run(site, new.path(), &control, Until::Consistent).await?;
    }
    let end = end(new.path()).map_err(JobError::file("read", new.path()))?;
    // It has written meanwhile, and a program may have copied it.
    let theirs = ask(site, source).await?;
    theirs.hold(new.path(), end, source)?;
    Ok(theirs.line)
}

/// Restores what a new cluster is made of into `new`, and recovers it until its target. Returns the configuration by
/// which that was done.
pub(super) async fn first(
    site: &Site,
    restore: &Restore,
    new: &Scaffold,
) -> Result<PathBuf, JobError> {
    let told = told(site, new.path());
    run(new.path(), Run { told, ..Run::of("bootstrap", &restore.command, restore.timeout) })
        .await?;
    let control = examine(site, new.path(), None)?;
    recover::run(site, new.path(), &control, Until::Target(&restore.target)).await
}

/// What every program is told that restores something.
pub(super) fn told(site: &Site, directory: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("HAA_CLUSTER", site.config.cluster.clone()),
        ("HAA_MEMBER", site.me.to_string()),
        (DIRECTORY, directory.display().to_string()),
    ]
}

impl<'a> Run<'a> {
    /// One that restores.
    pub(super) fn of(name: &'a str, command: &'a Command, patience: std::time::Duration) -> Self {
        Self { name, command, told: Vec::new(), patience, last: LAST }
    }
}

/// Runs it with an empty directory, and sees to it that what it brought is on the disk.
pub(super) async fn run(directory: &Path, run: Run<'_>) -> Result<(), JobError> {
    let write = || JobError::file("write", directory);
    DirBuilder::new().mode(0o700).create(directory).map_err(write())?;
    let shown = run.command.program.display().to_string();
    let wrong = |wrong: program::Wrong| JobError::Refused(format!("{shown} {wrong}"));
    let took = program::run(run).await.map_err(wrong)?;
    tracing::info!(?took, "{shown} has restored; what it brought is examined");
    let directory = directory.to_owned();
    let sync = move || {
        let directory = std::fs::File::open(directory)?;
        rustix::fs::syncfs(&directory).map_err(io::Error::from)
    };
    files::apart(sync).await.map_err(write())
}

/// Whether it is a whole backup of this very system, for these binaries. What the server that was backed up was told
/// is taken out.
pub(super) fn examine(
    site: &Site,
    data: &Path,
    system: Option<SystemId>,
) -> Result<Control, JobError> {
    let read = || JobError::file("read", data);
    let refused = |why: String| Err(JobError::Refused(format!("what was restored {why}")));
    let major = match std::fs::read_to_string(data.join("PG_VERSION")) {
        Ok(major) => major,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return refused(format!(
                "is no database: there is no PG_VERSION in the directory that ${DIRECTORY} named"
            ));
        }
        Err(error) => return Err(read()(error)),
    };
    if major.trim() != site.major().to_string() {
        let (major, own) = (major.trim(), site.major());
        return refused(format!("is of PostgreSQL {major}, the binaries are of {own}"));
    }
    let control = Control::read(data).map_err(read())?;
    if let Some(system) = system.filter(|system| *system != control.system_id) {
        let other = control.system_id;
        return refused(format!(
            "is a backup of the database system {other}, but this cluster is {system}"
        ));
    }
    if let Some(count) = room::tablespaces(data) {
        return refused(format!("has {count} tablespace(s), which haad does not clone"));
    }
    if let Some(wal) = room::wal_elsewhere(data) {
        return refused(format!("has its pg_wal in {}: haad takes one directory", wal.display()));
    }
    let whole = matches!(control.state, State::ShutDown | State::ShutDownInRecovery);
    if !whole && !data.join("backup_label").exists() {
        return refused(
            "is no backup: it has no backup_label, and was copied from a Postgres that ran"
                .to_owned(),
        );
    }
    let stale = ["postmaster.pid", "standby.signal", "recovery.signal", look::UNTOUCHED];
    stale.iter().try_for_each(|name| remove_if_there(&data.join(name))).map_err(read())?;
    files::clean_auto_conf(site, data).map_err(read())?;
    Ok(control)
}

/// Where these data, which no server has, end at least.
fn end(data: &Path) -> io::Result<Position> {
    let control = Control::read(data)?;
    let lsn = control.checkpoint.lsn.max(control.recovered);
    Ok(Position { timeline: control.checkpoint.timeline, lsn })
}

impl Theirs {
    /// Whether the data are part of what the source has. Where they end exactly is seen when they are started, and
    /// compared once more.
    fn hold(&self, data: &Path, end: Position, source: &Source) -> Result<(), JobError> {
        let Position { timeline, lsn } = end;
        let (pg_wal, member) = (data.join("pg_wal"), &source.member);
        let forks =
            timeline::lineage(&pg_wal, timeline).map_err(JobError::file("read", &pg_wal))?;
        let why = match self.line.beside(&Line { timeline, forks }, lsn) {
            Beside::Part if timeline == self.line.timeline && lsn > self.end => {
                format!("it has got to {lsn}, and {member} to {}", self.end)
            }
            Beside::Part => return Ok(()),
            Beside::Past => {
                format!("on timeline {timeline} it has got past where {member} left it")
            }
            Beside::Elsewhere => format!("its timeline {timeline} is none of {member}'s"),
        };
        let refusal =
            format!("what was restored, {end}, is not part of the cluster's history: {why}");
        Err(JobError::Refused(refusal))
    }
}

/// Asks the source what it is.
async fn ask(site: &Site, source: &Source) -> Result<Theirs, JobError> {
    let session = Session::open_at(&source.address, &site.config.rewind).await?;
    let question = format!(
        "WITH h AS (SELECT n, convert_from(pg_read_binary_file('pg_wal/' || n, 0, 1048576, true), 'UTF8') AS t \
         FROM pg_ls_dir('pg_wal', true, false) n WHERE n ~ '^[0-9A-F]{{8}}[.]history$') \
         SELECT (pg_control_system()).system_identifier::text, CASE WHEN pg_is_in_recovery() \
         THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, h.n, h.t \
         FROM (SELECT) o LEFT JOIN (SELECT * FROM h WHERE NOT starts_with(t, {}) \
         ORDER BY n DESC LIMIT 1) h ON true",
        quoted(timeline::STUB)
    );
    let rows = session.rows(&question).await?;
    let row = rows.first().ok_or(SqlError::Odd { column: 0 })?;
    let number = row.text(2).and_then(|name| u32::from_str_radix(name.get(..8)?, 16).ok());
    let line = Line {
        timeline: haa_core::units::Timeline(number.unwrap_or(1)),
        forks: timeline::parse_history(row.text(3).unwrap_or_default()),
    };
    let system: u64 = row.need(0)?;
    Ok(Theirs { system: SystemId(system), line, end: row.need(1)? })
}
