//! Making a running Postgres read its configuration again, and seeing that it has; what somebody set with `ALTER
//! SYSTEM` against it is taken back. Never writes a file itself.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::error::JobError;
use super::files;
use super::process::Process;
use super::site::Site;
use super::sql::{Session, SqlError, quoted};

const PAUSE: Duration = Duration::from_millis(1);

/// A postmaster reads its files in a moment; one that has not by then is overridden or cannot.
const PATIENCE: Duration = Duration::from_secs(5);

/// By then it has, where nothing overrides them: whether something does is looked at, once.
const USUAL: Duration = Duration::from_millis(100);

/// Returns a session that was opened after the reload and shows each of these settings as it is here. Then the
/// postmaster has read the files, and has told all its children to.
pub(super) async fn until_shown(
    site: &Site,
    postmaster: &Process,
    settings: &[(&str, String)],
) -> Result<Session, JobError> {
    postmaster.signal(Signal::HUP).map_err(JobError::Signal)?;
    let seen = async {
        let mut usual = Some(Instant::now() + USUAL);
        loop {
            let session = Session::open(site).await?;
            if shows(&session, settings).await? {
                return Ok::<Session, JobError>(session);
            }
            if usual.take_if(|until| Instant::now() >= *until).is_some()
                && taken_back(&session, settings).await?
            {
                postmaster.signal(Signal::HUP).map_err(JobError::Signal)?;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.map_err(|_| {
        let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
        let name = names.first().copied().unwrap_or_default();
        JobError::Refused(format!(
            "Postgres does not take our {} from {}; what overrides it? \
             (SELECT sourcefile FROM pg_settings WHERE name = '{name}')",
            names.join(" and "),
            files::config_file(site).display()
        ))
    })?
}

/// The same without a reload: a new session, if it shows all of them. It has what the postmaster has, where an older
/// one may have read a file by itself before the postmaster did.
pub(super) async fn shown(
    site: &Site,
    settings: &[(&str, String)],
) -> Result<Option<Session>, JobError> {
    let session = Session::open(site).await?;
    Ok(shows(&session, settings).await?.then_some(session))
}

async fn shows(session: &Session, settings: &[(&str, String)]) -> Result<bool, SqlError> {
    let wanted = settings.iter().map(|(name, value)| {
        format!("current_setting({}, true) IS NOT DISTINCT FROM {}", quoted(name), quoted(value))
    });
    let question = format!("SELECT {}", wanted.collect::<Vec<_>>().join(" AND "));
    Ok(session.value(&question).await?.as_deref() == Some("t"))
}

/// Whether any of these was set with `ALTER SYSTEM`, which goes before every file, and is not any more.
async fn taken_back(session: &Session, settings: &[(&str, String)]) -> Result<bool, SqlError> {
    let names: Vec<String> = settings.iter().map(|(name, _)| quoted(name)).collect();
    let question = format!(
        "SELECT name FROM pg_file_settings \
         WHERE sourcefile LIKE '%/postgresql.auto.conf' AND name IN ({})",
        names.join(", ")
    );
    let set = session.rows(&question).await?;
    for row in &set {
        let name = row.text(0).unwrap_or_default();
        session.rows(&format!("ALTER SYSTEM RESET {name}")).await?;
        tracing::warn!(
            name,
            "a parameter of haad's own was set with ALTER SYSTEM; it was taken back"
        );
    }
    Ok(!set.is_empty())
}
