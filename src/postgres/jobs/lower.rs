//! Job: let the data of a stopped primary ask for no more than the parameters say. Never those of a standby, nor some
//! that were not shut down in order: it writes WAL.

use std::time::Duration;

use haa_core::observe::Door;
use tokio::time::timeout;

use crate::postgres::control::{Control, State};
use crate::postgres::error::JobError;
use crate::postgres::files;
use crate::postgres::limits::{self, Low};
use crate::postgres::process::{self, Ended};
use crate::postgres::site::Site;
use crate::postgres::tool::Tool;

/// Nobody can write meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(site: &Site) -> Result<(), JobError> {
    let data = site.data();
    let control = Control::read(data).map_err(JobError::file("read", data))?;
    if control.state != State::ShutDown {
        return Err(JobError::Refused(
            "Postgres was not stopped in order, as a primary".to_owned(),
        ));
    }
    let config_file = files::config_file(site);
    let told = &site.wishes.now().told;
    let write = || JobError::file("write", &config_file);
    files::write_configuration(site, told, &[], Door::Shut).map_err(write())?;
    let low = limits::below(site, &control, &config_file).await?;
    if low.is_empty() {
        return Ok(());
    }
    let alone = Tool::new(site, "postgres")
        .arg("--single")
        .path("-D", data)
        .path("-cconfig_file=", &config_file)
        .arg("postgres")
        .inside(data)
        .run(|line| tracing::debug!(line, "alone"));
    let said = timeout(PATIENCE, alone).await.unwrap_or_else(|_| {
        Err(JobError::Refused(format!("Postgres did not end within {PATIENCE:?}")))
    });
    // Dropped, it is killed.
    if process::kill_all(data, PATIENCE).await.map_err(JobError::Signal)? == Ended::NotYet {
        return Err(JobError::Refused("some process of it outlives SIGKILL".to_owned()));
    }
    process::remove_if_there(&data.join("postmaster.pid"))
        .map_err(JobError::file("write into", data))?;
    // Whoever looks for a postmaster may have taken its last word; what counts is what it left.
    let control = Control::read(data).map_err(JobError::file("read", data))?;
    if low.iter().any(|low| limits::of(&control, low.name).is_none_or(|least| least > low.set)) {
        said?;
        return Err(JobError::Refused("Postgres did not lower its limits".to_owned()));
    }
    for Low { name, set, least } in &low {
        tracing::info!(
            "{name} is {set} now, and was {least}: a standby starts with less from here on"
        );
    }
    Ok(())
}
