//! Job: make a new database system, of nothing or of a backup, with the roles that haad logs in with. Never over
//! existing data.

use std::path::{Path, PathBuf};

use haa_core::effect::Source;
use haa_core::observe::DataDir;

use super::keep::{self, Scaffold};
use super::recover::{self, FIRST, Until};
use super::{copy, restored};
use crate::config::{Bootstrap, InitDb, Login};
use crate::postgres::error::JobError;
use crate::postgres::files::{self, write_private};
use crate::postgres::process::remove_if_there;
use crate::postgres::site::Site;
use crate::postgres::sql::quoted;
use crate::postgres::tool::Tool;
use crate::postgres::{incarnation, look};
use haa_core::parameters::LIMITS;

pub(super) async fn run(site: &Site) -> Result<(), JobError> {
    let shown = site.data().display();
    match look::data(site) {
        DataDir::Empty => {}
        DataDir::Foreign(why) | DataDir::Unreadable(why) => return Err(JobError::Refused(why)),
        DataDir::Present { .. } => {
            let why = format!("{shown} holds a database system already; it was left as it is");
            return Err(JobError::Refused(why));
        }
    }
    let new = Scaffold::new(site, super::MADE).await?;
    match &site.config.bootstrap {
        Bootstrap::InitDb(options) => make(site, options, &new).await?,
        Bootstrap::Command(restore) => {
            tracing::info!("a new cluster is made of the backup that bootstrap.command restores");
            let config = restored::first(site, restore, &new).await?;
            let superuser = &site.config.superuser;
            make_roles(site, &new, (Some(superuser), Some(&config))).await?;
        }
        Bootstrap::Standby(other) => follow(site, other, &new).await?,
    }
    let untouched = new.path().join(look::UNTOUCHED);
    std::fs::write(&untouched, "").map_err(JobError::file("write", &untouched))?;
    incarnation::make(new.path()).map_err(JobError::file("write into", new.path()))?;
    new.place(site, keep::aside(site)?)?;
    Ok(())
}

/// A copy of another cluster, for a standby cluster: with its roles, and consistent, so that it starts without a source
/// like any other data.
async fn follow(site: &Site, other: &haa_core::site::Site, new: &Scaffold) -> Result<(), JobError> {
    tracing::info!("a new cluster is made as a standby of the cluster at {other}");
    files::write_passwords(site).map_err(JobError::file("write", &site.state("pgpass")))?;
    let (member, address) = (site.me.clone(), other.address());
    let source = Source { member, address, site: Some(other.clone()) };
    copy::basebackup(site, &source, new).await?;
    let control = restored::examine(site, new.path(), None)?;
    recover::run(site, new.path(), &control, Until::Consistent).await.map(drop)
}

/// An empty one.
async fn make(site: &Site, options: &InitDb, new: &Scaffold) -> Result<(), JobError> {
    let password = Password::write(site)?;
    let login = &site.config.superuser;
    let tool = Tool::new(site, "initdb");
    let tool = match &options.icu_locale {
        None => tool,
        Some(icu) => tool.arg("--locale-provider=icu").arg(format!("--icu-locale={icu}")),
    };
    // What Postgres says is said in English, whatever it sorts by: it is for operators and for haad.
    let made = tool
        .path("--pgdata=", new.path())
        .path("--pwfile=", &password.0)
        .arg(format!("--username={}", login.user))
        .arg("--auth-local=scram-sha-256")
        .arg("--auth-host=scram-sha-256")
        .arg("--data-checksums")
        .arg(format!("--encoding={}", options.encoding))
        .arg(format!("--locale={}", options.locale))
        .arg("--lc-messages=C")
        .arg(format!("--wal-segsize={}", options.wal_segment_size >> 20))
        .run(|line| tracing::debug!(line, "initdb"))
        .await;
    drop(password);
    made?;
    make_roles(site, new, (None, None)).await
}

/// The superuser's password in a file that initdb reads. It goes with the job, also with one that is given up.
struct Password(PathBuf);

impl Password {
    fn write(site: &Site) -> Result<Self, JobError> {
        let path = site.state(PASSWORD);
        let line = format!("{}\n", site.config.superuser.password);
        write_private(&path, line).map_err(JobError::file("write", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        if let Err(error) = remove_if_there(&self.0) {
            tracing::warn!(%error, "cannot remove {}, which holds a password", self.0.display());
        }
    }
}

const PASSWORD: &str = "initdb.password";

/// What an agent left that was killed while initdb was at work.
pub(in crate::postgres) fn forget_password(site: &Site) {
    drop(Password(site.state(PASSWORD)));
}

/// In single-user mode: a line is a statement. Statements are not logged, for they hold passwords. In a backup the
/// superuser is made what it is here too, and the configuration is ours.
async fn make_roles(
    site: &Site,
    new: &Scaffold,
    (superuser, config): (Option<&Login>, Option<&Path>),
) -> Result<(), JobError> {
    // With what it will run with: a standby does not start with less than the data were last run with.
    let wished = site.wishes.now();
    let theirs = |name: &&str| Some(format!("-c{name}={}", wished.told.of(name)?));
    let single = Tool::new(site, "postgres").arg("--single");
    let single = match config {
        None => LIMITS.iter().filter_map(theirs).fold(single, Tool::arg),
        Some(config) => FIRST.into_iter().fold(single.path("-cconfig_file=", config), Tool::arg),
    };
    let said = single
        .path("-D", new.path())
        .arg("-clog_min_error_statement=panic")
        .arg("-clog_statement=none")
        .arg("-cpassword_encryption=scram-sha-256")
        .arg("-cexit_on_error=on")
        .arg("postgres")
        .stdin(roles(superuser, &site.config.replication, &site.config.rewind))
        .run(|line| tracing::trace!(line, "postgres --single"))
        .await?;
    match said.lines().find(|line| line.contains("ERROR:") || line.contains("FATAL:")) {
        None => Ok(()),
        Some(line) => Err(JobError::Tool { tool: "postgres --single", said: line.to_owned() }),
    }
}

/// The statements that make the roles for streaming and for `pg_rewind`.
fn roles(superuser: Option<&Login>, replication: &Login, rewind: &Login) -> String {
    let role = |login: &Login, more: &str| {
        let name = identifier(&login.user);
        let password = quoted(&login.password);
        let user = quoted(&login.user);
        // Repeatable: there may be one role for both.
        format!(
            "DO $haa$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {user}) THEN \
             CREATE ROLE {name}; END IF; END $haa$;\n\
             ALTER ROLE {name} LOGIN {more} PASSWORD {password};\n"
        )
    };
    let mut text = superuser.map_or_else(String::new, |login| role(login, "SUPERUSER"));
    text.push_str(&role(replication, "REPLICATION"));
    text.push_str(&role(rewind, ""));
    let name = identifier(&rewind.user);
    for function in [
        "pg_ls_dir(text, boolean, boolean)",
        "pg_stat_file(text, boolean)",
        "pg_read_binary_file(text)",
        "pg_read_binary_file(text, bigint, bigint, boolean)",
    ] {
        text.push_str(&format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {name};\n"));
    }
    text
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
