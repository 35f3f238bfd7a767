//! A cluster of this test, and clients that write to it and count what was acknowledged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use haa::playground::{Options, Playground};
use haa_core::records::SyncRecord;
use haa_core::units::{Address, MemberName};

use crate::{support, trials};

/// Longer than anything here takes on a slow machine; no test waits it out unless something is wrong.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// A playground that goes with the test.
pub(crate) struct Cluster {
    pub(crate) playground: Playground,
    // Declared after the playground: its processes end before their directory goes.
    _directory: tempfile::TempDir,
}

pub(crate) fn name(text: &str) -> MemberName {
    text.parse().expect("a legal name")
}

/// `haad run` or `haad check`, until it ends by itself: its exit code, and all that it said.
pub(crate) fn haad(verb: &str, config: &Path) -> (i32, String) {
    let ran = Command::new(support::programs().join("haad"))
        .args([verb, "--config"])
        .arg(config)
        .output()
        .expect("haad can be run");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

impl Cluster {
    /// Files only; nothing runs.
    pub(crate) fn prepare(adapt: impl FnOnce(Options) -> Options) -> Self {
        let programs = support::programs();
        let directory = tempfile::Builder::new().prefix("haa-it-").tempdir_in("/tmp");
        let directory = directory.expect("a temporary directory");
        let mut options = Options::new(directory.path().join("c"), programs.join("haad"));
        if let Some(binaries) = trials::asked_for() {
            let binaries = binaries.display().to_string();
            options = options.extra(toml::toml! { postgres.bin_directory = binaries });
        }
        let playground = Playground::create(adapt(options)).expect("a playground");
        support::goes_with_us(playground.directory());
        Self { playground, _directory: directory }
    }

    /// Three members, one primary, two streaming replicas, and a table `t`.
    pub(crate) async fn start() -> Self {
        Self::start_with(|options| options).await
    }

    pub(crate) async fn start_with(adapt: impl FnOnce(Options) -> Options) -> Self {
        let mut cluster = Self::prepare(adapt);
        let began = Instant::now();
        cluster.playground.start_all().await.expect("everything starts");
        cluster.all_stream().await;
        println!("three members stream after {:?}", began.elapsed());
        cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
        cluster
    }

    /// Three members that vote, and of them the primary and a replica.
    pub(crate) async fn start_voting() -> (Self, MemberName, MemberName) {
        let cluster = Self::start().await;
        cluster.all_vote().await;
        let primary = cluster.primary().await;
        let replica = cluster.other_than(&primary);
        (cluster, primary, replica)
    }

    /// Waits until there is a primary and every other member streams from it.
    pub(crate) async fn all_stream(&self) {
        let others = self.playground.names().len() - 1;
        self.playground.wait_streaming(others, LONG).await.expect("all replicas stream");
    }

    /// Waits until every member may lead, as etcd has it: who streams for a moment only does not yet.
    pub(crate) async fn all_may_lead(&self) {
        let endpoint = self.playground.etcd_endpoint();
        let mut etcd = etcd_client::Client::connect([endpoint], None).await.expect("etcd answers");
        let began = Instant::now();
        loop {
            let answer = etcd.get("/haa/playground/sync", None).await.expect("etcd answers");
            let value = answer.kvs().first().map_or(&[][..], |kept| kept.value());
            let sync = serde_json::from_slice::<SyncRecord>(value);
            let listed =
                |name: &MemberName| sync.as_ref().is_ok_and(|sync| sync.members.contains_key(name));
            if self.playground.names().iter().all(listed) {
                return;
            }
            assert!(began.elapsed() < LONG, "not everybody may lead: {sync:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every replica is a voter, as etcd has it.
    pub(crate) async fn all_vote(&self) {
        let began = Instant::now();
        let primary = self.primary().await;
        for member in self.playground.names().into_iter().filter(|name| *name != primary) {
            while !matches!(self.playground.http_get(&member, "/sync").await, Ok((200, _))) {
                assert!(began.elapsed() < LONG, "{member} does not become a voter");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    pub(crate) async fn primary(&self) -> MemberName {
        self.playground.wait_for_primary(LONG).await.expect("a primary")
    }

    /// Waits until another one than this leads.
    pub(crate) async fn another_leads(&self, old: &MemberName) {
        let began = Instant::now();
        while self.primary().await == *old {
            assert!(began.elapsed() < LONG, "{old} leads on, or nobody takes over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Any member but this one.
    pub(crate) fn other_than(&self, member: &MemberName) -> MemberName {
        let mut names = self.playground.names().into_iter();
        names.find(|name| name != member).expect("there are others")
    }

    pub(crate) async fn connect(
        &self,
        at: &Address,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let config = self.playground.superuser(at).expect("the password is there");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// On the primary, once.
    pub(crate) async fn execute(&self, sql: &str) {
        let primary = self.primary().await;
        let client = self.connect(&self.playground.postgres(&primary)).await;
        client.expect("the primary accepts connections").batch_execute(sql).await.expect("it runs");
    }

    /// Where any member says that writes go.
    pub(crate) async fn route(&self) -> Option<Address> {
        for member in self.playground.names() {
            let answer = self.playground.http_get(&member, "/routes/primary?format=hostport").await;
            if let Ok((200, text)) = answer
                && let Ok(address) = text.trim().parse()
            {
                return Some(address);
            }
        }
        None
    }

    /// Asks for the route and writes `id`, again and again until a write is acknowledged.
    pub(crate) async fn write_until_acknowledged(&self, id: i64) -> Duration {
        // One that was not acknowledged may be there. Whoever finds it writes it anew: without a commit of its own it
        // would be acknowledged though nobody else may have it.
        let write = "INSERT INTO t VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = excluded.id";
        let began = Instant::now();
        while began.elapsed() < LONG {
            if let Some(at) = self.route().await
                && let Ok(Ok(client)) =
                    tokio::time::timeout(Duration::from_millis(500), self.connect(&at)).await
                && client.execute(write, &[&id]).await.is_ok()
            {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("nobody acknowledged a write in {LONG:?}");
    }

    /// Rows of `t` on one member, if it answers and has replayed the table.
    async fn count(&self, member: &MemberName) -> Option<i64> {
        let client = self.connect(&self.playground.postgres(member)).await.ok()?;
        let row = client.query_one("SELECT count(*) FROM t", &[]).await.ok()?;
        Some(row.get(0))
    }

    /// Waits until a member has exactly so many rows.
    pub(crate) async fn has_rows(&self, member: &MemberName, rows: i64) {
        let began = Instant::now();
        loop {
            let count = self.count(member).await;
            if count == Some(rows) {
                return;
            }
            assert!(began.elapsed() < LONG, "{member} has {count:?} rows instead of {rows}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many members are out of recovery at this moment, as they say themselves.
    pub(crate) async fn writable(&self) -> Vec<MemberName> {
        let mut writable = Vec::new();
        for member in self.playground.names() {
            let Ok(client) = self.connect(&self.playground.postgres(&member)).await else {
                continue;
            };
            let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await;
            if row.is_ok_and(|row| !row.get::<_, bool>(0)) {
                writable.push(member);
            }
        }
        writable
    }

    /// haactl, as an operator of this cluster runs it: its exit code, and all that it said.
    pub(crate) fn haactl(&self, arguments: &[&str]) -> (i32, String) {
        self.haactl_with(arguments, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn haactl_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> (i32, String) {
        let ran = Command::new(support::programs().join("haactl"))
            .arg("--client-file")
            .arg(self.playground.client_file())
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .expect("haactl can be run");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// Waits until a member's Postgres shows this value of a setting.
    pub(crate) async fn until_shown(&self, member: &MemberName, setting: &str, value: &str) {
        let client = self.connect(&self.playground.postgres(member)).await.expect("it accepts");
        let began = Instant::now();
        loop {
            let row = client.query_one(&format!("SHOW {setting}"), &[]).await.expect("it answers");
            let shown: String = row.get(0);
            if shown == value {
                return;
            }
            assert!(began.elapsed() < LONG, "{member} shows {setting} = {shown}, not {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a member's agent has ended.
    pub(crate) async fn agent_is_gone(&self, member: &MemberName) {
        let began = Instant::now();
        while self.playground.agent(member).expect("a member").is_some() {
            assert!(began.elapsed() < LONG, "the agent of {member} does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a member's agent says this in its log.
    pub(crate) async fn says(&self, member: &MemberName, text: &str) {
        let began = Instant::now();
        loop {
            let log = self.log(member);
            if log.contains(text) {
                return;
            }
            assert!(began.elapsed() < LONG, "{member} never says '{text}':\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A program of the Postgres that the agents use.
    pub(crate) fn postgres_program(&self, program: &str) -> PathBuf {
        trials::usual().join(program)
    }

    /// The password file that a member's configuration names for a role.
    pub(crate) fn password_file(&self, member: &MemberName, role: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.playground.config(member)).expect("it is there");
        let table: toml::Table = text.parse().expect("it is TOML");
        let file = table["postgres"][role]["password_file"].as_str();
        file.expect("every role has a password file").into()
    }

    /// Changes a member's configuration.
    pub(crate) fn edit(&self, member: &MemberName, adapt: impl FnOnce(String) -> String) {
        let path = self.playground.config(member);
        let text = std::fs::read_to_string(&path).expect("it has a configuration");
        std::fs::write(&path, adapt(text)).expect("it can be written");
    }

    /// What a member's agent has logged.
    pub(crate) fn log(&self, member: &MemberName) -> String {
        std::fs::read_to_string(self.playground.log(member)).unwrap_or_default()
    }
}

/// Prints the p50, p99 and largest of some times.
pub(crate) fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what}: p50 {:?} p99 {:?} max {:?} over {} runs",
        at(50),
        at(99),
        times[times.len() - 1],
        times.len()
    );
}
