//! Gathers the facts of one member: asks its Postgres, etcd, its machine. Never more often than they are worth, and
//! judges nothing.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haa_core::routes::Status;
use haa_core::settings::Durability;
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::host::{self, Facts, Paper, Room};
use super::{Finding, Promise, Report, Spread, archive, server, standby, store};
use crate::api::document::unix_ms;
use crate::api::tokens::Tokens;
use crate::config::{Api, Config, Login};
use crate::guard::Standing;
use crate::hooks::Failures;
use crate::postgres;
use crate::store::Store;

/// Anybody may ask, so that no more than this comes of it: one look in so long.
const FRESH: Duration = Duration::from_secs(2);
/// So many flushes are timed, for no longer than `FLUSHING`.
const FLUSHES: usize = 50;
const FLUSHING: Duration = Duration::from_secs(2);
/// A disk that has not answered by then hangs.
const HANGS: Duration = Duration::from_secs(5);
/// Who is told of a certificate's end in time can renew it in time.
const AHEAD: Duration = Duration::from_secs(30 * 86_400);

/// What is examined, and what was found last.
pub struct Examiner {
    config: Config,
    tokens: Tokens,
    store: Arc<Store>,
    postgres: postgres::Examiner,
    status: watch::Receiver<Option<Arc<Status>>>,
    guard: Option<watch::Receiver<Standing>>,
    hooks: watch::Receiver<Failures>,
    last: Mutex<Option<(Instant, Report)>>,
    /// Held by whoever looks at the disks, beyond its own request if they hang.
    disks: Arc<Mutex<()>>,
}

/// Whom an examiner asks.
pub struct Sources {
    /// For its own token.
    pub tokens: Tokens,
    /// etcd.
    pub store: Arc<Store>,
    /// This member's Postgres.
    pub postgres: postgres::Examiner,
    /// What the node published last.
    pub status: watch::Receiver<Option<Arc<Status>>>,
    /// What the guard has confirmed, if there is to be one.
    pub guard: Option<watch::Receiver<Standing>>,
    /// Which of the operator's own programs ail.
    pub hooks: watch::Receiver<Failures>,
}

impl Examiner {
    /// Of the member that runs by this configuration.
    #[must_use]
    pub fn new(config: Config, sources: Sources) -> Self {
        let Sources { tokens, store, postgres, status, guard, hooks } = sources;
        Self {
            config,
            tokens,
            store,
            postgres,
            status,
            guard,
            hooks,
            last: Mutex::new(None),
            disks: Arc::default(),
        }
    }

    /// Looks; whoever asks while somebody looks waits, and gets the same.
    pub async fn examine(&self) -> Report {
        let mut last = self.last.lock().await;
        let mut report = match last.as_ref() {
            Some((at, report)) if at.elapsed() < FRESH => report.clone(),
            Some(_) | None => {
                let report = self.look().await;
                last.insert((Instant::now(), report)).1.clone()
            }
        };
        report.unix_ms = unix_ms();
        report
    }

    async fn look(&self) -> Report {
        let status = self.status.borrow().clone();
        let promise = status.as_ref().map_or_else(Promise::default, |status| Promise {
            durability: status.sync.as_ref().map(|sync| sync.durability),
            members: status.members.len(),
        });
        let follows = status.as_ref().and_then(|status| status.follows.as_ref());
        let abroad = async {
            match follows {
                Some(follows) => self.postgres.abroad(&follows.site).await,
                None => Vec::new(),
            }
        };
        let (said, etcd, facts, abroad) =
            tokio::join!(self.postgres.examine(), self.store.examine(), self.machine(), abroad);
        let mut findings = host::findings(&facts);
        findings.extend(store::findings(&etcd));
        findings.extend(self.hooks.borrow().values().map(host::hook));
        match &said {
            Ok(said) => {
                findings.extend(said.archiving.iter().map(archive::finding));
                findings.extend(server::findings(said, promise));
            }
            Err(why) => findings.push(Finding::unseen(
                "its Postgres (parameters, slots, roles)",
                why,
                "haactl status says how it is; when it runs, run haactl doctor again",
            )),
        }
        if let Some(facts) = status.as_ref().and_then(|status| status.postgres.as_ref()) {
            findings.extend(server::standing(&facts.parameters));
        }
        if let (Some(follows), Some(status)) = (follows, &status) {
            let version = said.as_ref().ok().map(|said| said.version);
            let system_id = status.record.system_id.map(|id| id.to_string());
            let own = standby::Own { version, system_id };
            findings.extend(standby::findings(follows, &own, &abroad));
        }
        if promise.durability.is_none() {
            findings.push(Finding::unseen(
                "whether commits wait for replicas",
                "this member has not read from etcd what the cluster promises",
                "haactl status says how it is; when there is a primary, run haactl doctor again",
            ));
        }
        findings.sort();
        // A reload may have brought others than it began with.
        let tags = status.as_ref().map_or(&self.config.tags, |status| &status.record.tags);
        let wished = status.as_ref().and_then(|status| status.settings.durability);
        Report {
            member: self.config.name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_version: said.ok().map(|said| said.version),
            unix_ms: 0,
            nofailover: tags.nofailover || tags.nostream,
            never_votes: !tags.votes(),
            replicatefrom: tags.replicatefrom.as_ref().map(ToString::to_string),
            quorum: [promise.durability, wished].contains(&Some(Durability::Quorum)),
            flush: facts.flush,
            etcd_read: etcd.reads.as_deref().ok().and_then(Spread::of),
            findings,
        }
    }

