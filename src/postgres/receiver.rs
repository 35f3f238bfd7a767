//! `wal_receiver_timeout` in a file of its own: it follows the settings while Postgres runs. Never how long: that is
//! decided elsewhere.

use std::io;
use std::path::PathBuf;

use haa_core::units::Millis;
use rustix::process::Signal;

use super::error::JobError;
use super::files::{self, HEAD};
use super::process;
use super::site::Site;

pub(super) fn file(site: &Site) -> PathBuf {
    site.state("haa.receiver.conf")
}

/// At a start: as it was last, or as `haad.toml` has it.
pub(super) fn prepare(site: &Site) -> io::Result<()> {
    if file(site).exists() { Ok(()) } else { write(site, site.config.receiver_timeout).map(drop) }
}

/// Lets a standby bear a connection that says nothing for so long, from now on and from each start on. The operator's
/// own files go before it.
pub(super) fn bear(site: &Site, timeout: Millis) -> Result<(), JobError> {
    let path = file(site);
    if !write(site, timeout).map_err(JobError::file("write", &path))? {
        return Ok(());
    }
    let running = process::postmaster(site.data()).map_err(JobError::Signal)?;
    running.map_or(Ok(()), |postmaster| postmaster.signal(Signal::HUP).map_err(JobError::Signal))
}

/// Says whether there was anything to change.
fn write(site: &Site, timeout: Millis) -> io::Result<bool> {
    let text = format!("{HEAD}wal_receiver_timeout = '{}ms'\n", timeout.0);
    if std::fs::read_to_string(file(site)).is_ok_and(|there| there == text) {
        return Ok(false);
    }
    files::write_private(&file(site), &text)?;
    Ok(true)
}
