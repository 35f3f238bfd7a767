//! `[settings.slots]`: replication slots that are kept whoever leads. Never makes one.

use std::collections::BTreeMap;

use haa_core::settings::KeptSlot;

use super::check::Checker;
use super::file::{Said, SlotFile, Text};
use super::settings::SLOTS;

/// What Postgres has of its own.
const PLUGIN: &str = "pgoutput";

impl Checker<'_> {
    /// Those that make sense.
    pub(super) fn slots(
        &mut self,
        said: &BTreeMap<String, Said<SlotFile>>,
    ) -> BTreeMap<String, KeptSlot> {
        let slots = said.iter().filter_map(|(name, said)| {
            let key = format!("settings.slots.{name}");
            match name_objection(name).map_or_else(|| kind(said.value()), |why| Err((None, why))) {
                Ok(slot) => Some((name.clone(), slot)),
                Err((Some(inner), why)) => self.refuse_said(said, format!("{key}.{inner}: {why}")),
                Err((None, why)) => self.refuse_said(said, format!("{key}: {why}")),
            }
        });
        slots.collect()
    }
}

/// Each of its keys with what it says.
pub(super) fn words(name: &str, slot: &KeptSlot) -> Vec<(String, Option<String>)> {
    let word = |key: &str, said: &str| (format!("{SLOTS}{name}.{key}"), Some(said.to_owned()));
    match slot {
        KeptSlot::Physical => vec![word("type", "physical")],
        KeptSlot::Logical { database, plugin } => {
            vec![word("type", "logical"), word("database", database), word("plugin", plugin)]
        }
    }
}

/// Why Postgres, or haa, takes no slot of this name.
pub(crate) fn name_objection(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 63 || !name.chars().all(legal) {
        return Some("a slot's name is 1 to 63 of a-z 0-9 _: give it another".to_owned());
    }
    let why = "those that begin with haa_ are the members' own: give it another name";
    name.starts_with("haa_").then(|| why.to_owned())
}

/// What the table says, or which key is wrong and why.
fn kind(file: &SlotFile) -> Result<KeptSlot, (Option<&'static str>, String)> {
    let text = |said: &Option<Text>| said.as_ref().map(|said| said.value().clone());
    let (database, plugin) = (text(&file.database), text(&file.plugin));
    let usual = if database.is_some() { "logical" } else { "physical" };
    match text(&file.r#type).as_deref().unwrap_or(usual) {
        "physical" if database.is_none() && plugin.is_none() => Ok(KeptSlot::Physical),
        "physical" => {
            let why = "a physical slot has neither database nor plugin: take them out, or write type = \"logical\"";
            Err((None, why.to_owned()))
        }
        "logical" => {
            let missing = || "it is missing: whose changes are these?".to_owned();
            let database = database.ok_or_else(|| (Some("database"), missing()))?;
            let plugin = plugin.unwrap_or_else(|| PLUGIN.to_owned());
            for (key, word) in [("database", &database), ("plugin", &plugin)] {
                if word.is_empty() || word.len() > 63 || word.contains(char::is_control) {
                    return Err((Some(key), "this is no name: write 1 to 63 letters".to_owned()));
                }
            }
            Ok(KeptSlot::Logical { database, plugin })
        }
        other => Err((Some("type"), format!("'{other}' is none: write physical or logical"))),
    }
}