    async fn machine(&self) -> Facts {
        let config = &self.config;
        let (data, state) =
            (config.postgres.data_directory.clone(), config.state_directory.clone());
        // A disk that hangs holds up one thread until it answers, and nobody for longer than `HANGS`.
        let disks = Arc::clone(&self.disks).try_lock_owned().map(|held| {
            tokio::task::spawn_blocking(move || {
                let found = (rooms(&data, &state), flushes(&data, &state));
                drop(held);
                found
            })
        });
        let (rooms, flush) = match disks {
            Ok(disks) => timeout(HANGS, disks).await.ok().and_then(Result::ok).unwrap_or_default(),
            Err(_) => Default::default(),
        };
        let router = config.router.as_ref();
        let ports = router.map_or(0, |router| {
            u64::from(router.read_write.is_some()) + u64::from(router.read_only.is_some())
        });
        Facts {
            rooms,
            flush,
            guard: self.guard.as_ref().map(|standing| *standing.borrow()),
            watchdog_ails: config.guard.watchdog.as_ref().and_then(|device| {
                access(device, Access::WRITE_OK)
                    .err()
                    .map(|error| std::io::Error::from(error).to_string())
            }),
            watchdog: config.guard.watchdog.clone(),
            files: getrlimit(Resource::Nofile).current,
            clients: router.map_or(0, |router| router.max_connections * ports),
            plain_listen: plain(&config.api),
            certificate: certificate(&config.api),
            shared_secrets: shared(config, self.tokens.own().as_deref()),
        }
    }
}

/// One a file system.
fn rooms(data: &Path, state: &Path) -> Vec<Room> {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|found| found.dev());
    let wal = data.join("pg_wal");
    let mut rooms = vec![("the data", data)];
    for (what, path) in [("the state directory", state), ("the WAL", wal.as_path())] {
        let known = rooms.iter().any(|(_, known)| device(known) == device(path));
        if !known && device(path).is_some() {
            rooms.push((what, path));
        }
    }
    let room = |(what, path): (&'static str, &Path)| {
        let (free, size) = (postgres::free(path).ok()?, postgres::size(path).ok()?);
        Some(Room { what, path: path.to_owned(), free, size })
    };
    rooms.into_iter().filter_map(room).collect()
}

/// How long a page takes to reach the disk of the data: beside them, for what is in them is copied by a clone.
fn flushes(data: &Path, state: &Path) -> Option<Spread> {
    let device = std::fs::metadata(data).ok()?.dev();
    let beside = [Some(state), data.parent()].into_iter().flatten();
    let on = |path: &&Path| std::fs::metadata(path).is_ok_and(|found| found.dev() == device);
    let place: PathBuf = beside.filter(on).map(Path::to_owned).next()?;
    // Without a name, so that it goes with this process whatever happens.
    let mut file = tempfile::tempfile_in(place).ok()?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < FLUSHES && began.elapsed() < FLUSHING {
        let one = Instant::now();
        file.write_all(&[0; 8_192]).ok()?;
        file.sync_data().ok()?;
        times.push(one.elapsed());
    }
    Spread::of(&times)
}

/// Where others than this machine come in without TLS.
fn plain(api: &Api) -> Option<String> {
    let host = api.listen.host.as_str();
    let own = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    (api.tls.is_none() && !own).then(|| api.listen.to_string())
}

fn certificate(api: &Api) -> Option<Paper> {
    let tls = api.tls.as_ref()?;
    match tls.objection(&api.address) {
        Err(error) => Some(Paper::Refused(error.to_string())),
        Ok(Some(why)) => Some(Paper::Refused(why)),
        Ok(None) => match tls.objection_in(&api.address, AHEAD) {
            Ok(why) => why.map(Paper::Expires),
            Err(error) => Some(Paper::Refused(error.to_string())),
        },
    }
}

/// Pairs of secrets with the same content; never the content. Of one role, it is one secret.
fn shared(config: &Config, token: Option<&str>) -> Vec<String> {
    let postgres = &config.postgres;
    let login = |key, login: &Login| (key, Some(login.user.clone()), login.password.clone());
    let mut secrets = vec![
        login("postgres.superuser", &postgres.superuser),
        login("postgres.replication", &postgres.replication),
        login("postgres.rewind", &postgres.rewind),
    ];
    secrets.extend(token.map(|token| ("api.token_file", None, token.to_owned())));
    let mut pairs = Vec::new();
    for (at, (key, user, secret)) in secrets.iter().enumerate() {
        for (other, other_user, other_secret) in &secrets[at + 1..] {
            if secret == other_secret && user != other_user {
                pairs.push(format!("{key} and {other}"));
            }
        }
    }
    pairs
}
