//! The operator's Postgres parameters: which are haa's own, and why. Never writes them.

use std::collections::BTreeMap;

use super::check::Checker;
use super::file::{Said, Scalar, Text};

/// haa sets these itself. With the reason, as the end of a sentence.
const OWNED: &[(&str, &str)] = &[
    ("archive_cleanup_command", "another member may still need the WAL that it would remove"),
    ("cluster_name", "haad tells its own Postgres from another by it"),
    ("config_file", "haad starts Postgres with its own"),
    ("data_directory", "it is postgres.data_directory"),
    ("external_pid_file", "haad watches the server process itself"),
    ("hba_file", "haad writes it; your lines go to postgres.hba"),
    ("hot_standby", "a replica that cannot be asked cannot be watched; it is always on"),
    ("listen_addresses", "it is postgres.listen"),
    ("port", "it is postgres.listen"),
    ("primary_conninfo", "whom a replica follows is decided by the cluster"),
    ("primary_slot_name", "slots follow the members' names"),
    ("promote_trigger_file", "only the leader of a term may be promoted"),
    (
        "recovery_min_apply_delay",
        "a replica that replays late would take over late; no replay is delayed",
    ),
    (
        "restart_after_crash",
        "a crashed primary must not open again before the cluster agrees; it is always off",
    ),
    (
        "restore_command",
        "your archive's command is postgres.restore_command, which haad asks when WAL is missing",
    ),
    ("standby_mode", "every member starts as a standby, by haad's own means"),
    ("synchronous_standby_names", "who acknowledges a commit is decided by the cluster"),
    ("unix_socket_directories", "it is postgres.socket_directory"),
    ("update_process_title", "haad sees by it what recovery waits for; it is always on"),
    ("wal_log_hints", "pg_rewind needs it; it is always on"),
    ("wal_retrieve_retry_interval", "replicas would follow a new primary late"),
];

/// Postgres takes any beginning of a word that says no.
const OFF: &[&str] = &["off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"];

/// These values are refused. With the reason, as the end of a sentence.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "wal_level",
        &["minimal"],
        "there is no replication without WAL for it; leave it out, or write logical",
    ),
    ("fsync", OFF, "a crash would lose or corrupt what was acknowledged"),
    ("full_page_writes", OFF, "pg_rewind and recovery need the pages"),
    ("max_wal_senders", &["0"], "nobody could replicate from this member"),
    ("max_replication_slots", &["0"], "nobody could replicate from this member"),
];

impl Checker<'_> {
    /// `[postgres.parameters]`, or those of the settings, in order of name.
    pub(super) fn parameters(
        &mut self,
        section: &str,
        said: &BTreeMap<String, Said<Scalar>>,
    ) -> Option<BTreeMap<String, String>> {
        let before = self.problems.len();
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for (written, value) in said {
            let (name, text) = (written.to_ascii_lowercase(), value.value().text());
            if let Some(says) = refusal(&name, &text) {
                self.refuse_said::<(), _>(value, format!("{section}.{written}: {says}"));
            } else if taken.insert(name, text).is_some() {
                let says =
                    format!("{section}.{written} is there twice, in other letters: keep one");
                self.refuse_said::<(), _>(value, says);
            }
        }
        (self.problems.len() == before).then_some(taken)
    }
}

impl Checker<'_> {
    /// `postgres.restore_command`
    pub(super) fn restore_command(&mut self, said: Option<&Text>) -> Option<String> {
        let said = said?;
        let command = said.value();
        let signs = command.replace("%%", "");
        let known = |sign: &str| sign.starts_with(['f', 'p']);
        let says = if command.contains(['\n', '\0']) {
            "the command has one line: put more into a script"
        } else if !["%f", "%p"].iter().all(|sign| signs.contains(sign)) {
            "it needs %f, the name of the segment, and %p, the file to write it to, such as \
             cp /archive/%f %p"
        } else if !signs.split('%').skip(1).all(known) {
            "only %f, %p and %% mean something here"
        } else {
            return Some(command.clone());
        };
        self.refuse_said(said, format!("postgres.restore_command: {says}"))
    }
}

/// Why this parameter is not taken.
pub(crate) fn refusal(name: &str, value: &str) -> Option<String> {
    let legal =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.' || c == '$';
    if !name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') || !name.chars().all(legal) {
        return Some(
            "this is not a parameter's name: use letters, digits, _ and one dot".to_owned(),
        );
    }
    if value.contains(['\n', '\r', '\0']) {
        return Some("a value has one line: take the line break out".to_owned());
    }
    if name.starts_with("recovery_target") || name.starts_with("recovery_end") {
        let why = "when and where recovery ends is decided by the cluster";
        return Some(format!("haa sets this itself: {why}; take it out"));
    }
    if name.starts_with("haa.") {
        return Some("haa sees by these what Postgres has read; take it out".to_owned());
    }
    if let Some((_, why)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return Some(format!("haa sets this itself: {why}; take it out"));
    }
    let (_, _, why) = REFUSED.iter().find(|(refused, values, _)| {
        *refused == name && values.contains(&value.to_ascii_lowercase().as_str())
    })?;
    Some(format!("'{value}' is refused: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_parameters_are_refused_in_any_letters() {
        for (name, _) in OWNED {
            assert!(refusal(name, "x").is_some_and(|says| says.contains("itself")), "{name}");
        }
        assert!(refusal("recovery_target_lsn", "0/1").is_some());
        assert!(refusal("wal_level", "minimal").is_some());
        assert_eq!(refusal("wal_level", "logical"), None);
        assert_eq!(refusal("max_connections", "200"), None);
        assert_eq!(refusal("pg_stat_statements.track", "all"), None);
        assert!(refusal("haa.door", "open 1").is_some());
        assert!(refusal("bad name", "1").is_some());
        assert!(refusal("search_path", "a\nport = 1").is_some());
    }
}
