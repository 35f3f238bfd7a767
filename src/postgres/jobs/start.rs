//! Job: start Postgres, always as a standby. Done when it accepts connections, or is known to be mute; recovery may
//! take as long as it takes.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haa_core::effect::Source;
use haa_core::observe::Door;
use haa_core::units::{Lsn, Millis, Revision};

use super::{rewind, running, stop};
use crate::postgres::control::Control;
use crate::postgres::error::{JobError, sentence};
use crate::postgres::log::ServerLog;
use crate::postgres::mute::Mute;
use crate::postgres::process::{self, Process};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError};
use crate::postgres::starved::Wait;
use crate::postgres::tool::withheld;
use crate::postgres::watcher::says_ready;
use crate::postgres::wished::{Told, Wished};
use crate::postgres::worker::Bench;
use crate::postgres::{
    door, files, incarnation, limits, list, look, parameters, starved, timeline, unreached,
};

const PAUSE: Duration = Duration::from_millis(5);
/// One that has nothing to do stops at once.
const PATIENCE: Millis = Millis(10_000);

pub(super) async fn run(
    bench: &Bench,
    source: Option<&Source>,
    door: Door,
) -> Result<(), JobError> {
    let site = &*bench.site;
    if let Some(pid) = process::scan(site.data()).map_err(JobError::Signal)?.first() {
        return wait_for_earlier(site, (*pid, source)).await;
    }
    if rewind::is_half_done(site).map_err(JobError::file("read", site.data()))? {
        let why = "a rewind of this data was broken off, it cannot be started; clone it anew";
        return Err(JobError::Refused(why.to_owned()));
    }
    let wished = site.wishes.now();
    let error = match with(site, (source, door), &wished).await {
        Ok(Raised::None) => return Ok(()),
        Ok(Raised::Some) => {
            // What was asked for goes on waiting for a restart, and is shown to.
            if let Err(error) = parameters::apply(site).await {
                tracing::warn!("parameters are not as they should be: {}", sentence(&error));
            }
            return Ok(());
        }
        Err(error) => error,
    };
    let ended = process::scan(site.data()).map_err(JobError::Signal)?.is_empty();
    if !ended || !is_a_no(&error) {
        return Err(error);
    }
    for before in site.proven.before(&wished, site.proven.failures()) {
        if with(site, (source, door), &before).await.is_ok() {
            return went_back(site, &wished, (error, door)).await;
        }
    }
    // The first of the errors is about what is wished.
    Err(error)
}

/// It runs with what it had, and why is told. The rules may be in order, and tighter: they are tried by themselves.
async fn went_back(
    site: &Site,
    wished: &Wished,
    (error, door): (JobError, Door),
) -> Result<(), JobError> {
    let why = format!(
        "{}; it runs with what it had before, and tries this again at its next start",
        sentence(&error)
    );
    tracing::error!("{why}");
    site.proven.failed(wished, why.clone());
    site.standing.refuses(why);
    if door == Door::Open
        && let Err(error) = door::refresh(site, &running(site)?).await
    {
        door::refused(site, &error);
    }
    Ok(())
}

/// Postgres or one of its tools does not go by what is written for it.
const fn is_a_no(error: &JobError) -> bool {
    matches!(error, JobError::Tool { .. } | JobError::Refused(_))
}

/// One try, done when Postgres accepts connections, or has all its WAL and would never accept one.
async fn with(
    site: &Site,
    (source, door): (Option<&Source>, Door),
    wished: &Wished,
) -> Result<Raised, JobError> {
    site.mute.is(None);
    let told = site.mute.told();
    let raised = prepare(site, source, door, &wished.told).await?;
    let (log, postmaster) = spawn(site, wished.revision)?;
    // The first start of a moved socket directory and the like are found in the log.
    let why = || format!("Postgres did not start: {}", log.why());
    come_up(site, &postmaster, (source, door), told, why).await?;
    site.proven.started(wished);
    if door == Door::Open {
        door::taken(site, &wished.told.hba);
    }
    Ok(raised)
}

/// A Postgres that an earlier run of haad started with no source, and whose start has not come to its end.
async fn wait_for_earlier(
    site: &Site,
    (pid, source): (u32, Option<&Source>),
) -> Result<(), JobError> {
    let file = files::source_file(site);
    let streams = files::has_source(site).map_err(JobError::file("read", &file))?;
    if says_ready(site) || source.is_some() || streams {
        let why = format!("Postgres runs already, as process {pid}; it was left as it is");
        return Err(JobError::Refused(why));
    }
    let file = door::file(site);
    let door = door::written(site).map_err(JobError::file("read", &file))?;
    let why = || "Postgres ended before it accepted connections".to_owned();
    come_up(site, &running(site)?, (None, door.unwrap_or_default()), None, why).await
}

