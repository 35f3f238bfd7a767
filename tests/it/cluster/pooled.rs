//! A cluster behind a real PgBouncer that its agents know. Tests nothing itself.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use haa::playground::ports;
use haa_core::units::{Address, MemberName};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio_postgres::NoTls;

use super::fixture::Cluster;
use super::proxies::with;
use super::secured::Papers;

const PGBOUNCER: &str = include_str!("../../../deploy/pgbouncer/pgbouncer.ini");

pub(super) fn free() -> Address {
    Address { host: "127.0.0.1".to_owned(), port: ports::claim().expect("a free port") }
}

/// A program of this test; it goes with it.
pub(super) struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("it is installed: make install-test-deps"))
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Waits for its end: whether it went well, and all that it said.
    pub(super) fn ended(mut self) -> (bool, String) {
        let ended = self.0.wait().expect("it ends");
        let mut said = String::new();
        let out = self.0.stdout.take().map(|mut out| out.read_to_string(&mut said));
        let errors = self.0.stderr.take().map(|mut errors| errors.read_to_string(&mut said));
        drop((out, errors));
        (ended.success(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Three voters, and a PgBouncer before the router of one of them that all of them know, and speak TLS with.
pub(super) struct Pooled {
    pub(super) cluster: Cluster,
    pub(super) bouncer: Program,
    pub(super) at: Address,
    secret: String,
    _directory: tempfile::TempDir,
}

impl Pooled {
    /// `more`: of `[pgbouncer]`; `beside`: another console.
    pub(super) async fn start(more: &str, beside: Option<&Address>) -> Self {
        let mut cluster = Cluster::prepare(|options| options.routers());
        let (at, names) = (free(), cluster.playground.names());
        let file = cluster.password_file(&names[0], "superuser");
        let directory = tempfile::Builder::new().prefix("haa-pool-").tempdir_in("/tmp");
        let directory = directory.expect("a directory");
        let papers = Papers::issue(directory.path(), "pgbouncer");
        let more = format!("ca_file = \"{}\"\n{more}", papers.ca.display());
        let consoles: Vec<String> =
            [Some(&at), beside].into_iter().flatten().map(|a| format!("\"{a}\"")).collect();
        for member in &names {
            cluster.edit(member, |text| {
                let (consoles, file) = (consoles.join(", "), file.display());
                format!("{text}\n[pgbouncer]\nconsoles = [{consoles}]\npassword_file = \"{file}\"\n{more}\n")
            });
        }
        let secret = std::fs::read_to_string(&file).expect("it is there").trim().to_owned();
        let router = cluster.playground.router(&names[0]).expect("it has one").0;
        let file = pgbouncer_file(directory.path(), (&at, &router), &secret);
        encrypt(&file, &papers);
        also_leads_to_each(&file, &cluster);
        let bouncer = Program::start(Command::new("/usr/sbin/pgbouncer").arg("-q").arg(file));
        cluster.playground.start_all().await.expect("everything starts");
        cluster.all_stream().await;
        cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY)").await;
        cluster.all_vote().await;
        Self { cluster, bouncer, at, secret, _directory: directory }
    }

    /// A client of the pool.
    pub(super) async fn client(&self) -> tokio_postgres::Client {
        self.session("postgres", "postgres").await
    }

    pub(super) async fn session(&self, user: &str, database: &str) -> tokio_postgres::Client {
        let mut config = self.cluster.playground.superuser(&self.at).expect("a password");
        config.user(user).dbname(database);
        let (client, connection) = config.connect(NoTls).await.expect("PgBouncer takes it");
        tokio::spawn(connection);
        client
    }

    /// Asks for it, and says what came of it.
    pub(super) async fn switchover(&self, target: &MemberName) -> (u16, String) {
        let body = json!({ "candidate": target });
        self.cluster.playground.http_post(target, "/switchover", &body).await.expect("an answer")
    }

    /// pgbench through the pool, until it is told to end.
    pub(super) fn pgbench(&self, more: &[&str]) -> Program {
        let mut command = Command::new(self.cluster.postgres_program("pgbench"));
        command.args(["-h", &self.at.host, "-p", &self.at.port.to_string(), "-U", "postgres"]);
        Program::start(command.args(more).arg("postgres").env("PGPASSWORD", &self.secret))
    }
}

/// And to each member's Postgres, whatever it is, as `to_n1`.
fn also_leads_to_each(file: &Path, cluster: &Cluster) {
    let ways = cluster.playground.names().into_iter().map(|name| {
        let Address { host, port } = cluster.playground.postgres(&name);
        format!("to_{name} = host={host} port={port} dbname=postgres\n")
    });
    let ways: String = ways.collect();
    let text = std::fs::read_to_string(file).expect("a file");
    let text = with(&text, &[("[databases]\n", format!("[databases]\n{ways}"))]);
    std::fs::write(file, text).expect("a file");
}

/// Its configuration as it is shipped, listening there and leading to the other, with users that have this password.
pub(super) fn pgbouncer_file(home: &Path, (at, to): (&Address, &Address), secret: &str) -> PathBuf {
    let here = home.display().to_string();
    let users = format!("\"postgres\" \"{secret}\"\n\"pgbouncer\" \"{secret}\"\n");
    std::fs::write(home.join("userlist.txt"), users).expect("a file");
    let text = with(
        PGBOUNCER,
        &[
            ("host=127.0.0.1 port=5000", format!("host={} port={}", to.host, to.port)),
            ("listen_addr = *", format!("listen_addr = {}", at.host)),
            ("listen_port = 6432", format!("listen_port = {}", at.port)),
            ("/etc/pgbouncer", here.clone()),
            ("/var/log/postgresql", here.clone()),
            ("/var/run/postgresql", here),
        ],
    );
    let file = home.join("pgbouncer.ini");
    std::fs::write(&file, text).expect("a file");
    file
}

/// It speaks TLS with whoever asks for it.
fn encrypt(file: &Path, papers: &Papers) {
    let (certificate, key) = (papers.certificate.display(), papers.key.display());
    let text = std::fs::read_to_string(file).expect("it was written");
    let tls = format!(
        "[pgbouncer]\nclient_tls_sslmode = allow\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n"
    );
    let text = with(&text, &[("[pgbouncer]\n", tls)]);
    std::fs::write(file, text).expect("a file");
}
