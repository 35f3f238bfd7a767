//! What `deploy/` ships for real proxies, in front of a real cluster: its primary's Postgres is killed under writers.
//! Only addresses and paths are changed in those files. Times are printed, never asserted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::Address;

use super::fixture::{Cluster, LONG};
use super::pooled::{free, pgbouncer_file};

const HAPROXY: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");
const NGINX: &str = include_str!("../../../deploy/nginx/haa.stream.conf");
const NGINX_JS: &str = include_str!("../../../deploy/nginx/haa.js");

/// A proxy of this test; it goes with it.
pub(super) struct Proxy {
    child: Child,
    log: PathBuf,
    pub(super) write: Address,
    read: Option<Address>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(0));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        drop(self.child.wait());
    }
}

/// What is shipped, with `from` changed to `to`; each must be there.
pub(super) fn with(shipped: &str, changes: &[(&str, String)]) -> String {
    let mut text = shipped.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "'{from}' is in what is shipped");
        text = text.replace(from, to);
    }
    text
}

impl Proxy {
    fn start(
        mut command: Command,
        directory: &Path,
        addresses: (Address, Option<Address>),
    ) -> Self {
        let log = directory.join("proxy.log");
        let output = std::fs::File::create(&log).expect("a temporary file");
        let errors = output.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().expect("the proxy is installed: make install-test-deps");
        Self { child, log, write: addresses.0, read: addresses.1 }
    }

    fn haproxy(cluster: &Cluster, directory: &Path) -> Self {
        let (write, read) = (free(), free());
        let mut text =
            with(HAPROXY, &[("*:5000", write.to_string()), ("*:5001", read.to_string())]);
        for (number, member) in cluster.playground.names().iter().enumerate() {
            let server = format!("10.0.0.{}:5432 check port 8008", number + 1);
            let (at, api) = (cluster.playground.postgres(member), cluster.playground.api(member));
            text = with(&text, &[(&server, format!("{at} check port {}", api.port))]);
        }
        let file = directory.join("haproxy.cfg");
        std::fs::write(&file, text).expect("a temporary file");
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(file);
        Self::start(command, directory, (write, Some(read)))
    }

    fn nginx(cluster: &Cluster, directory: &Path) -> Self {
        let (write, read) = (free(), free());
        let script = directory.join("haa.js");
        let mut agents = NGINX_JS.to_owned();
        for (number, member) in cluster.playground.names().iter().enumerate() {
            let agent = format!("http://10.0.0.{}:8008", number + 1);
            let api = format!("http://{}", cluster.playground.api(member));
            agents = with(&agents, &[(&agent, api)]);
        }
        std::fs::write(&script, agents).expect("a temporary file");
        let stream = with(
            NGINX,
            &[
                ("/etc/nginx/haa.js", script.display().to_string()),
                ("listen 5000 ", format!("listen {write} ")),
                ("listen 5001 ", format!("listen {read} ")),
            ],
        );
        let modules = "/usr/lib/nginx/modules";
        let modules = format!(
            "load_module {modules}/ngx_stream_module.so;\nload_module {modules}/ngx_stream_js_module.so;\n"
        );
        Self::start_nginx(directory, (&modules, &stream), (write, Some(read)))
    }

    /// nginx with its modules and what it is to serve.
    pub(super) fn start_nginx(
        directory: &Path,
        (modules, serves): (&str, &str),
        addresses: (Address, Option<Address>),
    ) -> Self {
        let main = format!(
            "{modules}daemon off;\npid {}/pid;\nerror_log stderr;\nevents {{}}\n{serves}",
            directory.display(),
        );
        let file = directory.join("nginx.conf");
        std::fs::write(&file, main).expect("a temporary file");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(directory).arg("-c").arg(file).args(["-e", "stderr"]);
        Self::start(command, directory, addresses)
    }

    /// Before another proxy.
    fn pgbouncer(cluster: &Cluster, directory: &Path, to: &Address) -> Self {
        let write = free();
        let member = cluster.playground.names().swap_remove(0);
        let secret = std::fs::read_to_string(cluster.password_file(&member, "superuser"));
        let secret = secret.expect("the password is there");
        let file = pgbouncer_file(directory, (&write, to), secret.trim());
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg(file);
        Self::start(command, directory, (write, None))
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Clients that write through a proxy, each with one row a transaction, until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<(Instant, i64)>>>,
}

impl Writers {
    fn start(cluster: &Cluster, at: &Address) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicI64::new(1_000));
        let config = cluster.playground.superuser(at).expect("the password is there");
        let tasks = (0..4).map(|_| {
            let (stop, next, config) = (stop.clone(), next.clone(), config.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let connected = config.connect(tokio_postgres::NoTls);
                    let Ok(Ok((client, connection))) =
                        tokio::time::timeout(Duration::from_secs(15), connected).await
                    else {
                        continue;
                    };
                    let connection = tokio::spawn(connection);
                    while !stop.load(Ordering::Relaxed) {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        // No prepared statement: a pool of transactions would not know it.
                        let sql = format!("INSERT INTO t VALUES ({id})");
                        let written = client.simple_query(&sql);
                        let written = tokio::time::timeout(Duration::from_secs(15), written).await;
                        let Ok(Ok(_)) = written else { break };
                        acknowledged.push((Instant::now(), id));
                    }
                    connection.abort();
                }
                acknowledged
            })
        });
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    /// Every acknowledged write, in order of time.
    async fn stop(self) -> Vec<(Instant, i64)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await.expect("a writer does not panic"));
        }
        all.sort();
        all
    }
}

