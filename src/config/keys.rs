//! Every key of `haad.toml` and its environment variable. Never looks at what a key says.

/// What a key takes, as far as an environment variable must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// Strings; in a variable with commas between them.
    List,
    /// A number, true or false.
    Plain,
    /// Strings that may bear commas themselves: only in the file.
    FileOnly,
    /// A table with names of the operator's choice.
    Free,
}

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its path, with dots.
    pub(super) path: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// The variable that overrides it; empty where there is none.
    pub(super) variable: &'static str,
}

const fn key(path: &'static str, kind: Kind, variable: &'static str) -> Key {
    Key { path, kind, variable }
}

/// Names the file itself; read by the command line, not here.
pub(super) const CONFIG_VARIABLE: &str = "HAAD_CONFIG";

/// All of them.
pub(super) static KEYS: &[Key] = &[
    key("name", Kind::Text, "HAAD_NAME"),
    key("cluster", Kind::Text, "HAAD_CLUSTER"),
    key("state_directory", Kind::Text, "HAAD_STATE_DIRECTORY"),
    key("etcd.endpoints", Kind::List, "HAAD_ETCD_ENDPOINTS"),
    key("etcd.user", Kind::Text, "HAAD_ETCD_USER"),
    key("etcd.password_file", Kind::Text, "HAAD_ETCD_PASSWORD_FILE"),
    key("etcd.ca_file", Kind::Text, "HAAD_ETCD_CA_FILE"),
    key("etcd.cert_file", Kind::Text, "HAAD_ETCD_CERT_FILE"),
    key("etcd.key_file", Kind::Text, "HAAD_ETCD_KEY_FILE"),
    key("postgres.data_directory", Kind::Text, "HAAD_POSTGRES_DATA_DIRECTORY"),
    key("postgres.bin_directory", Kind::Text, "HAAD_POSTGRES_BIN_DIRECTORY"),
    key("postgres.listen", Kind::Text, "HAAD_POSTGRES_LISTEN"),
    key("postgres.address", Kind::Text, "HAAD_POSTGRES_ADDRESS"),
    key("postgres.socket_directory", Kind::Text, "HAAD_POSTGRES_SOCKET_DIRECTORY"),
    key("postgres.include", Kind::Text, "HAAD_POSTGRES_INCLUDE"),
    key("postgres.restore_command", Kind::Text, "HAAD_POSTGRES_RESTORE_COMMAND"),
    key("postgres.hba", Kind::FileOnly, ""),
    key("postgres.parameters", Kind::Free, ""),
    key("postgres.superuser.user", Kind::Text, "HAAD_POSTGRES_SUPERUSER_USER"),
    key("postgres.superuser.password_file", Kind::Text, "HAAD_POSTGRES_SUPERUSER_PASSWORD_FILE"),
    key("postgres.replication.user", Kind::Text, "HAAD_POSTGRES_REPLICATION_USER"),
    key(
        "postgres.replication.password_file",
        Kind::Text,
        "HAAD_POSTGRES_REPLICATION_PASSWORD_FILE",
    ),
    key("postgres.rewind.user", Kind::Text, "HAAD_POSTGRES_REWIND_USER"),
    key("postgres.rewind.password_file", Kind::Text, "HAAD_POSTGRES_REWIND_PASSWORD_FILE"),
    key("bootstrap.method", Kind::Text, "HAAD_BOOTSTRAP_METHOD"),
    key("bootstrap.command", Kind::FileOnly, ""),
    key("bootstrap.standby_of", Kind::List, "HAAD_BOOTSTRAP_STANDBY_OF"),
    key("bootstrap.standby_slot", Kind::Text, "HAAD_BOOTSTRAP_STANDBY_SLOT"),
    key("bootstrap.timeout", Kind::Text, "HAAD_BOOTSTRAP_TIMEOUT"),
    key("bootstrap.locale", Kind::Text, "HAAD_BOOTSTRAP_LOCALE"),
    key("bootstrap.icu_locale", Kind::Text, "HAAD_BOOTSTRAP_ICU_LOCALE"),
    key("bootstrap.encoding", Kind::Text, "HAAD_BOOTSTRAP_ENCODING"),
    key("bootstrap.wal_segment_size", Kind::Text, "HAAD_BOOTSTRAP_WAL_SEGMENT_SIZE"),
    key("bootstrap.recovery_target_time", Kind::Text, "HAAD_BOOTSTRAP_RECOVERY_TARGET_TIME"),
    key("bootstrap.recovery_target_lsn", Kind::Text, "HAAD_BOOTSTRAP_RECOVERY_TARGET_LSN"),
    key("bootstrap.recovery_target_name", Kind::Text, "HAAD_BOOTSTRAP_RECOVERY_TARGET_NAME"),
    key("bootstrap.recovery_target_xid", Kind::Text, "HAAD_BOOTSTRAP_RECOVERY_TARGET_XID"),
    key(
        "bootstrap.recovery_target_inclusive",
        Kind::Plain,
        "HAAD_BOOTSTRAP_RECOVERY_TARGET_INCLUSIVE",
    ),
    key(
        "bootstrap.recovery_target_timeline",
        Kind::Text,
        "HAAD_BOOTSTRAP_RECOVERY_TARGET_TIMELINE",
    ),
    key("clone.rate_limit", Kind::Text, "HAAD_CLONE_RATE_LIMIT"),
    key("clone.basebackup", Kind::Plain, "HAAD_CLONE_BASEBACKUP"),
    key("clone.method", Kind::FileOnly, ""),
    key("api.listen", Kind::Text, "HAAD_API_LISTEN"),
    key("api.address", Kind::Text, "HAAD_API_ADDRESS"),
    key("api.token_file", Kind::Text, "HAAD_API_TOKEN_FILE"),
    key("api.questions", Kind::Text, "HAAD_API_QUESTIONS"),
    key("api.cert_file", Kind::Text, "HAAD_API_CERT_FILE"),
    key("api.key_file", Kind::Text, "HAAD_API_KEY_FILE"),
    key("api.ca_file", Kind::Text, "HAAD_API_CA_FILE"),
    key("api.verify_client", Kind::Text, "HAAD_API_VERIFY_CLIENT"),
    key("api.plain", Kind::Text, "HAAD_API_PLAIN"),
    key("guard.enabled", Kind::Plain, "HAAD_GUARD_ENABLED"),
    key("guard.watchdog", Kind::Text, "HAAD_GUARD_WATCHDOG"),
    key("router.read_write", Kind::Text, "HAAD_ROUTER_READ_WRITE"),
    key("router.read_only", Kind::Text, "HAAD_ROUTER_READ_ONLY"),
    key("router.max_connections", Kind::Plain, "HAAD_ROUTER_MAX_CONNECTIONS"),
    key("router.max_held", Kind::Plain, "HAAD_ROUTER_MAX_HELD"),
    key("router.hold", Kind::Text, "HAAD_ROUTER_HOLD"),
    key("router.drain", Kind::Text, "HAAD_ROUTER_DRAIN"),
    key("pgbouncer.consoles", Kind::List, "HAAD_PGBOUNCER_CONSOLES"),
    key("pgbouncer.user", Kind::Text, "HAAD_PGBOUNCER_USER"),
    key("pgbouncer.password_file", Kind::Text, "HAAD_PGBOUNCER_PASSWORD_FILE"),
    key("pgbouncer.databases", Kind::List, "HAAD_PGBOUNCER_DATABASES"),
    key("pgbouncer.pause_timeout", Kind::Text, "HAAD_PGBOUNCER_PAUSE_TIMEOUT"),
    key("pgbouncer.ca_file", Kind::Text, "HAAD_PGBOUNCER_CA_FILE"),
    key("hooks.on_role_change", Kind::FileOnly, ""),
    key("hooks.on_start", Kind::FileOnly, ""),
    key("hooks.on_stop", Kind::FileOnly, ""),
    key("hooks.before_promote", Kind::FileOnly, ""),
    key("hooks.timeout", Kind::Text, "HAAD_HOOKS_TIMEOUT"),
    key("hooks.before_promote_timeout", Kind::Text, "HAAD_HOOKS_BEFORE_PROMOTE_TIMEOUT"),
    key("tags", Kind::Free, ""),
    key("log.format", Kind::Text, "HAAD_LOG_FORMAT"),
    key("log.level", Kind::Text, "HAAD_LOG_LEVEL"),
    key("settings.durability", Kind::Text, "HAAD_SETTINGS_DURABILITY"),
    key("settings.k", Kind::Plain, "HAAD_SETTINGS_K"),
    key("settings.strict", Kind::Plain, "HAAD_SETTINGS_STRICT"),
    key("settings.failsafe", Kind::Plain, "HAAD_SETTINGS_FAILSAFE"),
    key("settings.profile", Kind::Text, "HAAD_SETTINGS_PROFILE"),
    key("settings.maximum_lag_on_failover", Kind::Text, "HAAD_SETTINGS_MAXIMUM_LAG_ON_FAILOVER"),
    key("settings.timing.ttl", Kind::Text, "HAAD_SETTINGS_TIMING_TTL"),
    key("settings.timing.round", Kind::Text, "HAAD_SETTINGS_TIMING_ROUND"),
    key("settings.timing.margin", Kind::Text, "HAAD_SETTINGS_TIMING_MARGIN"),
    key("settings.timing.heartbeat", Kind::Text, "HAAD_SETTINGS_TIMING_HEARTBEAT"),
    key("settings.timing.suspect_after", Kind::Text, "HAAD_SETTINGS_TIMING_SUSPECT_AFTER"),
    key("settings.timing.stagger", Kind::Text, "HAAD_SETTINGS_TIMING_STAGGER"),
    key("settings.timing.report_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_REPORT_TIMEOUT"),
    key("settings.timing.attempt_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_ATTEMPT_TIMEOUT"),
    key("settings.timing.promote_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_PROMOTE_TIMEOUT"),
    key("settings.timing.stall_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_STALL_TIMEOUT"),
    key("settings.timing.stop_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_STOP_TIMEOUT"),
    key("settings.timing.forget_after", Kind::Text, "HAAD_SETTINGS_TIMING_FORGET_AFTER"),
    key("settings.timing.gather_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_GATHER_TIMEOUT"),
    key("settings.timing.successor_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_SUCCESSOR_TIMEOUT"),
    key("settings.timing.settle", Kind::Text, "HAAD_SETTINGS_TIMING_SETTLE"),
    key(
        "settings.timing.agent_silent_after",
        Kind::Text,
        "HAAD_SETTINGS_TIMING_AGENT_SILENT_AFTER",
    ),
    key("settings.timing.voter_timeout", Kind::Text, "HAAD_SETTINGS_TIMING_VOTER_TIMEOUT"),
    key("settings.timing.voter_return", Kind::Text, "HAAD_SETTINGS_TIMING_VOTER_RETURN"),
    key("settings.timing.alone_after", Kind::Text, "HAAD_SETTINGS_TIMING_ALONE_AFTER"),
    key("settings.postgres.parameters", Kind::Free, ""),
    key("settings.slots", Kind::Free, ""),
    key("tags.nofailover", Kind::Plain, "HAAD_TAGS_NOFAILOVER"),
    key("tags.failover_priority", Kind::Plain, "HAAD_TAGS_FAILOVER_PRIORITY"),
    key("tags.noloadbalance", Kind::Plain, "HAAD_TAGS_NOLOADBALANCE"),
    key("tags.clonefrom", Kind::Plain, "HAAD_TAGS_CLONEFROM"),
    key("tags.nosync", Kind::Plain, "HAAD_TAGS_NOSYNC"),
    key("tags.nostream", Kind::Plain, "HAAD_TAGS_NOSTREAM"),
    key("tags.replicatefrom", Kind::Text, "HAAD_TAGS_REPLICATEFROM"),
    key("tags.site", Kind::Text, "HAAD_TAGS_SITE"),
];

