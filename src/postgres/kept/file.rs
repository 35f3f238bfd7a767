//! What Postgres is told for logical slots: included by our configuration, and taken while it runs. Empty, and not
//! there, where nobody wants any.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use haa_core::units::MemberName;

use crate::postgres::error::JobError;
use crate::postgres::files::{self, HEAD, setting};
use crate::postgres::jobs;
use crate::postgres::process::remove_if_there;
use crate::postgres::reload;
use crate::postgres::site::Site;

/// A setting of ours, which tells a session which of these the postmaster has read.
const SETTING: &str = "haa.slots";
/// Whom consumers of changes wait for.
const WAITED_FOR: &str = "synchronized_standby_slots";

/// Included by our configuration.
pub(in crate::postgres) fn path(site: &Site) -> PathBuf {
    site.state("haa.slots.conf")
}

/// A standby asks its source for the slots, and keeps the rows of the catalogs that they need; a primary's consumers
/// are not ahead of these members, nor are they once this standby is promoted.
fn text(before: &BTreeSet<MemberName>) -> String {
    let mut text = format!("{HEAD}sync_replication_slots = on\nhot_standby_feedback = on\n");
    let slots: Vec<String> = before.iter().map(MemberName::slot).collect();
    let _ = writeln!(text, "{WAITED_FOR} = {}", setting(&slots.join(",")));
    text
}

/// A Postgres that starts may lack the slots that it was to wait for: it is told anew once it follows, or leads.
pub(in crate::postgres) fn at_start(site: &Site) -> io::Result<()> {
    match path(site).exists() {
        true => files::write_private(&path(site), text(&BTreeSet::new())),
        false => Ok(()),
    }
}

/// Tells it, if it was told otherwise; `None`: nothing. Done when it has taken it.
pub(super) async fn tell(
    site: &Site,
    before: Option<&BTreeSet<MemberName>>,
) -> Result<(), JobError> {
    let path = path(site);
    let write = || JobError::file("write", &path);
    let there = match std::fs::read_to_string(&path) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(write()(error)),
    };
    let mark = before.map(|before| {
        let text = text(before);
        let mark = files::mark(&text);
        (format!("{text}{SETTING} = {}\n", setting(&mark)), mark)
    });
    let (wanted, mark) = mark.unzip();
    if there == wanted {
        return Ok(());
    }
    match &wanted {
        Some(text) => files::write_private(&path, text).map_err(write())?,
        None => remove_if_there(&path).map_err(write())?,
    }
    let shown = [(SETTING, mark.unwrap_or_default())];
    let told = reload::until_shown(site, &jobs::running(site)?, &shown).await;
    if told.is_err() {
        // So that it is tried again, though nothing else has changed.
        remove_if_there(&path).map_err(write())?;
    }
    told.map(drop)
}
