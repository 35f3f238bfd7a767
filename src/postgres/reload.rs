//! Making a running Postgres read its configuration again, and seeing that it has. Never writes a file.

use std::time::Duration;

use rustix::process::Signal;

use super::error::JobError;
use super::files;
use super::process::Process;
use super::site::Site;
use super::sql::{Session, quoted};

const PAUSE: Duration = Duration::from_millis(1);

/// A postmaster reads its files in a moment; one that has not by then is overridden or cannot.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns a session that was opened after the reload and shows each of these settings as it is here. Then the
/// postmaster has read the files, and has told all its children to.
pub(super) async fn until_shown(
    site: &Site,
    postmaster: &Process,
    settings: &[(&str, String)],
) -> Result<Session, JobError> {
    postmaster.signal(Signal::HUP).map_err(JobError::Signal)?;
    let seen = async {
        loop {
            if let Some(session) = shown(site, settings).await? {
                return Ok::<Session, JobError>(session);
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
    let wanted = settings.iter().map(|(name, value)| {
        format!("current_setting({}, true) IS NOT DISTINCT FROM {}", quoted(name), quoted(value))
    });
    let question = format!("SELECT {}", wanted.collect::<Vec<_>>().join(" AND "));
    let session = Session::open(site).await?;
    let shows = session.value(&question).await?.as_deref() == Some("t");
    Ok(shows.then_some(session))
}