/// The keys and sections directly in `section` (empty: the top of the file).
pub(super) fn words_in(section: &str) -> Vec<&'static str> {
    let mut words: Vec<&'static str> = Vec::new();
    for key in KEYS {
        let rest = match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        if let Some(word) = rest.and_then(|rest| rest.split('.').next())
            && !words.contains(&word)
        {
            words.push(word);
        }
    }
    words
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A key.
    Leaf,
    /// A section.
    Section,
    /// A table with names of the operator's choice.
    Free,
    /// Neither.
    Unknown,
}

/// What this path is.
pub(super) fn place(path: &str) -> Place {
    match KEYS.iter().find(|key| key.path == path) {
        Some(key) if key.kind == Kind::Free => Place::Free,
        Some(_) => Place::Leaf,
        None if words_in(path).is_empty() => Place::Unknown,
        None => Place::Section,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_the_path_in_capitals() {
        for key in KEYS.iter().filter(|key| !key.variable.is_empty()) {
            let expected = format!("HAAD_{}", key.path.replace('.', "_").to_uppercase());
            assert_eq!(key.variable, expected);
        }
    }

    #[test]
    fn places_are_told_apart() {
        assert_eq!(place("etcd"), Place::Section);
        assert_eq!(place("etcd.endpoints"), Place::Leaf);
        assert_eq!(place("tags"), Place::Free);
        assert_eq!(place("etcd.endpoint"), Place::Unknown);
        assert_eq!(words_in("log"), ["format", "level"]);
    }
}
