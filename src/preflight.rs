//! Would this member start? One finding a line, each with what to do. Looks only; changes nothing.

mod ports;

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use haa_core::records::Tags;

use crate::agent::chain;
use crate::api::tokens::Tokens;
use crate::config::{self, Config};
use crate::store::Store;
use ports::{Running, port};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Fine(String),
    /// It would start all the same.
    Doubtful(String),
    /// It would not start.
    Wrong(String),
}

impl Finding {
    /// Whether haad would not start because of it.
    #[must_use]
    pub const fn is_wrong(&self) -> bool {
        match self {
            Self::Wrong(_) => true,
            Self::Fine(_) | Self::Doubtful(_) => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine(says) => write!(f, "fine   {says}"),
            Self::Doubtful(says) => write!(f, "doubt  {says}"),
            Self::Wrong(says) => write!(f, "wrong  {says}"),
        }
    }
}

/// Postgres refuses to run as root, and so do we.
///
/// # Errors
/// The sentence.
pub fn not_root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        let says = "Postgres refuses to run as root, and so does haad: start it as the user that \
                    owns the data, such as: sudo -u postgres haad run ...";
        return Err(says.to_owned());
    }
    Ok(())
}

/// Everything that can be known before the start.
pub async fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    found.push(match not_root() {
        Ok(()) => Finding::Fine("the user is not root".to_owned()),
        Err(says) => Finding::Wrong(says),
    });
    let major = binaries(&config.postgres, &mut found);
    if major.is_some() {
        found.extend(parameters(&config.postgres));
    }
    found.extend(slips(&config.tags));
    found.push(data_directory(&config.postgres.data_directory, major));
    found.extend(elsewhere(&config.postgres.data_directory));
    found.push(writable("state_directory", &config.state_directory));
    found.push(writable("postgres.socket_directory", &config.postgres.socket_directory));
    found.push(tokens(&config.api.token_file));
    found.extend(certificate(&config.api));
    found.extend(guard(&config.guard));
    let running = Running::with(&config.state_directory);
    found.extend(running.as_ref().map(|running| {
        let pid = running.pid;
        Finding::Fine(format!(
            "haad runs here already, as process {pid}: it reads its file at its next start"
        ))
    }));
    found.push(port("api.listen", &config.api.listen, running.as_ref()).await);
    if let Some(router) = &config.router {
        for (key, at) in
            [("router.read_write", &router.read_write), ("router.read_only", &router.read_only)]
        {
            if let Some(at) = at {
                found.push(port(key, at, running.as_ref()).await);
            }
        }
    }
    if config.postgres.data_directory.join("postmaster.pid").exists() {
        let says = "a Postgres runs in the data directory, or ended without order: haad adopts or \
                    recovers it";
        found.push(Finding::Fine(says.to_owned()));
    } else {
        found.push(port("postgres.listen", &config.postgres.listen, None).await);
    }
    etcd(config, &mut found).await;
    found
}

/// The major version of the programs, where it can be had.
fn binaries(postgres: &config::Postgres, found: &mut Vec<Finding>) -> Option<String> {
    let program = postgres.bin_directory.join("postgres");
    let output = std::process::Command::new(&program).arg("--version").output();
    let version = match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            let says = format!(
                "{} --version ended with {}: reinstall PostgreSQL, or correct \
                     postgres.bin_directory",
                program.display(),
                output.status
            );
            found.push(Finding::Wrong(says));
            return None;
        }
        Err(error) => {
            let says = format!(
                "{} cannot be run ({error}): correct its \
                 permissions",
                program.display()
            );
            found.push(Finding::Wrong(says));
            return None;
        }
    };
    let version = version.trim();
    found.push(Finding::Fine(format!("{}: {version}", postgres.bin_directory.display())));
    let number =
        version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number.get(..digits).map(str::to_owned)
}

/// Tags of the operator's own are none of haad's, but one that is nearly a known one is hardly meant so.
fn slips(tags: &Tags) -> Vec<Finding> {
    let known = config::known_tags();
    let free = tags.free.keys().filter(|name| !known.contains(&name.as_str()));
    let near = free.filter_map(|name| {
        let known = config::nearest(name, known.iter().copied())?;
        Some(Finding::Doubtful(format!("tags.{name}: a tag of your own; did you mean {known}?")))
    });
    near.collect()
}

/// Those that Postgres would not start with.
fn parameters(postgres: &config::Postgres) -> Vec<Finding> {
    let tried = postgres.parameters.iter().filter_map(|(name, value)| {
        let why = crate::postgres::refused(&postgres.bin_directory, name, value);
        let why = why.unwrap_or_else(|error| Some(error.to_string()))?;
        Some(Finding::Wrong(format!(
            "postgres.parameters.{name}: {why}: correct it, or take it out"
        )))
    });
    tried.collect()
}

