//! Whether a slot could be kept, before anybody writes it into the settings. Changes nothing.

use std::collections::BTreeMap;

use haa_core::settings::KeptSlot;

use super::copies::{By, COPIED_FROM, EXTENSION, asked_in, how_to_load};
use crate::postgres::site::Site;
use crate::postgres::sql::{Session, SqlError, quoted};

/// What speaks against each, in a sentence.
pub(in crate::postgres) async fn objections(
    site: &Site,
    slots: &BTreeMap<String, KeptSlot>,
) -> Result<Vec<String>, SqlError> {
    let logical = slots.iter().filter_map(|(name, slot)| match slot {
        KeptSlot::Physical => None,
        KeptSlot::Logical { database, .. } => Some((name, database)),
    });
    let logical: Vec<_> = logical.collect();
    if logical.is_empty() {
        return Ok(Vec::new());
    }
    let session = Session::open(site).await?;
    let by = By::on(&session, site.major()).await?;
    let level = session.value("SELECT current_setting('wal_level')").await?.unwrap_or_default();
    let mut said = Vec::new();
    for (name, database) in logical {
        let there = format!("SELECT 1 FROM pg_database WHERE datname = {}", quoted(database));
        let why = if by == By::Nobody {
            format!(
                "before PostgreSQL {COPIED_FROM} standbys copy logical slots by {EXTENSION}, and this is {} without \
                 it: {}, then this again",
                site.major(),
                how_to_load()
            )
        } else if asked_in(site.major(), &site.wishes.now().told).is_none() {
            format!(
                "{EXTENSION} is loaded by another file than haad's, which lets no standby ask for slots then: name it \
                 in postgres.parameters.shared_preload_libraries"
            )
        } else if level != "logical" {
            format!(
                "it needs wal_level = logical, and Postgres runs with {level}: haactl settings set \
                 postgres.parameters.wal_level=logical, then haactl restart --rolling, then this again"
            )
        } else if session.value(&there).await?.is_none() {
            format!("there is no database '{database}': make it first")
        } else {
            continue;
        };
        said.push(format!("settings.slots.{name}: {why}"));
    }
    Ok(said)
}
