//! One host: an address, a namespace, a control group, and programs started there as `postgres`. Knows nothing of
//! what the programs are.

use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use haa::playground::Process;

use super::cgroup::Group;

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its short name: n1, e1, clients.
    pub name: String,
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    /// The name of its network namespace.
    pub space: String,
    /// Its System V shared memory, which must not outlive it.
    pub ipc: PathBuf,
    /// All that runs on it.
    pub group: Group,
    /// Its own directory.
    pub home: PathBuf,
}

/// A program to be started on a host.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// More variables for it.
    pub variables: Vec<(String, String)>,
    /// What it says is appended here.
    pub log: PathBuf,
    /// As whom.
    pub user: (u32, u32),
}

/// Enters the group first, then becomes the program step by step: the number stays the same.
const ENTER: &str = r#"echo $$ >"$0" && exec "$@""#;

impl Host {
    /// Starts a program in a session of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, launch: &Launch<'_>) -> anyhow::Result<Process> {
        let tell = || format!("cannot start {} on {}", launch.program.display(), self.name);
        let log = OpenOptions::new().create(true).append(true).open(&launch.log);
        let log = log.with_context(|| format!("cannot open {}", launch.log.display()))?;
        let (uid, gid) = launch.user;
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", ENTER]).arg(self.group.door());
        command.args(["nsenter", &format!("--net=/run/netns/{}", self.space)]);
        command.arg(format!("--ipc={}", self.ipc.display()));
        command.args(["setpriv", &format!("--reuid={uid}"), &format!("--regid={gid}")]);
        command.args(["--clear-groups", "--"]);
        if !launch.variables.is_empty() {
            // By `env`, so that the programs on the way there do not see them.
            let variables = launch.variables.iter().map(|(name, value)| format!("{name}={value}"));
            command.arg("env").args(variables);
        }
        command.arg(launch.program).args(&launch.arguments);
        command.current_dir("/").stdin(Stdio::null());
        let copy = log.try_clone().with_context(tell)?;
        let mut child = command.stdout(log).stderr(copy).spawn().with_context(tell)?;
        let pid = i32::try_from(child.id()).with_context(tell)?;
        let process = Process::find(pid);
        // Collects it when it ends; it outlives us if we end first.
        std::thread::spawn(move || child.wait());
        process.with_context(tell)
    }

    /// Its namespace, open: a thread that enters it makes sockets there.
    ///
    /// # Errors
    /// When it is gone.
    pub fn namespace(&self) -> anyhow::Result<File> {
        let path = Path::new("/run/netns").join(&self.space);
        File::open(&path).with_context(|| format!("cannot open {}", path.display()))
    }
}
