//! How Patroni clones a replica: `create_replica_methods` and what they name. Runs none of it.

use toml::{Table, Value};

use super::draft::Draft;
use super::hooks::means_more;
use super::yaml::Node;

/// As Patroni calls them, with haad's own variables.
const ARGUMENTS: &str = concat!(
    r#""--scope=$HAA_CLUSTER" --role=replica "--datadir=$HAA_DATA_DIRECTORY""#,
    r#" "--connstring=host=$HAA_SOURCE_HOST port=$HAA_SOURCE_PORT""#
);

/// The ways that the section names; pg_basebackup where it names none.
pub(super) fn named(section: &Node) -> Vec<String> {
    section.value.get("create_replica_methods").map_or_else(Vec::new, |node| node.value.items())
}

/// `postgresql.create_replica_methods`, with the sections of the methods that it names.
pub(super) fn methods(draft: &mut Draft, section: &Node, (at, full): (&Node, &str)) {
    let names = named(section);
    let mut taken: Vec<Value> = Vec::new();
    for name in names.iter().filter(|name| *name != "basebackup") {
        let Some(own) = section.value.get(name) else {
            draft.lost(at, full, format!("there is no postgresql.{name}"));
            continue;
        };
        taken.extend(method(draft, (own, name)).map(Value::Table));
    }
    let ours = names.iter().any(|name| name == "basebackup");
    match (taken.is_empty(), ours) {
        (true, true) if names.len() == 1 => {
            draft.needless(at, full, "replicas are cloned by pg_basebackup");
        }
        (true, _) => draft.changed(at, full, "clone", "replicas are cloned by pg_basebackup alone"),
        (false, true) if names.last().is_some_and(|last| last != "basebackup") => {
            draft.changed(at, full, "clone", "haad tries pg_basebackup last");
        }
        (false, true) => draft.taken(at, full, "clone.method"),
        (false, false) => {
            draft.put("clone.basebackup", false);
            draft.taken(at, full, "clone.method");
        }
    }
    if !taken.is_empty() {
        draft.put("clone.method", taken);
    }
}

/// Patroni restores over the data that are there, and haad beside them: whatever is not told where stays here.
fn method(draft: &mut Draft, (at, name): (&Node, &str)) -> Option<Table> {
    let full = format!("postgresql.{name}");
    let said = |key: &str| at.value.get(key).and_then(|node| node.value.text());
    let command = said("command").unwrap_or_default();
    let untold = at.value.get("no_params").is_some_and(|node| node.value.truth() == Some(true));
    if untold || command.trim().is_empty() || command.contains(means_more) {
        let instead = "haad restores beside the data: write it as [[clone.method]], a program that restores into \
                       $HAA_DATA_DIRECTORY (docs/operations.md, Cloning from a backup)";
        draft.lost(at, &full, instead);
        return None;
    }
    let mut line = format!("exec {}", command.trim());
    for (key, value) in at.value.entries() {
        match (key.as_str(), value.value.text()) {
            ("command" | "no_params", _) => {}
            ("keep_data" | "no_leader" | "no_master", _) => draft.lost(
                value,
                &format!("{full}.{key}"),
                "haad restores into an empty directory, while a member leads",
            ),
            (key, Some(text)) if !text.contains(means_more) => {
                line.push_str(&format!(" --{key}={text}"));
            }
            (key, _) => draft.lost(value, &format!("{full}.{key}"), "write it into the command"),
        }
    }
    let words = ["/bin/sh", "-c", &format!("{line} {ARGUMENTS}")].map(Value::from);
    draft.changed(
        at,
        &full,
        "clone.method",
        "run as Patroni does it, and it must restore into --datadir, which is not the data directory",
    );
    let mut method = Table::new();
    method.insert("name".to_owned(), name.into());
    method.insert("command".to_owned(), words.to_vec().into());
    Some(method)
}

/// `postgresql.basebackup`: options of pg_basebackup, as a table or as a list.
pub(super) fn basebackup(draft: &mut Draft, at: &Node, full: &str) {
    let list = match &at.value {
        super::yaml::Tree::List(list) => &list[..],
        _ => std::slice::from_ref(at),
    };
    for item in list {
        if item.value.entries().is_empty() {
            let option = item.value.text().unwrap_or_default();
            draft.lost(item, &format!("{full}.{option}"), "haad chooses pg_basebackup's options");
        }
        for (key, value) in item.value.entries() {
            let full = format!("{full}.{key}");
            match (key.as_str(), value.value.text().as_deref().and_then(rate)) {
                ("max-rate", Some(rate)) => {
                    draft.put("clone.rate_limit", rate);
                    draft.taken(value, &full, "clone.rate_limit");
                }
                ("checkpoint", _) => draft.needless(value, &full, "haad asks for a fast one"),
                (_, _) => draft.lost(value, &full, "haad chooses pg_basebackup's options"),
            }
        }
    }
}

/// pg_basebackup takes kilobytes unless a letter says otherwise.
fn rate(said: &str) -> Option<String> {
    let (number, unit) = match said.strip_suffix('M') {
        Some(number) => (number, "MB"),
        None => (said.strip_suffix('k').unwrap_or(said), "kB"),
    };
    number.trim().parse::<u64>().ok().map(|number| format!("{number}{unit}"))
}
