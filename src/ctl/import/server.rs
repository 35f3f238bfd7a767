//! `postgresql` of a member and of the cluster: what becomes of each key. Writes nothing.

use std::path::Path;

use super::cloning;
use super::draft::{Became, Content, Draft, InFile};
use super::error::ImportError;
use super::hooks;
use super::member::taken;
use super::yaml::{Node, Tree};
use crate::config::refusal;

/// The member's own section.
pub(super) fn own(draft: &mut Draft, path: &Path, section: &Node) -> Result<(), ImportError> {
    for key in ["data_dir", "listen"] {
        if section.value.get(key).is_none() {
            return Err(ImportError::Missing { path: path.to_owned(), key });
        }
    }
    let methods = cloning::named(section);
    for (key, at) in section.value.entries() {
        let full = format!("postgresql.{key}");
        match key.as_str() {
            "data_dir" => taken(draft, at, &full, "postgres.data_directory"),
            "bin_dir" => taken(draft, at, &full, "postgres.bin_directory"),
            "listen" => listen(draft, at, &full),
            "connect_address" => taken(draft, at, &full, "postgres.address"),
            "custom_conf" => taken(draft, at, &full, "postgres.include"),
            // They are put together with what the cluster says, by whoever calls.
            "authentication" | "parameters" | "pg_hba" => {}
            "config_dir" => draft.lost(
                at,
                &full,
                "haad keeps its files in its state directory; name your own postgresql.conf as postgres.include",
            ),
            "callbacks" => hooks::callbacks(draft, at, &full),
            "pre_promote" => hooks::pre_promote(draft, at, &full),
            "before_stop" => draft.lost(
                at,
                &full,
                "haad runs nothing before Postgres stops: hooks.on_stop is run after it",
            ),
            "create_replica_methods" => cloning::methods(draft, section, (at, &full)),
            "basebackup" => cloning::basebackup(draft, at, &full),
            // They are told of where they are named.
            key if methods.iter().any(|method| method == key) => {}
            "use_unix_socket" | "use_unix_socket_repl" => {
                draft.needless(at, &full, "haad always speaks to its own Postgres over the socket");
            }
            "pgpass" => draft.needless(at, &full, "haad keeps one of its own in its state directory"),
            _ => shared(draft, at, &full, key),
        }
    }
    Ok(())
}

/// What may stand in either.
pub(super) fn shared(draft: &mut Draft, at: &Node, full: &str, key: &str) {
    match key {
        "use_pg_rewind" | "remove_data_directory_on_rewind_failure"
        | "remove_data_directory_on_diverged_timelines" => draft.needless(
            at,
            full,
            "a former primary is rewound where that is possible, else cloned; what it had alone is kept aside",
        ),
        "use_slots" => draft.needless(at, full, "every member has a slot"),
        "recovery_conf" => {
            draft.lost(
                at,
                full,
                "write the restore_command in it as postgres.restore_command: haad runs it when a replica lacks WAL",
            );
        }
        "pg_ident" => {
            let instead = "write the lines into pg_ident.conf of the data directory, on every member";
            draft.lost(at, full, instead);
        }
        "pg_ctl_timeout" => draft.needless(at, full, "haad waits for what it sees of Postgres"),
        _ => draft.lost(at, full, "haa has no such key"),
    }
}

fn listen(draft: &mut Draft, at: &Node, full: &str) {
    let said = at.value.text().unwrap_or_default();
    match said.rsplit_once(':') {
        Some((hosts, port)) if hosts.contains(',') => {
            draft.put("postgres.listen", format!("0.0.0.0:{port}"));
            draft.changed(
                at,
                full,
                "postgres.listen",
                "haad takes one address, so it is every address",
            );
        }
        Some(("*", port)) => {
            draft.put("postgres.listen", format!("0.0.0.0:{port}"));
            draft.taken(at, full, "postgres.listen");
        }
        Some(_) => taken(draft, at, full, "postgres.listen"),
        None => {
            draft.put("postgres.listen", format!("{said}:5432"));
            draft.changed(at, full, "postgres.listen", "5432 was meant");
        }
    }
}

