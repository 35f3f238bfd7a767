//! Patroni's `standby_cluster`, a cluster that follows another: what becomes of each key. Asks neither of the two.

use std::path::Path;

use super::draft::Draft;
use super::error::ImportError;
use super::yaml::{Node, Tree};
use crate::config::name_objection;

/// With one of these Patroni's cluster is a standby.
const MAKES_ONE: [&str; 3] = ["host", "port", "restore_command"];

/// What is not so in haad.toml is said of each key.
pub(super) fn cluster(draft: &mut Draft, path: &Path, at: &Node) -> Result<(), ImportError> {
    let is_one = MAKES_ONE.iter().any(|key| said(at, key).is_some());
    if !is_one {
        draft.needless(at, "standby_cluster", "it is off");
        return Ok(());
    }
    let Some(host) = said(at, "host") else {
        let line = at.referenced.line();
        return Err(ImportError::NoSource { path: path.to_owned(), line });
    };
    draft.put("bootstrap.method", "standby");
    let hosts = addresses(&host, said(at, "port").as_deref());
    draft.put("bootstrap.standby_of", hosts);
    for (key, at) in at.value.entries() {
        one(draft, key, at);
    }
    Ok(())
}

fn said(section: &Node, key: &str) -> Option<String> {
    section.value.get(key)?.value.text().filter(|text| !text.trim().is_empty())
}

/// As libpq has them: several hosts with commas, and one port for all of them or one for each.
fn addresses(hosts: &str, ports: Option<&str>) -> Vec<toml::Value> {
    let ports: Vec<&str> = ports.unwrap_or("5432").split(',').map(str::trim).collect();
    let address = |(index, host): (usize, &str)| {
        let port = ports.get(index).or(ports.last()).filter(|port| !port.is_empty());
        let port = port.copied().unwrap_or("5432");
        let bare = host.contains(':') && !host.starts_with('[');
        if bare { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
    };
    hosts.split(',').map(str::trim).enumerate().map(address).collect()
}

fn one(draft: &mut Draft, key: &str, at: &Node) {
    let full = format!("standby_cluster.{key}");
    let Some(text) = at.value.text().filter(|text| !text.trim().is_empty()) else {
        return match (key, &at.value) {
            ("create_replica_methods", Tree::List(_)) => methods(draft, at, &full),
            _ => draft.needless(at, &full, "nothing is said"),
        };
    };
    match key {
        "host" => draft.changed(
            at,
            &full,
            "bootstrap.standby_of",
            "name every member of the other cluster there: whoever accepts writes is followed, also after a failover. \
             A new standby cluster is copied from it, so its roles are those of the other one",
        ),
        "port" => draft.taken(at, &full, "bootstrap.standby_of"),
        "primary_slot_name" => match name_objection(&text) {
            None => {
                draft.put("bootstrap.standby_slot", text);
                draft.taken(at, &full, "bootstrap.standby_slot");
            }
            Some(why) => draft.lost(at, &full, why),
        },
        "restore_command" => {
            draft.put("postgres.restore_command", text);
            draft.changed(
                at,
                &full,
                "postgres.restore_command",
                "haad runs it when a member lacks WAL, with %f and %p only",
            );
        }
        "create_replica_methods" => methods(draft, at, &full),
        "archive_cleanup_command" => draft.lost(
            at,
            &full,
            "haad never removes from an archive: have the archive's own tool do it",
        ),
        "recovery_min_apply_delay" => {
            draft.lost(at, &full, "haa delays no replay: whoever may lead is as new as can be");
        }
        _ => draft.lost(at, &full, "haa has no such key"),
    }
}

fn methods(draft: &mut Draft, at: &Node, full: &str) {
    let usual = at.value.items().iter().all(|method| method == "basebackup");
    let copied = "a new standby cluster is copied by pg_basebackup from the other one";
    if usual {
        draft.needless(at, full, copied);
    } else {
        let why = format!("{copied}; its other members are cloned as clone.method says");
        draft.lost(at, full, why);
    }
}
