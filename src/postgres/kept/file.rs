//! What Postgres is told for logical slots: included by our configuration, and taken while it runs. Empty, and not
//! there, where nobody wants any.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use haa_core::settings::KeptSlot;
use haa_core::units::MemberName;

use super::copies::{By, COPIED_FROM, EXTENSION};
use crate::postgres::error::JobError;
use crate::postgres::files::{self, HEAD, setting};
use crate::postgres::jobs;
use crate::postgres::process::remove_if_there;
use crate::postgres::reload;
use crate::postgres::site::Site;

/// A setting of ours, which tells a session which of these the postmaster has read.
const SETTING: &str = "haa.slots";

/// What it is to be told.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) by: By,
    /// Those that are kept.
    pub(super) slots: &'a BTreeMap<String, KeptSlot>,
    /// Whom consumers of changes wait for.
    pub(super) before: &'a BTreeSet<MemberName>,
}

/// Included by our configuration.
pub(in crate::postgres) fn path(site: &Site) -> PathBuf {
    site.state("haa.slots.conf")
}

impl Wanted<'_> {
    /// A standby asks its source for the slots, and keeps the rows of the catalogs that they need; a primary's
    /// consumers are not ahead of these members, nor are they once this standby is promoted.
    fn text(&self) -> String {
        let slots: Vec<String> = self.before.iter().map(MemberName::slot).collect();
        let slots = setting(&slots.join(","));
        let mut text = format!("{HEAD}hot_standby_feedback = on\n");
        let _ = match self.by {
            By::Postgres => {
                writeln!(text, "sync_replication_slots = on\nsynchronized_standby_slots = {slots}")
            }
            By::Extension | By::Nobody => {
                let logical = |slot: &KeptSlot| matches!(slot, KeptSlot::Logical { .. });
                let copied = self.slots.iter().filter(|(_, slot)| logical(slot));
                let copied: Vec<_> = copied.map(|(name, _)| format!("name:{name}")).collect();
                let copied = setting(&copied.join(","));
                // What is not kept is not ours to drop; what is kept no more we drop ourselves.
                writeln!(
                    text,
                    "{EXTENSION}.standby_slot_names = {slots}\n\
                     {EXTENSION}.synchronize_slot_names = {copied}\n\
                     {EXTENSION}.drop_extra_slots = off\n\
                     {EXTENSION}.worker_nap_time = '2s'"
                )
            }
        };
        text
    }
}

/// A Postgres that starts may lack the slots that it was to wait for: it is told anew once it follows, or leads.
pub(in crate::postgres) fn at_start(site: &Site) -> io::Result<()> {
    if !path(site).exists() {
        return Ok(());
    }
    let by = if site.major() >= COPIED_FROM { By::Postgres } else { By::Extension };
    let wanted = Wanted { by, slots: &super::read(site)?, before: &BTreeSet::new() };
    files::write_private(&path(site), wanted.text())
}

/// Tells it, if it was told otherwise; `None`: nothing. Done when it has taken it.
pub(super) async fn tell(site: &Site, wanted: Option<Wanted<'_>>) -> Result<(), JobError> {
    let path = path(site);
    let write = || JobError::file("write", &path);
    let there = match std::fs::read_to_string(&path) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(write()(error)),
    };
    let mark = wanted.map(|wanted| {
        let text = wanted.text();
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
