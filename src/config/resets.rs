//! What a patch sets back to its default: a slip in such a key is told, and makes nothing. Sets nothing back itself.

use serde_json::{Map, Value};

use super::keys::{Place, place};
use super::source::unknown_key;

/// What a slot has.
const OF_A_SLOT: [&str; 3] = ["type", "database", "plugin"];

/// The patch, without what sets back something of a slot that is not there: merged, it would make one.
///
/// # Errors
/// The slips, a sentence each.
pub(super) fn checked(
    mut patch: Map<String, Value>,
    whole: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<String>> {
    let slips = slips(&patch);
    if !slips.is_empty() {
        return Err(slips);
    }
    prune(&mut patch, whole);
    Ok(patch)
}

/// The keys that are set back and that no settings have, a sentence each. Parameters of Postgres have names of
/// Postgres' choice, slots of the operator's: one that is not there is as it is to be.
fn slips(patch: &Map<String, Value>) -> Vec<String> {
    let mut said = Vec::new();
    in_section("settings", patch, &mut said);
    let slots = patch.get("slots").and_then(Value::as_object).into_iter().flatten();
    for (name, slot) in slots {
        let nulls = slot.as_object().into_iter().flatten().filter(|(_, value)| value.is_null());
        let odd = nulls.filter(|(key, _)| !OF_A_SLOT.contains(&key.as_str()));
        said.extend(odd.map(|(key, _)| {
            format!("settings.slots.{name}.{key}: a slot has {}", OF_A_SLOT.join(", "))
        }));
    }
    said
}

fn in_section(section: &str, patch: &Map<String, Value>, said: &mut Vec<String>) {
    for (key, value) in patch {
        let path = format!("{section}.{key}");
        match (place(&path), value) {
            // No file has this one.
            (Place::Unknown, _) if path == "settings.pause" => {}
            (Place::Unknown, Value::Null) => said.push(unknown_key(section, key)),
            (Place::Section, Value::Object(inner)) => in_section(&path, inner, said),
            (Place::Unknown | Place::Leaf | Place::Section | Place::Free, _) => {}
        }
    }
}

fn prune(patch: &mut Map<String, Value>, whole: &Map<String, Value>) {
    let there = |name: &str| whole.get("slots").is_some_and(|slots| slots.get(name).is_some());
    let Some(Value::Object(slots)) = patch.get_mut("slots") else { return };
    let resets = |slot: &Value| {
        slot.as_object().is_some_and(|slot| !slot.is_empty() && slot.values().all(Value::is_null))
    };
    let gone = slots.iter().filter(|(name, slot)| !there(name) && resets(slot));
    let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
    for name in gone {
        slots.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::settings::merged;
    use haa_core::settings::Settings;

    #[test]
    fn a_slip_in_what_is_set_back_is_told_and_makes_nothing() {
        let before = merged(&Settings::default(), &json!({ "slots": { "barman": "physical" } }));
        let before = before.expect("it makes sense");
        for (patch, says) in [
            (json!({ "kk": null }), "kk is no key in [settings]: did you mean k?"),
            (json!({ "timing": { "tll": null } }), "did you mean ttl?"),
            (json!({ "slots": { "barman": { "typ": null } } }), "a slot has type, database"),
            (json!({ "slots": { "x": { "typ": null } } }), "settings.slots.x.typ: a slot has"),
        ] {
            let why = merged(&before, &patch).expect_err("it is refused").join("; ");
            assert!(why.contains(says), "{patch}: {why}");
        }
        for patch in [
            json!({ "k": null, "pause": null, "profile": null, "timing": null, "slots": null }),
            json!({ "postgres": { "parameters": { "not_there": null } } }),
            json!({ "slots": { "x": { "type": null }, "y": null, "z": { "database": null } } }),
        ] {
            let slots = merged(&before, &patch).expect("it makes sense").slots;
            assert!(slots.keys().all(|name| name == "barman"), "{patch}: {slots:?}");
        }
    }
}
