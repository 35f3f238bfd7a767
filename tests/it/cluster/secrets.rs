//! Looks for secrets where none may be: command lines, logs, what agents keep, what they answer, and etcd. Knows those
//! that it is told, and never changes anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use etcd_client::{Client, GetOptions};

use super::fixture::{Cluster, name};

/// What agents answer without a token.
const QUESTIONS: [&str; 13] = [
    "/patroni",
    "/config",
    "/cluster",
    "/status",
    "/history",
    "/why",
    "/events",
    "/routes",
    "/doctor",
    "/metrics",
    "/requests",
    "/health",
    "/readiness",
];
/// Files of Postgres' own format: passwords are in them as it keeps them, and they are large.
const TABLES: [&str; 3] = ["base", "global", "pg_wal"];
/// Files that are there to hold secrets, for their owner alone.
const KEPT: [&str; 1] = ["pgpass"];

/// Every command line of this machine, as long as this value lives: programs come and go.
pub(super) struct CommandLines {
    ends: Arc<AtomicBool>,
    seen: JoinHandle<BTreeSet<Vec<u8>>>,
}

impl CommandLines {
    pub(super) fn watch() -> Self {
        let ends = Arc::<AtomicBool>::default();
        let end = Arc::clone(&ends);
        let seen = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !end.load(Ordering::Relaxed) {
                let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
                seen.extend(
                    processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok()),
                );
                std::thread::sleep(Duration::from_millis(30));
            }
            seen
        });
        Self { ends, seen }
    }

    fn end(self) -> Vec<u8> {
        self.ends.store(true, Ordering::Relaxed);
        self.seen.join().expect("no panic").into_iter().collect::<Vec<_>>().concat()
    }
}

/// Everything that was looked at: where, and what is there.
struct Looked(Vec<(String, Vec<u8>)>);

impl Looked {
    /// Where this text is.
    fn places(&self, text: &str) -> Vec<&str> {
        let holds = |content: &[u8]| {
            let mut rest = content;
            let first = text.as_bytes()[0];
            while let Some(at) = rest.iter().position(|byte| *byte == first) {
                if rest[at..].starts_with(text.as_bytes()) {
                    return true;
                }
                rest = &rest[at + 1..];
            }
            false
        };
        let holding = self.0.iter().filter(|(_, content)| holds(content));
        holding.map(|(place, _)| place.as_str()).collect()
    }
}

/// No secret is anywhere but in the file that is there to hold it. `etcd` is somebody who may read everything there.
pub(super) async fn none_is_told(
    cluster: &Cluster,
    lines: CommandLines,
    mut etcd: Client,
    more: &[(&str, &str)],
) {
    let mut looked = Looked(vec![("command lines".to_owned(), lines.end())]);
    let mut paths = Vec::new();
    files(cluster.playground.directory(), &mut paths);
    for path in paths {
        let content = unless_gone(&path, std::fs::read(&path));
        looked.0.extend(content.map(|content| (path.display().to_string(), content)));
    }
    for path in QUESTIONS {
        let mut answers = 0;
        for member in cluster.playground.names() {
            if let Ok((code, text)) = cluster.playground.http_get(&member, path).await {
                assert_ne!(code, 404, "{path}: {text}");
                looked.0.push((format!("{member}{path}"), text.into_bytes()));
                answers += 1;
            }
        }
        assert!(answers > 0, "nobody answers {path}");
    }
    let every = Some(GetOptions::new().with_all_keys());
    let kept = etcd.get("", every).await.expect("it answers");
    for one in kept.kvs() {
        let key = String::from_utf8_lossy(one.key()).into_owned();
        looked.0.push((format!("etcd: {key}"), one.value().to_vec()));
    }
    let mut secrets: Vec<(&str, String)> =
        more.iter().map(|(what, secret)| (*what, (*secret).to_owned())).collect();
    for role in ["superuser", "replication", "rewind"] {
        let file = cluster.password_file(&name("n1"), role);
        secrets.push((role, std::fs::read_to_string(file).expect("a password")));
    }
    let token = std::fs::read_to_string(cluster.playground.token_file()).expect("a token");
    secrets.push(("the token", token));

    // The look itself is right: what may be told is found.
    for (text, place) in [
        ("haad.toml", "command lines"),
        ("haad runs", "haad.log"),
        ("n1", "journal"),
        ("playground", "n1/patroni"),
        ("ttl", "n1/config"),
        ("n1", "etcd: /haa/playground/"),
    ] {
        let told = looked.places(text);
        assert!(
            told.iter().any(|name| name.contains(place)),
            "{text}: not in {place}, but in {told:?}"
        );
    }
    println!("{} secrets in none of {} places", secrets.len(), looked.0.len());
    for (what, secret) in secrets {
        let told = looked.places(secret.trim());
        assert!(told.is_empty(), "{what} is told in {told:?}");
    }
}

/// What is kept in files, but for what is there to hold secrets. What is no file, such as a socket, holds nothing.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in unless_gone(directory, std::fs::read_dir(directory)).into_iter().flatten() {
        let Some(entry) = unless_gone(directory, entry) else { continue };
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let Some(kind) = unless_gone(&path, entry.file_type()) else { continue };
        match kind.is_dir() {
            true if name == "secrets" || TABLES.contains(&&*name) => {}
            true => files(&path, found),
            false if KEPT.contains(&&*name) => private(&path),
            false if kind.is_file() => found.push(path),
            false => {}
        }
    }
}

/// Files come and go; one that is there is read, or nothing is known of it.
fn unless_gone<T>(path: &Path, read: std::io::Result<T>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{} cannot be read: {error}", path.display()),
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    assert_eq!(mode.ok(), Some(0o600), "{}", path.display());
}
