//! One member's Postgres in a temporary directory, driven as the agent drives it. Never an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use haa::agent::clock;
use haa::config::{self, Login};
use haa::playground::ports;
use haa::postgres::{Gates, Postgres};
use haa_core::discard::Discarded;
use haa_core::effect::{Job, Source};
use haa_core::input::{Input, JobResult};
use haa_core::lease::{Leadership, Lease};
use haa_core::list::List;
use haa_core::observe::{DataDir, Door, PostgresFacts, Primary, Server, Standby};
use haa_core::settings::Timing;
use haa_core::units::{Address, Incarnation, JobId, LeaseId, MemberName, Millis, Term, Timeline};
use tokio::sync::mpsc;

use crate::support::goes_with_us;
use crate::trials::usual;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A commit that waits for replicas, if any does.
const COMMIT: &str = "SELECT pg_logical_emit_message(true, 'it', '')";

pub(crate) struct Member {
    pub(crate) name: MemberName,
    pub(crate) config: config::Postgres,
    pub(crate) state: PathBuf,
    pub(crate) postgres: Option<Postgres>,
    /// What it was heard to discard.
    pub(crate) discarded: Vec<Discarded>,
    inputs: mpsc::Receiver<Input>,
    next: u64,
}

pub(crate) fn free_port() -> u16 {
    ports::claim().expect("a free port")
}

fn login(user: &str, password: &str) -> Login {
    Login { user: user.to_owned(), password: password.to_owned() }
}

impl Member {
    pub(crate) fn new(name: &str, root: &Path) -> Self {
        Self::of(name, root, &usual())
    }

    /// A member with these server binaries.
    pub(crate) fn of(name: &str, root: &Path, binaries: &Path) -> Self {
        let address = Address { host: "127.0.0.1".to_owned(), port: free_port() };
        let home = root.join(name);
        goes_with_us(root);
        std::fs::create_dir_all(&home).expect("a temporary directory");
        let config = config::Postgres {
            data_directory: home.join("data"),
            bin_directory: binaries.to_owned(),
            listen: address.clone(),
            address,
            socket_directory: home.join("run"),
            include: None,
            parameters: BTreeMap::from([("shared_buffers".to_owned(), "8MB".to_owned())]),
            restore_command: None,
            cluster: "it".to_owned(),
            cloning: config::Cloning::default(),
            bootstrap: config::Bootstrap::default(),
            shared_parameters: BTreeMap::new(),
            receiver_timeout: Timing::default().receiver_timeout(),
            hba: vec!["host all all 127.0.0.1/32 scram-sha-256".to_owned()],
            superuser: login("postgres", "super'secret:\\"),
            replication: login("haa_replication", "repl'icated:\\ x"),
            rewind: login("haa_rewind", "rewound"),
        };
        Self::with(name, config, home.join("state"))
    }

    pub(crate) fn with(name: &str, config: config::Postgres, state: PathBuf) -> Self {
        let name: MemberName = name.parse().expect("a legal name");
        let (to, inputs) = mpsc::channel(1024);
        let postgres =
            Postgres::start(config.clone(), name.clone(), state.clone(), to, Gates::default());
        let postgres = Some(postgres.expect("Postgres can be looked after"));
        Self { name, config, state, postgres, discarded: Vec::new(), inputs, next: 1 }
    }

    pub(crate) fn source(&self) -> Source {
        Source { member: self.name.clone(), address: self.config.address.clone(), site: None }
    }

    pub(crate) fn hands(&self) -> &Postgres {
        self.postgres.as_ref().expect("not left yet")
    }

    /// Leaves Postgres alone; a second agent may take it over.
    pub(crate) async fn leave(&mut self) {
        self.postgres.take().expect("not left yet").leave().await;
    }

    /// The next agent of this member, with the configuration as it is now. Postgres is left alone.
    pub(crate) async fn again(&mut self) {
        self.leave().await;
        let next = Self::with(self.name.as_str(), self.config.clone(), self.state.clone());
        // Dropped, a member ends its Postgres.
        std::mem::forget(std::mem::replace(self, next));
    }