/// Waits for the end of a start.
async fn come_up(
    site: &Site,
    postmaster: &Process,
    (source, door): (Option<&Source>, Door),
    told_end: Option<Lsn>,
    why: impl FnOnce() -> String,
) -> Result<(), JobError> {
    let mute = tokio::select! {
        wait = starved::wait(site, source, told_end) => match wait {
            Wait::Over(end) => Some(Mute { postmaster: postmaster.pid, end, door }),
            Wait::ToBeStopped => {
                stop::run(site, PATIENCE).await?;
                site.mute.stopped(site.data()).map_err(JobError::file("read", site.data()))?;
                let why = "it was stopped in order, to tell where its WAL ends; it is started once more";
                return Err(JobError::Refused(why.to_owned()));
            }
            Wait::InVain => return give_up(site).await,
        },
        ended = ended(postmaster) => {
            ended?;
            return Err(JobError::Refused(why()));
        }
        accepting = wait_until_accepting(site) => {
            accepting?;
            None
        }
    };
    if let Some(Mute { end, .. }) = mute {
        tracing::warn!(
            %end,
            "Postgres has replayed all that it has, and lets nobody in before it streams or leads: a transaction with \
             more than 64 savepoints was open at its last checkpoint"
        );
    }
    let mark = starved::MARK;
    mark.remove(site).map_err(JobError::file("remove", &site.state(mark.0)))?;
    site.mute.is(mute);
    Ok(())
}

/// Its recovery will not come to an end by itself.
async fn give_up(site: &Site) -> Result<(), JobError> {
    process::close(site.data()).await.map_err(JobError::Signal)?;
    let mark = starved::MARK;
    mark.set(site).map_err(JobError::file("write", &site.state(mark.0)))?;
    Err(JobError::Starved(site.state("postgres.log")))
}

async fn ended(postmaster: &Process) -> Result<(), JobError> {
    postmaster.ended().await.map_err(JobError::Signal)
}

/// Whether a limit is run with what the data ask for, and not with what is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raised {
    None,
    Some,
}

/// Everything on disk is as the start wants it.
async fn prepare(
    site: &Site,
    source: Option<&Source>,
    door: Door,
    told: &Told,
) -> Result<Raised, JobError> {
    let data = site.data();
    let read = || JobError::file("read", data);
    let write = || JobError::file("write into", data);
    let control = Control::read(data).map_err(read())?;
    let own = incarnation::read_or_make(data).map_err(write())?;
    process::remove_if_there(&data.join("postmaster.pid")).map_err(write())?;
    process::remove_if_there(&data.join(look::UNTOUCHED)).map_err(write())?;
    for line in files::clean_auto_conf(site, data).map_err(write())? {
        tracing::warn!(line, "took a parameter that haad sets out of postgresql.auto.conf");
    }
    unreached::forget(site, &control).await?;
    for stub in timeline::remove_stubs(&site.pg_wal()).map_err(write())? {
        tracing::info!(%stub, "removed a timeline number that no promotion took");
    }
    timeline::remove_unwritten(&site.pg_wal()).map_err(write())?;
    let newest = timeline::newest_real(&site.pg_wal()).map_err(read())?;
    timeline::fill(&site.pg_wal(), newest, newest).map_err(write())?;
    let config_file = files::config_file(site);
    let ours = || JobError::file("write", &config_file);
    let sockets = &site.config.socket_directory;
    std::fs::create_dir_all(sockets).map_err(JobError::file("make", sockets))?;
    files::write_source(site, source, own).map_err(ours())?;
    files::write_configuration(site, told, &[], door).map_err(ours())?;
    let raised = limits::too_low(site, &control, &config_file).await?;
    if !raised.is_empty() {
        files::write_configuration(site, told, &raised, door).map_err(ours())?;
    }
    files::write_signals(data).map_err(write())?;
    Ok(if raised.is_empty() { Raised::None } else { Raised::Some })
}

/// The new postmaster has its own process group, so that it outlives us; its working directory is the
/// data directory from the first instant, so that it can be found.
fn spawn(site: &Site, revision: Revision) -> Result<(ServerLog, Process), JobError> {
    let program = site.program("postgres");
    let (log, output) =
        ServerLog::open(site).map_err(JobError::file("open", &site.state("postgres.log")))?;
    let more = output.try_clone().map_err(JobError::file("open", &site.state("postgres.log")))?;
    let mut command = Command::new(&program);
    for key in withheld("PG_OOM_ADJUST_") {
        command.env_remove(key);
    }
    let mut config = std::ffi::OsString::from("config_file=");
    config.push(files::config_file(site));
    command.arg("-D").arg(site.data()).arg("-c").arg(config).current_dir(site.data());
    command.stdin(Stdio::null()).stdout(output).stderr(more).process_group(0);
    let mut child = command.spawn().map_err(|source| JobError::Spawn { program, source })?;
    // What a new session shows is from now on what was written.
    site.source_settled();
    site.sync.started(&list::at_rest(site));
    site.standing.started(revision);
    match hold(&mut child, site)? {
        Some(process) => Ok((log, process)),
        None => Err(JobError::Refused(format!("Postgres did not start: {}", log.why()))),
    }
}

/// For an instant after `exec`, the kernel lets nobody look at a process. Nothing may come in between
/// until it can be seen, or closing would miss it: this does not await.
fn hold(child: &mut Child, site: &Site) -> Result<Option<Process>, JobError> {
    // On a busy machine that instant was seen to last longer than a second.
    for _ in 0..25_000 {
        if let Some(process) = Process::hold(child.id(), site.data()).map_err(JobError::Signal)? {
            return Ok(Some(process));
        }
        if child.try_wait().map_err(JobError::Signal)?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(None)
}

async fn wait_until_accepting(site: &Site) -> Result<(), JobError> {
    loop {
        if says_ready(site) {
            match Session::open(site).await {
                Ok(_) => return Ok(()),
                Err(error @ SqlError::Login { .. }) => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "Postgres is up and does not let us in yet"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