/// The three roles, each with a file for its password.
pub(super) fn logins(draft: &mut Draft, section: &Node) {
    let all = section.value.get("authentication");
    for (role, usual) in
        [("superuser", "postgres"), ("replication", "replicator"), ("rewind", "haa_rewind")]
    {
        let full = format!("postgresql.authentication.{role}");
        let said = all.and_then(|all| all.value.get(role));
        let text = |key: &str| said.and_then(|said| said.value.get(key)?.value.text());
        draft.put(
            &format!("postgres.{role}.user"),
            text("username").unwrap_or_else(|| usual.to_owned()),
        );
        let password = said.and_then(|said| said.value.get("password"));
        let content = password.and_then(|at| draft.password(at, &format!("{full}.password")));
        let content = content.unwrap_or(Content::New);
        let new = content == Content::New;
        let file = draft.secret(&format!("postgres.{role}.password_file"), role, content);
        match said {
            Some(at) if new => draft.changed(
                at,
                &full,
                &format!("postgres.{role}"),
                format!("haad needs a password: copy {} to the others, and give the role that one", file.display()),
            ),
            Some(at) => draft.taken(at, &full, &format!("postgres.{role}")),
            None => draft.added(
                &full,
                Became::Changed(
                    format!("postgres.{role}"),
                    format!(
                        "there was none: copy {} to the others, and make the role as docs/operations.md says (With \
                         data that you have already)",
                        file.display()
                    ),
                ),
            ),
        }
        let known = ["username", "password"];
        let entries = said.map_or(&[][..], |said| said.value.entries());
        for (key, at) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            draft.lost(at, &format!("{full}.{key}"), "haad's own connections have no such option");
        }
    }
}

/// Patroni gives these to Postgres on its command line, and heeds them in the cluster's configuration only.
const COMMON: [&str; 15] = [
    "cluster_name",
    "hot_standby",
    "listen_addresses",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_worker_processes",
    "port",
    "track_commit_timestamp",
    "wal_keep_segments",
    "wal_keep_size",
    "wal_level",
    "wal_log_hints",
];

/// Whose parameters they are.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    /// The cluster's, with the section of the member, whose own stand before them.
    Cluster(&'a Node),
    /// The member's own.
    Member,
}

impl Whose<'_> {
    /// Why Patroni does not heed this one.
    fn unheeded(self, name: &str) -> Option<&'static str> {
        let common = COMMON.contains(&name);
        match self {
            Self::Member => {
                common.then_some("Patroni takes it from the cluster's configuration only")
            }
            Self::Cluster(member) => {
                let own =
                    member.value.get("parameters").map_or(&[][..], |node| node.value.entries());
                let over = own
                    .iter()
                    .any(|(own, at)| own.eq_ignore_ascii_case(name) && at.value.text().is_some());
                (over && !common).then_some("the member's own value stands before it")
            }
        }
    }
}

/// Parameters. The cluster's come first, and the member's own over them.
pub(super) fn parameters(draft: &mut Draft, section: &Node, whose: Whose<'_>) {
    let parameters = section.value.get("parameters");
    for (name, at) in parameters.map_or(&[][..], |node| node.value.entries()) {
        let (full, name) = (format!("postgresql.parameters.{name}"), name.to_ascii_lowercase());
        let Some(said) = at.value.text() else {
            draft.needless(at, &full, "nothing is said");
            continue;
        };
        if let Some(why) = whose.unheeded(&name) {
            draft.needless(at, &full, why);
            continue;
        }
        match (name.as_str(), refusal(&name, &said)) {
            ("unix_socket_directories", _) => socket(draft, at, &full, &said),
            (_, Some(why)) => draft.lost(at, &full, why),
            (_, None) => {
                draft.taken(at, &full, &format!("postgres.parameters.{name}"));
                draft.parameter(name, said);
            }
        }
    }
}

/// Local clients find Postgres where they did.
fn socket(draft: &mut Draft, at: &Node, full: &str, said: &str) {
    let first = said.split(',').map(str::trim).find(|path| path.starts_with('/'));
    match first {
        Some(path) if path == said.trim() => {
            draft.put("postgres.socket_directory", path);
            draft.taken(at, full, "postgres.socket_directory");
        }
        Some(path) => {
            draft.put("postgres.socket_directory", path);
            draft.changed(
                at,
                full,
                "postgres.socket_directory",
                "haad takes one directory: the first",
            );
        }
        None => draft.lost(
            at,
            full,
            "haad's socket is in its state directory, unless socket_directory names another",
        ),
    }
}

/// Lines of pg_hba.conf: the first of these that there are, as Patroni has it.
pub(super) fn hba(draft: &mut Draft, lists: &[(&str, InFile, Option<&Node>)]) {
    let mut taken = false;
    for (full, place, list) in lists {
        let Some(at) = list else { continue };
        draft.place = *place;
        if taken {
            draft.needless(at, full, "another list stands before it");
            continue;
        }
        let lines: Vec<toml::Value> = match &at.value {
            Tree::List(list) => {
                list.iter().filter_map(|line| line.value.text()).map(Into::into).collect()
            }
            other => other.text().into_iter().map(Into::into).collect(),
        };
        taken = !lines.is_empty();
        draft.put("postgres.hba", lines);
        draft.changed(
            at,
            full,
            "postgres.hba",
            "haad writes lines of its own before these, for itself and the members",
        );
    }
    if !taken {
        draft.added(
            "postgresql.pg_hba",
            Became::Changed(
                "postgres.hba".to_owned(),
                "there was none, and haad ignores the data directory's pg_hba.conf: write its lines there, or every \
                 role, the superuser too, is let in from every address by its password"
                    .to_owned(),
            ),
        );
    }
}