fn data_directory(path: &Path, major: Option<String>) -> Finding {
    let name = path.display();
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries.count(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match writable("postgres.data_directory", path) {
                Finding::Fine(_) => Finding::Fine(format!(
                    "{name} is not there: it will be made \
                     or cloned"
                )),
                other => other,
            };
        }
        Err(error) => {
            let says = format!(
                "{name} cannot be read ({error}): it must belong to the user that \
                 runs haad"
            );
            return Finding::Wrong(says);
        }
    };
    let mounted = crate::postgres::is_mount_point(path);
    if mounted && entries <= 1 {
        return Finding::Wrong(format!(
            "{name} is a mount point, so no new data can be put in its place: set \
             postgres.data_directory to a directory in it"
        ));
    }
    if entries == 0 {
        return Finding::Fine(format!("{name} is empty: it will be made or cloned"));
    }
    let Ok(version) = std::fs::read_to_string(path.join("PG_VERSION")) else {
        return Finding::Wrong(format!(
            "{name} is not empty and not Postgres (no PG_VERSION): name an empty directory, or a \
             Postgres' own, as postgres.data_directory"
        ));
    };
    if major.as_deref().is_some_and(|major| major != version.trim()) {
        return Finding::Wrong(format!(
            "{name} was made by PostgreSQL {}, the programs are {}: correct \
                 postgres.bin_directory, \
             or run pg_upgrade first",
            version.trim(),
            major.unwrap_or_default()
        ));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => Finding::Wrong(format!(
            "{name} belongs to user {}: start haad as that user, or hand the directory over",
            found.uid()
        )),
        Ok(found) if found.mode() & 0o027 != 0 => Finding::Wrong(format!(
            "{name} has mode {:04o}, which Postgres refuses: run chmod 0700 {name}",
            found.mode() & 0o7777
        )),
        Ok(_) if mounted => Finding::Doubtful(format!(
            "{name} is a mount point: it will be adopted, but never cloned into; better is a \
             directory in it"
        )),
        Ok(_) | Err(_) => Finding::Fine(format!(
            "{name} holds a PostgreSQL {}: it will be \
                 adopted",
            version.trim()
        )),
    }
}

/// What a clone could not make anew.
fn elsewhere(path: &Path) -> Option<Finding> {
    let name = path.display();
    let what = match (crate::postgres::wal_elsewhere(path), crate::postgres::tablespaces(path)) {
        (None, None) => return None,
        (Some(wal), _) => format!("pg_wal of {name} is a link to {}", wal.display()),
        (None, Some(count)) => format!("{name} has {count} tablespace(s)"),
    };
    Some(Finding::Doubtful(format!(
        "{what}: these data can be led and rewound, but no clone can take their place"
    )))
}

/// A directory that is ours to write to, or can be made.
fn writable(key: &str, path: &Path) -> Finding {
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if !there.is_dir() {
        return Finding::Wrong(format!(
            "{key}: {} is not a directory: name \
             another",
            there.display()
        ));
    }
    match rustix::fs::access(there, access) {
        Ok(()) => Finding::Fine(format!("{key}: {} can be written", path.display())),
        Err(error) => Finding::Wrong(format!(
            "{key}: {} cannot be written ({error}): hand it over to the user that runs haad, with \
             chown, or name another",
            there.display()
        )),
    }
}

/// A watchdog is not opened: that would start it.
fn guard(guard: &config::Guard) -> Option<Finding> {
    if !guard.enabled {
        let says = "guard.enabled is false: nobody closes writes when haad is frozen or killed";
        return Some(Finding::Doubtful(says.to_owned()));
    }
    let path = guard.watchdog.as_deref()?;
    Some(match rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Finding::Fine(format!("guard.watchdog: {} can be written", path.display())),
        Err(error) => Finding::Doubtful(format!(
            "guard.watchdog: {} cannot be written ({error}): the guard goes on without it",
            path.display()
        )),
    })
}

fn tokens(path: &Path) -> Finding {
    match Tokens::load(path).map(|tokens| tokens.own()) {
        Ok(Some(_)) => Finding::Fine(format!("{} has a token that holds", path.display())),
        Ok(None) => Finding::Wrong(format!(
            "{}: every token with role=admin has expired, the members cannot speak to each other: add one",
            path.display()
        )),
        Err(error) => Finding::Wrong(error.to_string()),
    }
}

fn certificate(api: &config::Api) -> Option<Finding> {
    let tls = api.tls.as_ref()?;
    let name = tls.identity.certificate.display();
    Some(match tls.objection(&api.address) {
        Ok(None) => Finding::Fine(format!("{name} is believed by whoever asks {}", api.address)),
        Ok(Some(why)) => Finding::Doubtful(format!(
            "{name} is not believed by whoever asks {} ({why}): issue one for this address, by the authority \
             of api.ca_file, that has not expired",
            api.address
        )),
        Err(error) => Finding::Wrong(error.to_string()),
    })
}

/// What may be wrong when no etcd answers.
fn remedy(config: &Config) -> String {
    let mut keys = vec!["etcd.endpoints"];
    if config.etcd.login.is_some() {
        keys.push("etcd.user, etcd.password_file");
    }
    if config.etcd.ca.is_some() {
        keys.push("etcd.ca_file, etcd.cert_file (etcd may want a client's certificate)");
    }
    format!("start etcd, or correct {}", keys.join(", "))
}

async fn etcd(config: &Config, found: &mut Vec<Finding>) {
    // Nobody listens to the inputs: only whether etcd answers is asked here.
    let (inputs, _nobody) = tokio::sync::mpsc::channel(1);
    let store = match Store::start(&config.etcd, &config.cluster, inputs) {
        Ok(store) => store,
        Err(error) => return found.push(Finding::Wrong(format!("etcd: {}", chain(&error)))),
    };
    let mut silent = Vec::new();
    let mut answered = 0_usize;
    for reach in store.reach().await {
        match reach.version {
            Ok(version) => {
                answered += 1;
                found.push(Finding::Fine(format!("{}: etcd {version}", reach.endpoint)));
            }
            Err(error) => silent.push(chain(&error)),
        }
    }
    let needed = config.etcd.endpoints.len() / 2 + 1;
    for says in silent {
        found.push(if answered == 0 {
            Finding::Wrong(format!("{says}: {}", remedy(config)))
        } else {
            Finding::Doubtful(says)
        });
    }
    if answered > 0 && answered < needed {
        let says = format!(
            "etcd: {answered} of {} answer, {needed} are needed for a quorum",
            config.etcd.endpoints.len()
        );
        found.push(Finding::Doubtful(says));
    }
    store.shutdown().await;
}
