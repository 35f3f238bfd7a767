//! Processes of a playground: started in sessions of their own, and signalled only while they are provably the
//! ones that we mean. Never signals by name, and never a process that it cannot identify.

use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::error::PlaygroundError;

/// One process, for ever: a number that is used again has another start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

/// Who a process runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
}

/// What is to be started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; never a secret.
    pub arguments: Vec<String>,
    /// What it says is appended here.
    pub log: PathBuf,
    /// As whom; ourselves if not said.
    pub user: Option<User>,
}

/// The part of `/proc/PID/stat` that we need.
struct Stat {
    dead: bool,
    parent: i32,
    session: i32,
    started: u64,
}

impl Launch {
    /// Starts it in a session of its own: a Ctrl-C at our terminal does not reach it.
    ///
    /// # Errors
    /// When its log cannot be opened or it cannot be started.
    pub(super) fn spawn(&self) -> Result<Process, PlaygroundError> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(PlaygroundError::file("open", &self.log))?;
        let copy = log.try_clone().map_err(PlaygroundError::file("open", &self.log))?;
        let mut command = Command::new("setsid");
        command.arg(&self.program).args(&self.arguments).current_dir("/");
        command.stdin(Stdio::null()).stdout(log).stderr(copy);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let failed = |source| PlaygroundError::Spawn { program: self.program.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let started = stat(pid).map_or(0, |stat| stat.started);
        // Collects it when it ends; it outlives us if we end first.
        std::thread::spawn(move || child.wait());
        Ok(Process { pid, started })
    }
}

impl Process {
    /// The process of this number, if there is one.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        let stat = stat(pid).filter(|stat| !stat.dead)?;
        Some(Self { pid, started: stat.started })
    }

    /// Whether it still runs; a process that only waits to be collected does not.
    #[must_use]
    pub fn alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Sends a signal to exactly this process; one that has ended is left in peace.
    ///
    /// # Errors
    /// When we may not.
    pub fn signal(self, signal: Signal) -> Result<(), PlaygroundError> {
        let Some(handle) = self.handle() else { return Ok(()) };
        match pidfd_send_signal(handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(PlaygroundError::Signal { pid: self.pid, source: error.into() }),
        }
    }

    /// Waits until it has ended, its last thread included: until then its ports are taken. Says whether it has.
    #[must_use]
    pub fn wait_gone(self, at_most: Duration) -> bool {
        let Some(pid) = Pid::from_raw(self.pid) else { return true };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
        let end = Instant::now() + at_most;
        // A process whose first thread has ended looks dead and is still there.
        while stat(self.pid).is_some_and(|found| found.started == self.started) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let span = Timespec::try_from(left.max(Duration::from_millis(1))).ok();
            let mut wanted = [PollFd::new(&handle, PollFlags::IN)];
            if poll(&mut wanted, span.as_ref()).is_ok_and(|ready| ready > 0) {
                return true;
            }
        }
        true
    }

    /// Whether it runs as `haad guard`.
    pub(super) fn is_guard(self) -> bool {
        let said = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        said.split(|byte| *byte == 0).nth(1) == Some(b"guard")
    }

    /// A handle that cannot come to mean another process: opened first, compared afterwards.
    fn handle(self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.alive().then_some(handle)
    }

    /// What still lives of the session that it leads or led: itself and what it started, but for sessions of
    /// their own.
    #[must_use]
    pub fn session(self) -> Vec<Self> {
        if stat(self.pid).is_some_and(|leader| leader.started != self.started) {
            // Somebody else bears the number now; so the session had ended before.
            return Vec::new();
        }
        // A process that was started this instant has not left our session yet.
        let ours =
            |pid: &i32| *pid == self.pid || stat(*pid).is_some_and(|stat| stat.session == self.pid);
        all().filter(ours).filter_map(Self::find).collect()
    }
}

/// Every process of the Postgres whose data directory this is: each has it as its working directory. Where we may
/// not look at that (root in a container), the postmaster and its children, as long as it lives.
#[must_use]
pub fn postgres_of(data: &Path) -> Vec<Process> {
    let Ok(data) = data.canonicalize() else { return Vec::new() };
    let postmaster = postmaster_in(&data);
    let ours = |pid: &i32| {
        let inside = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
        let child = || postmaster.is_some() && stat(*pid).map(|stat| stat.parent) == postmaster;
        (inside && is_postgres(*pid)) || Some(*pid) == postmaster || child()
    };
    all().filter(ours).filter_map(Process::find).collect()
}

/// The postmaster, as its own file names it; only if that is a Postgres of this data directory.
#[must_use]
pub fn postmaster_of(data: &Path) -> Option<Process> {
    postmaster_in(&data.canonicalize().ok()?).and_then(Process::find)
}

/// The file can be old and its number somebody else's by now: a postmaster was started with this directory.
fn postmaster_in(data: &Path) -> Option<i32> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = file.lines().next()?.trim().parse().ok()?;
    let inside = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    let named = || {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let data = data.as_os_str().as_encoded_bytes();
        command.windows(data.len()).any(|part| part == data)
    };
    (is_postgres(pid) && (inside || named())).then_some(pid)
}

fn is_postgres(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may itself hold brackets and spaces; after the last one come plain numbers.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        dead: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(log: &Path) -> Process {
        let launch = Launch {
            program: "/bin/sleep".into(),
            arguments: vec!["300".to_owned()],
            log: log.to_owned(),
            user: None,
        };
        launch.spawn().expect("sleep starts")
    }

    #[test]
    fn it_ends_what_it_started_and_sees_it_end() {
        let folder = tempfile::tempdir().expect("a directory");
        let process = sleeper(&folder.path().join("log"));
        assert!(process.alive());
        process.signal(Signal::KILL).expect("our own");
        assert!(process.wait_gone(Duration::from_secs(10)));
        assert!(!process.alive());
    }

    #[test]
    fn a_number_that_came_back_is_somebody_else() {
        let folder = tempfile::tempdir().expect("a directory");
        let process = sleeper(&folder.path().join("log"));
        let namesake = Process { pid: process.pid, started: process.started + 1 };
        assert!(!namesake.alive());
        namesake.signal(Signal::KILL).expect("nothing to do");
        assert!(namesake.session().is_empty());
        assert!(process.alive(), "the namesake's signal reached another process");
        process.signal(Signal::KILL).expect("our own");
        assert!(process.wait_gone(Duration::from_secs(10)));
    }
}
