//! The files that haad writes for Postgres: configuration, source, access, passwords, signals.
//! Never edits the operator's files, but takes our parameters out of postgresql.auto.conf, keeping a copy.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use haa_core::effect::Source;
use haa_core::observe::Door;
use haa_core::units::Incarnation;

use super::process::remove_if_there;
use super::site::Site;
use super::wished::Told;
use super::{conninfo, door, kept, list, parameters, receiver, room};

pub(super) const HEAD: &str =
    "# Written by haad at every start of Postgres: what you change here is lost.\n";

/// Fewer than this of senders and slots do not carry a cluster.
const CARRIERS: u32 = 10;

/// Parameters that only haad sets. `ALTER SYSTEM` could set them behind its back.
const OURS: [&str; 32] = [
    "archive_cleanup_command",
    "cluster_name",
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "hot_standby",
    "listen_addresses",
    "max_replication_slots",
    "max_wal_senders",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restart_after_crash",
    "restore_command",
    "synchronous_standby_names",
    "unix_socket_directories",
    "update_process_title",
    "wal_level",
    "wal_log_hints",
    "wal_retrieve_retry_interval",
];

/// Everything that a start needs, but for the source and the signal files. These parameters are raised.
pub(super) fn write_configuration(
    site: &Site,
    told: &Told,
    raised: &[(&'static str, u32)],
    whom: Door,
) -> io::Result<()> {
    write_private(&site.state("pgpass"), pgpass(site))?;
    door::write(site, whom, &told.hba)?;
    list::write(site, &list::at_rest(site))?;
    kept::file::at_start(site)?;
    receiver::prepare(site)?;
    write_parameters(site, told, raised).map(drop)
}

/// The configuration itself. Returns what [`parameters::SETTING`] will be.
pub(super) fn write_parameters(
    site: &Site,
    told: &Told,
    raised: &[(&'static str, u32)],
) -> io::Result<String> {
    let (text, mark) = configuration(site, told, raised);
    if !std::fs::read_to_string(config_file(site)).is_ok_and(|there| there == text) {
        write_private(&config_file(site), text)?;
    }
    Ok(mark)
}

pub(super) fn config_file(site: &Site) -> PathBuf {
    site.state("postgresql.conf")
}

pub(super) fn source_file(site: &Site) -> PathBuf {
    site.state("source.conf")
}

/// Passwords of the roles that Postgres and its tools log in with.
pub(super) fn write_passwords(site: &Site) -> io::Result<()> {
    write_private(&site.state("pgpass"), pgpass(site))
}

fn pgpass(site: &Site) -> String {
    let escape = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
    let logins = [&site.config.replication, &site.config.rewind];
    logins
        .map(|login| format!("*:*:*:{}:{}\n", escape(&login.user), escape(&login.password)))
        .concat()
}

/// With its mark.
pub(super) fn configuration(
    site: &Site,
    told: &Told,
    raised: &[(&'static str, u32)],
) -> (String, String) {
    let config = &site.config;
    let mut text = HEAD.to_owned();
    let include = told.include.clone().unwrap_or_else(|| site.data().join("postgresql.conf"));
    let _ = writeln!(text, "wal_keep_size = '256MB'");
    // A member that is lost does not fill the primary's disk: it is cloned anew instead.
    if let Ok(size) = room::size(&site.pg_wal()) {
        let _ = writeln!(text, "max_slot_wal_keep_size = '{}MB'", (size / 4) >> 20);
    }
    let _ = writeln!(text, "include = {}", setting(&receiver::file(site).to_string_lossy()));
    let _ = writeln!(text, "wal_sender_timeout = '10s'\nwal_receiver_status_interval = '1s'");
    let _ = writeln!(text, "include_if_exists = {}", setting(&include.to_string_lossy()));
    for (name, value) in theirs(told) {
        let _ = writeln!(text, "{name} = {}", setting(value));
    }
    let asked = |name: &str| told.of(name);
    let carriers = |name| asked(name).and_then(|n| n.parse().ok()).unwrap_or(0).max(CARRIERS);
    let wal_level = if asked("wal_level") == Some("logical") { "logical" } else { "replica" };
    let _ = writeln!(text, "\n# haad's own; the last word.");
    let mut own = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", setting(value));
    };
    own("data_directory", &site.data().to_string_lossy());
    own("hba_file", &site.state("pg_hba.conf").to_string_lossy());
    own("external_pid_file", "");
    own("listen_addresses", &config.listen.host);
    own("port", &config.listen.port.to_string());
    own("unix_socket_directories", &config.socket_directory.to_string_lossy());
    own("cluster_name", site.me.as_str());
    own("wal_level", wal_level);
    own("hot_standby", "on");
    own("wal_log_hints", "on");
    own("update_process_title", "on");
    own("max_wal_senders", &carriers("max_wal_senders").to_string());
    own("max_replication_slots", &carriers("max_replication_slots").to_string());
    own("wal_retrieve_retry_interval", "100ms");
    own("restart_after_crash", "off");
    own("primary_slot_name", &site.me.slot());
    own("restore_command", "");
    own("archive_cleanup_command", "");
    own("recovery_end_command", "");
    own("recovery_min_apply_delay", "0");
    for target in ["", "_lsn", "_name", "_time", "_xid"] {
        own(&format!("recovery_target{target}"), "");
    }
    own("recovery_target_timeline", "latest");
    if site.major() < 16 {
        own("promote_trigger_file", "");
    }
    for (name, least) in raised {
        own(name, &least.to_string());
    }
    for file in [source_file(site), list::file(site), door::file(site)] {
        let _ = writeln!(text, "include = {}", setting(&file.to_string_lossy()));
    }
    let slots = setting(&kept::file::path(site).to_string_lossy());
    let _ = writeln!(text, "include_if_exists = {slots}");
    let mark = mark(&text);
    let _ = writeln!(text, "{} = {}", parameters::SETTING, setting(&mark));
    (text, mark)
}

/// What operators ask for and haad does not set itself.
pub(super) fn theirs(told: &Told) -> impl Iterator<Item = (&String, &String)> {
    let all = told.only_shared().chain(told.own.iter());
    all.filter(|(name, _)| OURS.binary_search(&name.as_str()).is_err())
}

/// What tells this text from another, for a setting of ours that shows which one was read.
pub(super) fn mark(text: &str) -> String {
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    format!("{:x}", hash.finish())
}

pub(super) fn setting(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', "''").replace('\n', " "))
}

/// Whether there is one to stream from, as it was written last.
pub(super) fn has_source(site: &Site) -> io::Result<bool> {
    let text = std::fs::read_to_string(source_file(site))?;
    Ok(!text.lines().any(|line| line == "primary_conninfo = ''"))
}

/// Where to stream from. Without a source, replay does not wait for queries either: whoever detaches
/// wants to have replayed everything.
pub(super) fn write_source(
    site: &Site,
    source: Option<&Source>,
    incarnation: Incarnation,
) -> io::Result<String> {
    if let Some(source) = source {
        kept::copies::follow(site, Some(&source.address))?;
    }
    let conninfo = source.map_or_else(String::new, |source| {
        let name = match &source.site {
            None => conninfo::application_name(&site.me, incarnation),
            Some(_) => conninfo::name_abroad(&site.me, incarnation),
        };
        let user = &site.config.replication.user;
        let mut more = vec![("application_name", name.as_str())];
        // Who copies logical slots asks there.
        more.extend((site.major() >= kept::COPIED_FROM).then_some(("dbname", "postgres")));
        conninfo::to(source, user, &site.state("pgpass"), &more)
    });
    let mut text = format!("{HEAD}primary_conninfo = {}\n", setting(&conninfo));
    if let Some(other) = source.and_then(|source| source.site.as_ref()) {
        // Ours is a slot of this cluster's.
        let slot = other.slot.as_deref().unwrap_or_default();
        text.push_str(&format!("primary_slot_name = {}\n", setting(slot)));
    }
    if source.is_none() {
        text.push_str("max_standby_streaming_delay = 0\nmax_standby_archive_delay = 0\n");
        // A reload or a promotion ends this wait at once; each round of it writes a line to the log.
        text.push_str("wal_retrieve_retry_interval = '5s'\n");
    }
    // Not synced: it is written anew at each start, and this is on the way to a failover.
    write_atomically(&source_file(site), &text)?;
    Ok(conninfo)
}

/// What lets Postgres start as a standby and as nothing else.
pub(super) fn write_signals(data: &Path) -> io::Result<()> {
    for stale in ["recovery.signal", "promote"] {
        remove_if_there(&data.join(stale))?;
    }
    File::create(data.join("standby.signal"))?.sync_all()?;
    File::open(data)?.sync_all()
}

/// Takes the parameters that are ours out of the postgresql.auto.conf in `data`, which would override every other
/// file. Returns the lines; a copy of the file is kept in the state directory.
pub(super) fn clean_auto_conf(site: &Site, data: &Path) -> io::Result<Vec<String>> {
    let path = data.join("postgresql.auto.conf");
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let (taken, left) = without_ours(&bytes);
    if !taken.is_empty() {
        write_private(&site.state("postgresql.auto.conf.taken"), &bytes)?;
        write_private(&path, left)?;
    }
    Ok(taken)
}

/// Our lines, and the bytes of all others as they were: they may be in any encoding.
fn without_ours(bytes: &[u8]) -> (Vec<String>, Vec<u8>) {
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        if is_ours(&text) {
            taken.push(text.trim_end().to_owned());
        } else {
            left.extend_from_slice(line);
        }
    }
    (taken, left)
}

fn is_ours(line: &str) -> bool {
    let name = line.trim().split(|c: char| c == '=' || c.is_whitespace()).next();
    name.is_some_and(|name| OURS.binary_search(&name.to_ascii_lowercase().as_str()).is_ok())
}

/// Replaces a file durably; only this user can read it.
pub(super) fn write_private(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    let new = write_new(path, text.as_ref())?;
    File::open(&new)?.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_parent(path)
}

/// Replaces a file: whoever reads it sees the old one or the new one.
pub(super) fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    std::fs::rename(write_new(path, text.as_bytes())?, path)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<PathBuf> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    remove_if_there(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    Ok(new)
}

/// Work with files that may take long, on a thread that may wait for a disk.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Makes a rename last.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parameters_are_found_in_any_spelling() {
        assert!(OURS.is_sorted());
        assert!(is_ours(" Primary_ConnInfo='x'"));
        assert!(is_ours("port = 1"));
        assert!(!is_ours("# port = 1"));
        assert!(!is_ours("work_mem = '4MB'"));
    }

    #[test]
    fn lines_in_another_encoding_stay_as_they_are() {
        let theirs = b"# caf\xe9\r\nwork_mem = '4MB'\nx.y = '\xff'";
        let (taken, left) = without_ours(theirs);
        assert!(taken.is_empty() && left == theirs);
        let (taken, left) = without_ours(b"port = 1\n# caf\xe9\nhot_standby = 'off'");
        assert_eq!(taken, ["port = 1", "hot_standby = 'off'"]);
        assert_eq!(left, b"# caf\xe9\n");
    }
}
