//! What another `haad.toml` says: what an agent that runs takes from it, and what only its next start. Never takes it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use haa_core::records::Tags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Config, Login};

/// How two configurations of one member differ. Never a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// What is taken at once, a sentence each.
    pub taken: Vec<String>,
    /// Keys that wait for a restart of haad.
    pub restart: Vec<String>,
    /// Keys that count for a new cluster only.
    pub without_effect: Vec<String>,
}

impl Difference {
    /// From what an agent goes by to what is written.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let settings = (old.settings != new.settings).then(|| "settings".to_owned());
        Self {
            taken: taken(old, new),
            restart: restart(old, new),
            without_effect: settings.into_iter().collect(),
        }
    }
}

fn taken(old: &Config, new: &Config) -> Vec<String> {
    let (was, is) = (&old.postgres.parameters, &new.postgres.parameters);
    let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
    let word = |said: Option<&String>| said.map_or("not said".to_owned(), Clone::clone);
    let parameters = names.filter(|name| was.get(*name) != is.get(*name)).map(|name| {
        let (from, to) = (word(was.get(name)), word(is.get(name)));
        // A program's arguments may hold a password.
        if name.ends_with("_command") {
            return format!("postgres.parameters.{name}");
        }
        format!("postgres.parameters.{name} = {to} (was {from})")
    });
    let postgres = [
        (old.postgres.hba != new.postgres.hba, "postgres.hba"),
        (old.postgres.include != new.postgres.include, "postgres.include"),
        (old.postgres.restore_command != new.postgres.restore_command, "postgres.restore_command"),
    ];
    let others = postgres.into_iter().filter(|(differs, _)| *differs);
    parameters
        .chain(others.map(|(_, key)| key.to_owned()))
        .chain(tags(&old.tags, &new.tags))
        .collect()
}

/// Each that is other than it was.
fn tags(old: &Tags, new: &Tags) -> Vec<String> {
    let shown = |tags| serde_json::to_value(tags).unwrap_or_default();
    let (was, is) = (shown(old), shown(new));
    let all: BTreeSet<&String> =
        [&was, &is].into_iter().filter_map(Value::as_object).flat_map(|tags| tags.keys()).collect();
    let word = |said: Option<&Value>| match said {
        None => "not said".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let other = all.into_iter().filter(|name| was.get(name) != is.get(name));
    let other = other.map(|name| (name, word(is.get(name)), word(was.get(name))));
    other.map(|(name, is, was)| format!("tags.{name} = {is} (was {was})")).collect()
}

fn restart(old: &Config, new: &Config) -> Vec<String> {
    let (was, is) = (&old.postgres, &new.postgres);
    let keys = [
        ("name", differ(&old.name, &new.name)),
        ("cluster", differ(&old.cluster, &new.cluster)),
        ("state_directory", differ(&old.state_directory, &new.state_directory)),
        ("etcd", differ(&old.etcd, &new.etcd) || old.etcd.login != new.etcd.login),
        ("postgres.data_directory", differ(&was.data_directory, &is.data_directory)),
        ("postgres.bin_directory", differ(&was.bin_directory, &is.bin_directory)),
        ("postgres.listen", differ(&was.listen, &is.listen)),
        ("postgres.address", differ(&was.address, &is.address)),
        ("postgres.socket_directory", differ(&was.socket_directory, &is.socket_directory)),
        ("postgres.superuser", was.superuser != is.superuser),
        ("postgres.replication", was.replication != is.replication),
        ("postgres.rewind", was.rewind != is.rewind),
        ("bootstrap", was.bootstrap != is.bootstrap),
        ("clone", was.cloning != is.cloning),
        ("api", differ(&old.api, &new.api)),
        ("hooks", old.hooks != new.hooks),
        ("guard", differ(&old.guard, &new.guard)),
        ("router", differ(&old.router, &new.router)),
        ("pgbouncer", differ(&old.pgbouncer, &new.pgbouncer) || login(old) != login(new)),
        ("log", differ(&old.log, &new.log)),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

/// Passwords are not shown, and compared by themselves.
fn login(config: &Config) -> Option<&Login> {
    config.pgbouncer.as_ref().map(|pgbouncer| &pgbouncer.login)
}

fn differ(old: &impl Debug, new: &impl Debug) -> bool {
    format!("{old:?}") != format!("{new:?}")
}
