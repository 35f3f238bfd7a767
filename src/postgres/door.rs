//! Who is let in: `pg_hba.conf` in two forms, and ending the sessions of those who are not to be there.
//! Never touches sessions of haad, of replication or of a rewind.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use haa_core::observe::Door;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::error::{JobError, sentence};
use super::files::{self, HEAD, setting};
use super::kept;
use super::process::{self, Ended, Process};
use super::reload;
use super::site::Site;
use super::sql::{Session, role};
use super::wished::Wished;

/// A setting of ours, which tells a session which form the postmaster has read: it reads `pg_hba.conf` after
/// this, before it takes another connection.
pub(super) const SETTING: &str = "haa.door";

const PAUSE: Duration = Duration::from_millis(1);

/// Sessions end in a moment when told to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whoever has not got through its login by then waits for its client.
const LOGIN: Duration = Duration::from_millis(50);

/// Included by our configuration.
pub(super) fn file(site: &Site) -> PathBuf {
    site.state("haa.door.conf")
}

/// Writes both files, `pg_hba.conf` first, these rules for clients in it. Returns what [`SETTING`] will be. Not synced:
/// a start writes them anew.
pub(super) fn write(site: &Site, door: Door, rules: &[String]) -> io::Result<String> {
    let hba = hba(site, door, rules);
    let word = match door {
        Door::Open => "open",
        Door::Shut => "shut",
    };
    let mark = format!("{word} {}", files::mark(&hba));
    files::write_atomically(&site.state("pg_hba.conf"), &hba)?;
    files::write_atomically(&file(site), &format!("{HEAD}{SETTING} = {}\n", setting(&mark)))?;
    Ok(mark)
}

/// Which form was written last.
pub(super) fn written(site: &Site) -> io::Result<Option<Door>> {
    let text = std::fs::read_to_string(file(site))?;
    let mark = text.lines().find_map(|line| line.strip_prefix(SETTING)?.strip_prefix(" = '"));
    Ok(mark.and_then(parse))
}

/// What a session shows as [`SETTING`], read back.
pub(super) fn parse(mark: &str) -> Option<Door> {
    match mark.split_once(' ')?.0 {
        "open" => Some(Door::Open),
        "shut" => Some(Door::Shut),
        _ => None,
    }
}

/// How our own sessions log in, over the socket. The kernel says who asks, and where the names agree no other proof is
/// needed: the thousands of hashes of SCRAM would be most of a failover. Names that differ would need a map, and one
/// bad line of the operator's in it would lock us out.
fn local(site: &Site) -> &'static str {
    let agree = site.owner.as_ref() == Some(&site.config.superuser.user);
    if agree { "peer" } else { "scram-sha-256" }
}

fn hba(site: &Site, door: Door, rules: &[String]) -> String {
    let name = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let superuser = name(&site.config.superuser.user);
    let replication = name(&site.config.replication.user);
    let rewind = name(&site.config.rewind.user);
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "local all {superuser} {}", local(site));
    let _ = writeln!(text, "host replication {replication} all scram-sha-256");
    let _ = writeln!(text, "host \"postgres\" {rewind} all scram-sha-256");
    if let Some(databases) = kept::copies::asked_in(site.major(), &site.wishes.now().told) {
        let _ = writeln!(text, "host {databases} {replication} all scram-sha-256");
    }
    match door {
        Door::Shut => {
            text.push_str("local all,replication all reject\nhost all,replication all all reject\n")
        }
        Door::Open if rules.is_empty() => {
            text.push_str("local all all scram-sha-256\nhost all all all scram-sha-256\n");
        }
        Door::Open => {
            for rule in rules {
                let _ = writeln!(text, "{rule}");
            }
        }
    }
    text
}

/// Done when the postmaster lets in whom it is to let in from now on, and with [`Door::Shut`] nobody else is left.
/// Where the operator's rules are not taken, those go on by which clients were let in before; it stays shut where there
/// are none, and says so.
pub(super) async fn set(site: &Site, postmaster: &Process, door: Door) -> Result<(), JobError> {
    let _alone = site.door.lock().await;
    let wished = site.wishes.now();
    let session = show(site, postmaster, door, &wished.told.hba).await?;
    settle(site, postmaster, &session, (door, &wished)).await
}

async fn fall_back(
    site: &Site,
    postmaster: &Process,
    wished: &Wished,
    error: JobError,
) -> Result<(), JobError> {
    if let Some(before) = site.proven.rules_other_than(wished) {
        let session = show(site, postmaster, Door::Open, &before).await?;
        if in_order(site, &session).await.is_ok() {
            refused(site, &error);
            return Ok(());
        }
    }
    show(site, postmaster, Door::Shut, &[]).await?;
    site.standing.rules(Some(format!("{}; no client is let in", sentence(&error))));
    Err(error)
}

/// Whoever is let in by other rules from now on; a door that is shut stays so, and opens by the new ones. Rules that
/// Postgres does not take are an error, and those from before stay in force. A change of the door that is under way is
/// waited for: it may have read the rules from before.
pub(super) async fn refresh(site: &Site, postmaster: &Process) -> Result<(), JobError> {
    let _alone = site.door.lock().await;
    if shown(&Session::open(site).await?).await? != Some(Door::Open) {
        return Ok(());
    }
    let wished = site.wishes.now();
    let rules = &wished.told.hba;
    let session = show(site, postmaster, Door::Open, rules).await?;
    in_order(site, &session).await?;
    taken(site, rules);
    Ok(())
}

