//! Settings that are to be others at a time: what a change names, kept in people's words, and a change again when the
//! time has come. Never says whether it makes sense.

use std::collections::{BTreeMap, BTreeSet};

use haa_core::records::Altered;
use haa_core::settings::Settings;
use serde_json::{Map, Value};

use super::settings::{SLOTS, in_our_words, path, plain, put, words};

/// What a profile stands for.
pub(super) const PROFILED: [&str; 3] =
    ["timing.suspect_after", "timing.heartbeat", "timing.stagger"];

/// What a change names.
///
/// # Errors
/// What is wrong with it, a sentence each.
pub fn named(patch: &Value) -> Result<BTreeSet<String>, Vec<String>> {
    let mut all = BTreeSet::new();
    if let Value::Object(patch) = patch {
        leaves(String::new(), &in_our_words(patch)?.into(), &mut all);
    }
    Ok(all)
}

fn leaves(at: String, said: &Value, all: &mut BTreeSet<String>) {
    match said.as_object().filter(|inner| !inner.is_empty()) {
        None if at == "profile" => all.extend(PROFILED.map(str::to_owned)),
        None if at.is_empty() => {}
        None => drop(all.insert(at)),
        Some(inner) => inner.iter().for_each(|(key, said)| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            leaves(at, said, all);
        }),
    }
}

/// What is named, and what it is to be. Also what is so now: by then another plan may have changed it. A slot goes as a
/// whole, and comes as one.
#[must_use]
pub fn planned(before: &Settings, next: &Settings, named: &BTreeSet<String>) -> Vec<Altered> {
    let was: BTreeMap<String, Option<String>> = words(before).into_iter().collect();
    let is: BTreeMap<String, Option<String>> = words(next).into_iter().collect();
    let gone = |key: &str| slot(key).is_some_and(|name| !next.slots.contains_key(name));
    let mut keys = BTreeSet::new();
    for leaf in named {
        let leaf = slot(leaf).map_or(leaf.clone(), whole);
        let inner = format!("{leaf}.");
        let within = |key: &&String| **key == leaf || key.starts_with(&inner);
        let mut known = was.keys().chain(is.keys()).filter(within).peekable();
        if known.peek().is_none() {
            keys.insert(leaf);
            continue;
        }
        keys.extend(known.map(|key| match slot(key).filter(|_| gone(key)) {
            Some(name) => whole(name),
            None => key.clone(),
        }));
    }
    let of = |said: &BTreeMap<String, Option<String>>, key: &String| {
        let kind = format!("{key}.type");
        said.get(key).or_else(|| said.get(&kind)).cloned().flatten()
    };
    let all = keys.into_iter().map(|key| Altered { from: of(&was, &key), to: of(&is, &key), key });
    all.collect()
}

/// The slot that a key is about.
fn slot(key: &str) -> Option<&str> {
    key.strip_prefix(SLOTS)?.split('.').next()
}

fn whole(slot: &str) -> String {
    format!("{SLOTS}{slot}")
}

/// The change that was planned, as `merged` takes it.
#[must_use]
pub fn patch(changes: &[Altered]) -> Value {
    let mut whole = Map::new();
    for Altered { key, to, .. } in changes {
        let said = match to.clone() {
            None => Value::Null,
            Some(word) if key.contains('.') => word.into(),
            Some(word) => plain(word),
        };
        put(&mut whole, &path(key), said);
    }
    whole.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::settings::merged;
    use super::*;

    /// The change that is left of one after it was kept.
    fn kept(before: &Settings, change: &Value) -> Vec<Altered> {
        let next = merged(before, change).expect("it makes sense");
        planned(before, &next, &named(change).expect("it makes sense"))
    }

    #[test]
    fn what_was_planned_does_what_was_asked_for() {
        let change = json!({
            "k": 2, "postgres": { "parameters": { "work_mem": "8MB", "plpgsql.x": "7" } },
            "slots": { "barman": "physical", "cdc": { "database": "shop" } },
        });
        let some = merged(&Settings::default(), &change).expect("it makes sense");
        for change in [
            json!({ "k": 3, "strict": true, "durability": "quorum" }),
            json!({ "k": null, "durability": null, "strict": null }),
            json!({ "profile": "fast" }),
            json!({ "timing": { "ttl": 20000, "round": "5s" }, "maximum_lag_on_failover": 4096 }),
            json!({ "timing": null }),
            json!({ "postgresql": { "parameters": { "Work_Mem": null, "plpgsql.x": 8 } } }),
            json!({ "postgres": null }),
            json!({ "slots": { "barman": null, "more": "physical" } }),
            json!({ "slots": { "barman": { "type": "logical", "database": "shop" } } }),
            json!({ "slots": { "cdc": { "type": "physical", "database": null, "plugin": null } } }),
            json!({ "slots": null }),
            json!({ "slots": { "nobodys": null }, "postgres": { "parameters": { "x.y": null } } }),
        ] {
            for before in [Settings::default(), some.clone()] {
                let again = merged(&before, &patch(&kept(&before, &change)));
                assert_eq!(again, merged(&before, &change), "{change}");
            }
        }
    }

    #[test]
    fn only_what_is_named_is_kept_though_it_is_so_now() {
        let change = json!({ "k": 2, "postgres": { "parameters": { "work_mem": null } } });
        let before = merged(&Settings::default(), &json!({ "k": 2 })).expect("it makes sense");
        let says: Vec<String> = kept(&before, &change)
            .into_iter()
            .map(|Altered { key, from, to }| format!("{key} {from:?} {to:?}"))
            .collect();
        assert_eq!(says, [r#"k Some("2") Some("2")"#, "postgres.parameters.work_mem None None"]);
        let later = merged(&before, &json!({ "k": 3, "strict": true })).expect("it makes sense");
        let then = merged(&later, &patch(&kept(&before, &change))).expect("it makes sense");
        assert_eq!((then.k, then.strict), (Some(2), true), "the rest is as it is by then");
    }
}