/// Established TCP connections to a port of this machine.
fn connections_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let local = format!("0100007F:{port:04X}");
    let established = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let own = words.next() == Some(&local);
        own && words.nth(1) == Some("01")
    };
    table.lines().filter(established).count()
}

/// Kills the primary's postmaster under writers through `at`; nothing acknowledged is lost, and soon nobody talks to
/// the old one.
async fn kill_under(cluster: &Cluster, what: &str, proxy: &Proxy) {
    let writers = Writers::start(cluster, &proxy.write);
    let rows = async || {
        let client = cluster.connect(&cluster.playground.postgres(&cluster.primary().await)).await;
        let row = client.ok()?.query_one("SELECT count(*) FROM t", &[]).await.ok()?;
        Some(row.get::<_, i64>(0))
    };
    let more_than = async |count: i64| {
        let began = Instant::now();
        while rows().await.is_none_or(|rows| rows <= count) {
            assert!(began.elapsed() < LONG, "no writes get through {what}:\n{}", proxy.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    more_than(200).await;
    let old = cluster.primary().await;
    let port = cluster.playground.postgres(&old).port;
    cluster.playground.kill(&old, Part::Postgres).expect("it was running");
    let killed = Instant::now();
    while cluster.primary().await == old {
        assert!(killed.elapsed() < LONG, "nobody takes over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = rows().await.unwrap_or_default();
    more_than(before + 200).await;
    while connections_to(port) > 0 {
        assert!(killed.elapsed() < LONG, "somebody still talks to the old primary");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left_alone = killed.elapsed();
    let acknowledged = writers.stop().await;
    let pairs = acknowledged.windows(2).filter(|pair| pair[1].0 > killed);
    let outage = pairs.map(|pair| pair[1].0 - pair[0].0).max().expect("writes went on");
    println!("{what}: killed under writers, {outage:?} without an acknowledged write");
    println!("{what}: nobody talks to the old primary after at most {left_alone:?}");
    let client = cluster.connect(&cluster.playground.postgres(&cluster.primary().await)).await;
    let there = client.expect("it accepts").query("SELECT id FROM t", &[]).await.expect("a table");
    let there: std::collections::BTreeSet<i64> = there.iter().map(|row| row.get(0)).collect();
    let lost = acknowledged.iter().filter(|(_, id)| !there.contains(id)).count();
    println!("{what}: {} writes acknowledged, {lost} of them lost", acknowledged.len());
    assert_eq!(lost, 0);
}

/// Whoever reads through it reads from a replica, once it has asked: HAProxy takes every server for up before.
async fn reads(cluster: &Cluster, what: &str, proxy: &Proxy) {
    let at = proxy.read.as_ref().expect("it has a port for readers");
    let began = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 20 {
        let from_replica = match cluster.connect(at).await {
            Ok(client) => client.query_one("SELECT pg_is_in_recovery()", &[]).await,
            Err(error) => Err(error),
        };
        let from_replica = from_replica.is_ok_and(|row| row.get(0));
        in_a_row = if from_replica { in_a_row + 1 } else { 0 };
        assert!(began.elapsed() < LONG, "{what} does not read from replicas:\n{}", proxy.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("haa-proxy-").tempdir_in("/tmp").expect("a directory")
}

/// A proxy before a cluster: readers are led to replicas, and writers outlive their primary.
async fn before_a_cluster(what: &str, start: fn(&Cluster, &Path) -> Proxy) {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let home = directory();
    let proxy = start(&cluster, home.path());
    reads(&cluster, what, &proxy).await;
    kill_under(&cluster, what, &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_haproxy_lose_nothing_when_the_primary_dies() {
    before_a_cluster("HAProxy", Proxy::haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_nginx_lose_nothing_when_the_primary_dies() {
    before_a_cluster("nginx", Proxy::nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_pgbouncer_lose_nothing_when_the_primary_dies() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let (home, pool) = (directory(), directory());
    let proxy = Proxy::haproxy(&cluster, home.path());
    let bouncer = Proxy::pgbouncer(&cluster, pool.path(), &proxy.write);
    kill_under(&cluster, "PgBouncer before HAProxy", &bouncer).await;
}