/// Clients are let in by these.
pub(super) fn taken(site: &Site, rules: &[String]) {
    site.proven.lets_in(rules);
    site.standing.rules(None);
}

/// They are let in by those from before: shown until others are taken.
pub(super) fn refused(site: &Site, error: &JobError) {
    let why = format!("{}; the rules from before stay in force", sentence(error));
    tracing::error!("{why}");
    site.standing.rules(Some(why));
}

async fn show(
    site: &Site,
    postmaster: &Process,
    door: Door,
    rules: &[String],
) -> Result<Session, JobError> {
    let mark = write(site, door, rules).map_err(JobError::file("write", &file(site)))?;
    reload::until_shown(site, postmaster, &[(SETTING, mark)]).await
}

/// What `session` says of the door.
pub(super) async fn shown(session: &Session) -> Result<Option<Door>, JobError> {
    let mark = session.value(&format!("SELECT current_setting('{SETTING}', true)")).await?;
    Ok(mark.as_deref().and_then(parse))
}

/// `session` shows that the files were read: they are in order, and with [`Door::Shut`] let nobody be left who was let
/// in before.
pub(super) async fn settle(
    site: &Site,
    postmaster: &Process,
    session: &Session,
    (door, wished): (Door, &Wished),
) -> Result<(), JobError> {
    match (door, in_order(site, session).await) {
        (Door::Shut, Ok(())) => end_clients(site, postmaster, session).await,
        (Door::Shut, Err(error)) => Err(error),
        (Door::Open, Ok(())) => {
            taken(site, &wished.told.hba);
            Ok(())
        }
        (Door::Open, Err(error)) => fall_back(site, postmaster, wished, error).await,
    }
}

/// A file with an error is not taken, and the one before it stays.
async fn in_order(site: &Site, session: &Session) -> Result<(), JobError> {
    const QUESTION: &str = "SELECT 'line ' || line_number || ': ' || error FROM pg_hba_file_rules() \
         WHERE error IS NOT NULL LIMIT 1";
    session.value(QUESTION).await?.map_or(Ok(()), |error| {
        let path = site.state("pg_hba.conf");
        Err(JobError::Refused(format!(
            "Postgres does not take {}, {error}; check postgres.hba in haad.toml",
            path.display()
        )))
    })
}

/// Ends every session that is not ours, and every login under way: it was begun under the rules before.
/// To be called after the reload was seen.
async fn end_clients(site: &Site, postmaster: &Process, session: &Session) -> Result<(), JobError> {
    let ended = async {
        let mut logins = logins(site, postmaster).map_err(JobError::Signal)?;
        let began = Instant::now();
        loop {
            let rows = session.rows(&sessions(site)).await?;
            let known = |pid: u32| rows.iter().any(|row| row.parse(0) == Some(pid));
            logins.retain(|login| !known(login.pid));
            still_there(&mut logins).await?;
            if logins.is_empty() && !rows.iter().any(|row| row.is_true(1)) {
                return Ok::<(), JobError>(());
            }
            if began.elapsed() > LOGIN {
                for login in &logins {
                    login.signal(Signal::TERM).map_err(JobError::Signal)?;
                }
            }
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, ended).await.map_err(|_| {
        let why = "sessions of clients do not end; the door cannot be shut before them";
        JobError::Refused(why.to_owned())
    })?
}

async fn still_there(logins: &mut Vec<Process>) -> Result<(), JobError> {
    let mut left = Vec::new();
    for login in logins.drain(..) {
        if login.ended_within(Duration::ZERO).await.map_err(JobError::Signal)? == Ended::NotYet {
            left.push(login);
        }
    }
    *logins = left;
    Ok(())
}

/// Everybody's pid, and whether it was to end: it is told to by the question.
fn sessions(site: &Site) -> String {
    let superuser = role(&site.config.superuser.user);
    let replication = role(&site.config.replication.user);
    let rewind = role(&site.config.rewind.user);
    format!(
        "SELECT pid, CASE WHEN backend_type = 'client backend' \
           AND NOT (usesysid = {superuser} AND client_addr IS NULL) AND usesysid IS DISTINCT FROM {rewind} \
           AND usesysid IS DISTINCT FROM {replication} \
           OR backend_type = 'walsender' AND usesysid IS DISTINCT FROM {replication} \
         THEN pg_terminate_backend(pid) ELSE false END FROM pg_stat_get_activity(NULL)"
    )
}

/// Children of the postmaster that may be on the way through a login. A session shows such a one only when it is
/// through; by its title it has none yet, or is about to be let in.
fn logins(site: &Site, postmaster: &Process) -> io::Result<Vec<Process>> {
    let ours = format!(" {} ", site.config.superuser.user);
    let mut found = Vec::new();
    for pid in process::scan(site.data())? {
        let Some(child) = process::child(postmaster, pid, site.data())? else { continue };
        let title = process::title(pid);
        let nameless = !title.starts_with("postgres: ");
        let stage = ["initializing", "authentication", "startup"];
        let login = stage.iter().any(|stage| title.ends_with(stage));
        let local = title.contains(&ours) && title.contains(" [local] ");
        if nameless || login && !local {
            found.push(child);
        }
    }
    Ok(found)
}