    pub(crate) fn begin(&mut self, job: Job) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        self.hands().job(id, job);
        id
    }

    pub(crate) async fn end_of(&mut self, id: JobId) -> JobResult {
        loop {
            if let Input::Job(ended, result) = self.input().await
                && ended == id
            {
                return result;
            }
        }
    }

    pub(crate) async fn job(&mut self, job: Job) -> JobResult {
        let id = self.begin(job);
        self.end_of(id).await
    }

    pub(crate) async fn done(&mut self, job: Job) {
        let shown = format!("{job:?}");
        assert_eq!(self.job(job).await, JobResult::Done, "{shown}");
    }

    /// The sentence of a job that fails.
    pub(crate) async fn failed(&mut self, job: Job) -> String {
        match self.job(job).await {
            JobResult::Failed(why) => why,
            other => panic!("expected a failure: {other:?}"),
        }
    }

    pub(crate) async fn promote(&mut self, timeline: u32, slots: &[&Self]) -> JobResult {
        let slots: BTreeSet<MemberName> = slots.iter().map(|member| member.name.clone()).collect();
        let proof = leadership(clock::now());
        let timeline = Timeline(timeline);
        self.job(Job::Promote { proof, timeline, slots, list: None, door: Door::Open }).await
    }

    /// A standby of `source`, which has its slot.
    pub(crate) async fn join(&mut self, source: &mut Self) {
        self.done(Job::Clone(source.source())).await;
        self.done(Job::Start(Some(source.source()), Door::Open)).await;
        let name = self.name.clone();
        source.primary(|primary| primary.replicas.get(&name).is_some_and(|w| w.streaming)).await;
    }

    /// As a list names it.
    pub(crate) async fn listed(&mut self) -> (MemberName, Incarnation) {
        match self.facts(|_| true).await.data {
            DataDir::Present { incarnation, .. } => (self.name.clone(), incarnation),
            other => panic!("{other:?}"),
        }
    }

    /// Wishes for a list until a look says that it is effective.
    pub(crate) async fn list(&mut self, list: &List) -> Primary {
        self.hands().list(leadership(clock::now()), list.clone());
        self.primary(|primary| primary.effective.as_ref() == Some(list)).await
    }

    /// Waits until a commit returns.
    pub(crate) async fn commit(&self) {
        tokio::time::timeout(PATIENCE, self.sql(COMMIT)).await.expect("a commit returns");
    }

    /// Whether a commit returns, and is not seen waiting for replicas for longer than it would for one that streams.
    /// However long it takes to get there. The client stays.
    pub(crate) async fn commits(&self) -> bool {
        self.commits_without("wait_event = 'SyncRep'").await
    }

    /// Whether a commit returns, and is not seen for 400 ms in a wait that this condition on `pg_stat_activity` names.
    pub(crate) async fn commits_without(&self, wait: &str) -> bool {
        let client = self.client().await;
        let own = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("it answers");
        let pid: i32 = own.get(0);
        let mut commit = tokio::spawn(async move { client.batch_execute(COMMIT).await });
        let other = self.client().await;
        let waits = format!("SELECT FROM pg_stat_activity WHERE pid = {pid} AND {wait}");
        let (began, mut since) = (Instant::now(), None);
        loop {
            let seen = tokio::select! {
                done = &mut commit => return done.expect("not cancelled").is_ok(),
                seen = other.query_opt(&waits, &[]) => seen.expect("it answers").is_some(),
            };
            since = seen.then(|| since.unwrap_or_else(Instant::now));
            if since.is_some_and(|since| since.elapsed() >= Duration::from_millis(400)) {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "a commit neither returns nor waits");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The pid of the one backend of this type.
    pub(crate) async fn backend(&self, kind: &str) -> i32 {
        let question = format!("SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'");
        self.client().await.query_one(&question, &[]).await.expect("there is one").get(0)
    }

    pub(crate) async fn input(&mut self) -> Input {
        let input = tokio::time::timeout(PATIENCE, self.inputs.recv()).await;
        let input = input.expect("something happens in time").expect("the watcher lives");
        if let Input::Discarded(lost) = &input {
            self.discarded.push((**lost).clone());
        }
        input
    }

    /// Waits until it tells of something that it discarded, and takes that out.
    pub(crate) async fn discards(&mut self) -> Discarded {
        while self.discarded.is_empty() {
            self.input().await;
        }
        self.discarded.remove(0)
    }

    /// The first facts, of a look that begins from now on, that are as wanted.
    pub(crate) async fn facts(
        &mut self,
        mut wanted: impl FnMut(&PostgresFacts) -> bool,
    ) -> PostgresFacts {
        let now = clock::now();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        self.hands().look();
        let mut last = None;
        while tokio::time::Instant::now() < deadline {
            if let Input::Postgres(facts) = self.input().await {
                if facts.began_at >= now && wanted(&facts) {
                    return *facts;
                }
                last = Some(facts);
            }
        }
        panic!("not seen in time; last: {last:?}");
    }

    pub(crate) async fn standby(&mut self, wanted: impl Fn(&Standby) -> bool) -> Standby {
        let facts = self
            .facts(|facts| matches!(&facts.server, Server::Standby(standby) if wanted(standby)))
            .await;
        match facts.server {
            Server::Standby(standby) => standby,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn primary(&mut self, wanted: impl Fn(&Primary) -> bool) -> Primary {
        let facts = self
            .facts(|facts| matches!(&facts.server, Server::Primary(primary) if wanted(primary)))
            .await;
        match facts.server {
            Server::Primary(primary) => primary,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stopped(&mut self) -> PostgresFacts {
        self.facts(|facts| matches!(facts.server, Server::Stopped(_))).await
    }

    /// From nothing to a primary on `timeline`.
    pub(crate) async fn become_primary(&mut self, timeline: u32, slots: &[&Self]) {
        self.done(Job::InitDb).await;
        self.done(Job::Start(None, Door::Open)).await;
        self.standby(|standby| standby.detached).await;
        assert_eq!(self.promote(timeline, slots).await, JobResult::Done);
    }

    pub(crate) fn client_config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.config.listen.port).dbname("postgres");
        config.user(&self.config.superuser.user).password(&self.config.superuser.password);
        config
    }

    /// As a client would, over TCP.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        let connected = self.client_config().connect(tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("a client is let in");
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn sql(&self, text: &str) {
        self.client().await.batch_execute(text).await.expect("a legal statement");
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let question = format!("SELECT count(*) FROM {table}");
        self.client().await.query_one(&question, &[]).await.expect("a table").get(0)
    }

    /// From `postmaster.pid`.
    pub(crate) fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.config.data_directory.join("postmaster.pid"));
        text.expect("it runs").lines().next().expect("a line").parse().expect("a pid")
    }

    /// How many processes have the data directory as their working directory.
    pub(crate) fn processes(&self) -> usize {
        let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
        let here = |path: PathBuf| path == self.config.data_directory;
        // The kernel takes away a dying process' program before its directory: such a one runs nothing any more.
        let runs = |path: PathBuf| std::fs::read_link(path.join("exe")).is_ok();
        let inside = |path: PathBuf| std::fs::read_link(path.join("cwd")).is_ok_and(here);
        entries.filter(|entry| inside(entry.path()) && runs(entry.path())).count()
    }
}

/// Nothing that a test started outlives it, even one that failed.
impl Drop for Member {
    fn drop(&mut self) {
        drop(self.postgres.take());
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let cwd = std::fs::read_link(entry.path().join("cwd"));
            let ours = cwd.is_ok_and(|cwd| cwd.starts_with(&self.config.data_directory));
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (true, Some(pid)) = (ours, pid) {
                let _ = kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
    }
}

pub(crate) fn kill(pid: i32, signal: nix::sys::signal::Signal) -> nix::Result<()> {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)
}

/// A leadership that was confirmed at `asked_at`.
pub(crate) fn leadership(asked_at: Millis) -> Leadership {
    let timing = Timing::default();
    let lease = Lease::granted(LeaseId(1), asked_at, timing.ttl, timing);
    lease.leadership(Term(1), asked_at).expect("a fresh lease")
}
