//! Members of the real Patroni in the places of a playground: its ports, directories and secrets. Never an agent
//! of ours.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use haa_core::units::MemberName;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::fixture::{Cluster, name};
use crate::support::become_postgres;

/// It looks around every two seconds, and its programs take a second to begin.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Patroni's processes, as long as this value lives.
pub(super) struct Patroni {
    programs: PathBuf,
    running: BTreeMap<MemberName, Child>,
}

/// Where `make migration` puts it, if the servers' user can run it; else why not.
pub(super) fn found() -> Result<PathBuf, String> {
    become_postgres();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/patroni/bin");
    let ran = Command::new(programs.join("patroni")).arg("--version").output();
    match ran {
        Ok(ran) if ran.status.success() => Ok(programs),
        Ok(ran) => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        Err(error) => Err(format!("{}: {error}; make migration fetches it", programs.display())),
    }
}

/// A member's own directory.
pub(super) fn home(cluster: &Cluster, member: &MemberName) -> PathBuf {
    cluster.playground.directory().join(member.as_str())
}

/// A member's patroni.yml, as an operator would write it.
pub(super) fn write_configuration(cluster: &Cluster, member: &MemberName) -> PathBuf {
    let secret = |role: &str| {
        let path = cluster.playground.directory().join("secrets").join(role);
        std::fs::read_to_string(path).expect("a password").trim().to_owned()
    };
    let etcd = cluster.playground.etcd_endpoint();
    let text = include_str!("patroni.yml")
        .replace("NAME", member.as_str())
        .replace("API", &cluster.playground.api(member).to_string())
        .replace("ETCD", etcd.trim_start_matches("http://"))
        .replace("POSTGRES", &cluster.playground.postgres(member).to_string())
        .replace("BIN", &cluster.postgres_program("").display().to_string())
        .replace("HOME", &home(cluster, member).display().to_string())
        .replace("SUPERUSER", &secret("superuser"))
        .replace("REPLICATION", &secret("replication"))
        .replace("REWIND", &secret("rewind"));
    let path = home(cluster, member).join("patroni.yml");
    std::fs::write(&path, text).expect("written");
    path
}

impl Patroni {
    pub(super) fn new(programs: PathBuf) -> Self {
        Self { programs, running: BTreeMap::new() }
    }

    fn program(&self, program: &str, cluster: &Cluster) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // libpq looks for certificates at home, and root's is none that it may look into.
        command.env("HOME", cluster.playground.directory()).stdin(Stdio::null());
        command
    }

    /// systemctl start patroni.
    pub(super) fn start(&mut self, cluster: &Cluster, member: &MemberName) {
        let home = home(cluster, member);
        let log = File::options().create(true).append(true).open(home.join("patroni.log"));
        let log = log.expect("a log");
        let child = self
            .program("patroni", cluster)
            .arg(home.join("patroni.yml"))
            .stdout(log.try_clone().expect("twice"))
            .stderr(log)
            .spawn();
        self.running.insert(member.clone(), child.expect("Patroni starts"));
    }

    /// systemctl stop patroni.
    pub(super) fn stop(&mut self, member: &MemberName) {
        let mut child = self.running.remove(member).expect("it runs");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("our own");
        child.wait().expect("it ends");
    }

    /// patronictl -c patroni.yml, as the page has it: what it prints.
    pub(super) fn ctl(&self, cluster: &Cluster, arguments: &[&str]) -> String {
        let ran = self
            .program("patronictl", cluster)
            .arg("-c")
            .arg(home(cluster, &name("n1")).join("patroni.yml"))
            .args(arguments)
            .output()
            .expect("patronictl runs");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{arguments:?}: {said}{:?}", ran.stderr);
        said
    }

    /// Waits until `patronictl list` shows so many replicas that stream.
    pub(super) async fn all_stream(&self, cluster: &Cluster, replicas: usize) {
        let began = Instant::now();
        loop {
            let list = self.ctl(cluster, &["list", "--format", "json"]);
            if list.matches(r#""State": "streaming""#).count() == replicas
                && list.contains(r#""Role": "Leader""#)
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{list}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        // Before the playground ends the servers, or Patroni would start them again.
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
