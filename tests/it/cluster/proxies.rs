//! What `deploy/` ships for real proxies, in front of a real cluster: its primary is lost under writers, and nobody
//! goes on talking to it. Only addresses and paths are changed in those files. Times are printed, never asserted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::{Address, MemberName};
use rustix::process::Signal;

use super::fixture::{Cluster, LONG};
use super::pooled::{free, pgbouncer_file};
use super::sessions::Watch;
use super::writers::Writers;

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

/// What is tried, whom its clients talk to, and who leads to the servers.
type Ways<'a> = (&'a str, &'a Proxy, &'a Proxy);

/// What happens to a primary.
#[derive(Clone, Copy)]
enum Accident {
    /// Its postmaster is killed.
    Killed,
    /// Its agent stands still; the guard closes its Postgres when its leadership ends.
    Frozen,
    /// So does the guard: nobody is left who could close its Postgres.
    FrozenWithGuard,
}

impl Accident {
    fn happens(self, cluster: &Cluster, to: &MemberName) {
        let playground = &cluster.playground;
        match self {
            Self::Killed => playground.kill(to, Part::Postgres).expect("it was running"),
            Self::Frozen => playground.freeze_agent(to).expect("it runs"),
            Self::FrozenWithGuard => {
                let guard = playground.guard(to).expect("a member").expect("it has a guard");
                guard.signal(Signal::STOP).expect("it runs");
                playground.freeze_agent(to).expect("it runs");
            }
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Killed => "its Postgres killed",
            Self::Frozen => "its agent frozen",
            Self::FrozenWithGuard => "its agent and its guard frozen",
        }
    }
}

/// Waits until a member that is well leads to another primary.
async fn another_is_named(cluster: &Cluster, old: &MemberName) -> Instant {
    let (began, asked) = (Instant::now(), cluster.other_than(old));
    let at = cluster.playground.postgres(old).to_string();
    loop {
        let path = "/routes/primary?format=hostport";
        let answer = cluster.playground.http_get(&asked, path).await;
        if answer.is_ok_and(|(code, said)| code == 200 && said.trim() != at) {
            return Instant::now();
        }
        assert!(began.elapsed() < LONG, "nobody takes over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A primary is lost under writers through a proxy, and soon the one that leads to the servers has no session with it.
async fn loses(
    cluster: &Cluster,
    writers: &Writers,
    (what, _, back): Ways<'_>,
    accident: Accident,
) {
    writers.go_on(200).await;
    let old = cluster.primary().await;
    let at = cluster.playground.postgres(&old);
    let direct = cluster.connect(&at).await.expect("it accepts");
    // It asks nothing, and so gives up nothing: only a cut ends it.
    let rests = cluster.connect(&back.write).await.expect("it leads to the primary");
    let watch = Watch::begin(back.child.id(), &at);
    let began = Instant::now();
    accident.happens(cluster, &old);
    let named = another_is_named(cluster, &old).await - began;
    writers.go_on(200).await;
    let (outage, over) = writers.outage_since(began);
    let (asked, later) = (Instant::now(), over + Duration::from_secs(1));
    while watch.now() > 0 || Instant::now() < later {
        let says = || format!("{what} still talks to the old primary:\n{}", back.log());
        assert!(asked.elapsed() < LONG, "{}", says());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if let Accident::FrozenWithGuard = accident {
        direct.query_one("SELECT 1", &[]).await.expect("the deposed primary answers by itself");
    }
    drop(rests);
    writers.go_on(200).await;
    assert_eq!(watch.now(), 0, "{what} went back to the old primary");
    let (then, alone) = watch.end(later);
    println!(
        "{what}, {}: another is named after {named:?}, {outage:?} without an acknowledged write; \
         {then} sessions with the old one a second later, none since {:?} after the accident",
        accident.told(),
        alone.saturating_duration_since(began)
    );
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

/// A proxy before a cluster: readers are led to replicas, and writers outlive their primary, twice.
async fn before_a_cluster(what: &str, start: fn(&Cluster, &Path) -> Proxy, then: Accident) {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let home = directory();
    let proxy = start(&cluster, home.path());
    reads(&cluster, what, &proxy).await;
    outlives(&cluster, (what, &proxy, &proxy), then).await;
}

/// Nothing that was acknowledged is lost, and nobody goes on talking to who has led.
async fn outlives(cluster: &Cluster, ways: Ways<'_>, then: Accident) {
    let writers = Writers::start(cluster, &ways.1.write);
    loses(cluster, &writers, ways, Accident::Killed).await;
    cluster.all_stream().await;
    cluster.all_vote().await;
    loses(cluster, &writers, ways, then).await;
    println!("errors of {}'s clients: {}", ways.0, writers.end(cluster).await.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_haproxy_lose_nothing_when_the_primary_dies() {
    before_a_cluster("HAProxy", Proxy::haproxy, Accident::FrozenWithGuard).await;
}

/// nginx cuts nobody: the guard closes a Postgres whose agent stands still, and its sessions with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_nginx_lose_nothing_when_the_primary_dies() {
    before_a_cluster("nginx", Proxy::nginx, Accident::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_pgbouncer_lose_nothing_when_the_primary_dies() {
    let cluster = Cluster::start().await;
    cluster.all_vote().await;
    let (home, pool) = (directory(), directory());
    let proxy = Proxy::haproxy(&cluster, home.path());
    let bouncer = Proxy::pgbouncer(&cluster, pool.path(), &proxy.write);
    let ways = ("PgBouncer before HAProxy", &bouncer, &proxy);
    outlives(&cluster, ways, Accident::FrozenWithGuard).await;
}
