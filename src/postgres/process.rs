//! Processes of this Postgres: found by their working directory, held and signalled by pidfd.
//! Never signals a pid that was not verified.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// A process that was seen to be of this Postgres when its pidfd was already open.
pub(super) struct Process {
    pub(super) pid: u32,
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// `None` when there is no such process, or it is not of the Postgres in `data`.
    pub(super) fn hold(pid: u32, data: &Path) -> io::Result<Option<Self>> {
        Self::hold_if(pid, |pid| is_postgres_in(pid, data))
    }

    /// `None` when there is no such process, or it is not what is meant: that is asked when its pidfd is open.
    pub(super) fn hold_if(pid: u32, meant: impl Fn(u32) -> bool) -> io::Result<Option<Self>> {
        let Some(known) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let fd = match pidfd_open(known, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            // Gone; or a thread's number, which is no process.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !meant(pid) {
            return Ok(None);
        }
        #[expect(deprecated, reason = "the successor is unsafe; an OwnedFd keeps what it asks for")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Some(Self { pid, fd }))
    }

    /// Sends a signal; to a process that has just ended that is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.fd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it has not ended yet.
    pub(super) fn lives(&self) -> bool {
        let mut wanted = [PollFd::new(self.fd.get_ref(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        !poll(&mut wanted, Some(&now)).is_ok_and(|ended| ended > 0)
    }

    /// Returns when the process has ended, and reaps it if it was our child.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.fd.readable().await?.retain_ready();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // Somebody else's child is reaped by its own parent.
        let _ = waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), options);
        Ok(())
    }

    /// As [`Process::ended`], but waits no longer than `patience`. Says whether it has ended.
    pub(super) async fn ended_within(&self, patience: Duration) -> io::Result<Ended> {
        match timeout(patience, self.ended()).await {
            Ok(ended) => ended.map(|()| Ended::Yes),
            Err(_) => Ok(Ended::NotYet),
        }
    }
}

/// Whether a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Yes,
    NotYet,
}

/// Its working directory is `data` (also after a rename, a bind mount, or `rm`), it runs a program
/// called `postgres`.
fn is_postgres_in(pid: u32, data: &Path) -> bool {
    if !runs(pid, &["postgres"]) {
        return false;
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    let cwd = process.join("cwd");
    let same = match (fs::metadata(&cwd), fs::metadata(data)) {
        (Ok(cwd), Ok(data)) => cwd.dev() == data.dev() && cwd.ino() == data.ino(),
        _ => false,
    };
    let named = |data: &Path| {
        fs::read_link(&cwd).is_ok_and(|path| {
            path.to_string_lossy().strip_suffix(" (deleted)").is_some_and(|p| Path::new(p) == data)
        })
    };
    same || named(data)
}

/// Whether it runs a program of one of these names.
pub(super) fn runs(pid: u32, programs: &[&str]) -> bool {
    let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    programs.contains(&name.trim_end_matches(" (deleted)"))
}

/// The pids of every process of the Postgres in `data`.
pub(super) fn scan(data: &Path) -> io::Result<Vec<u32>> {
    scan_for(|pid| is_postgres_in(pid, data))
}

/// The pids of every process that is meant.
pub(super) fn scan_for(meant: impl Fn(u32) -> bool) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if meant(pid) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The postmaster: who `postmaster.pid` names, if it is one; else a process that is nobody's backend.
pub(super) fn postmaster(data: &Path) -> io::Result<Option<Process>> {
    let named = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(pid) = named.lines().next().and_then(|line| line.trim().parse().ok())
        && leads(pid)
        && let Some(process) = Process::hold(pid, data)?
    {
        return Ok(Some(process));
    }
    leader(data)
}

/// The postmaster, found without a file of its: a process that is nobody's backend.
pub(super) fn leader(data: &Path) -> io::Result<Option<Process>> {
    let found = scan(data)?;
    for &pid in &found {
        if leads(pid) && parent(pid).is_some_and(|parent| !found.contains(&parent)) {
            return Process::hold(pid, data);
        }
    }
    Ok(None)
}

/// A postmaster keeps its command line.
fn leads(pid: u32) -> bool {
    let line = title(pid);
    !line.is_empty() && !is_backend(&line)
}

/// A backend calls itself `postgres: ...`. Who has no command line is gone, or is a postmaster that has begun this
/// instant: the kernel shows its program sooner.
fn is_backend(title: &str) -> bool {
    title.starts_with("postgres: ")
}

/// Its command line, which a backend replaces by what it does; empty for one that is gone.
pub(super) fn title(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.trim_end_matches(['\0', ' ']).replace('\0', " ")
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// Its state, and how much of the processor it has had so far, in the kernel's ticks.
pub(super) fn rest(pid: u32) -> Option<(char, u64)> {
    let fields = stat(pid)?;
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some((fields.first()?.chars().next()?, number(11)? + number(12)?))
}

/// The fields of `/proc/<pid>/stat` from the state on, which is the third (`man 5 proc`).
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}

/// The process `pid`, if it is a child of `postmaster` in the Postgres in `data`.
pub(super) fn child(postmaster: &Process, pid: u32, data: &Path) -> io::Result<Option<Process>> {
    let process = Process::hold(pid, data)?;
    Ok(process.filter(|process| parent(process.pid) == Some(postmaster.pid)))
}

/// SIGKILL to every process of the Postgres in `data`, until none is left or `patience` ran out.
pub(super) async fn kill_all(data: &Path, patience: Duration) -> io::Result<Ended> {
    kill_each(data, patience, |_| true).await
}

/// As [`kill_all`], for backends that have outlived their postmaster: they may still commit. A postmaster
/// and its children are left alone.
pub(super) async fn kill_orphans(data: &Path, patience: Duration) -> io::Result<Ended> {
    kill_each(data, patience, |found| {
        is_backend(&title(found.pid))
            && parent(found.pid).is_none_or(|parent| !found.all.contains(&parent))
    })
    .await
}

/// One process among those of its Postgres.
struct Found<'a> {
    pid: u32,
    all: &'a [u32],
}

async fn kill_each(
    data: &Path,
    patience: Duration,
    condemned: impl Fn(&Found<'_>) -> bool,
) -> io::Result<Ended> {
    let rounds = async {
        loop {
            let all = scan(data)?;
            let mut held = Vec::new();
            for &pid in all.iter().filter(|&&pid| condemned(&Found { pid, all: &all })) {
                held.extend(Process::hold(pid, data)?);
            }
            if held.is_empty() {
                return Ok(());
            }
            for process in &held {
                process.signal(Signal::KILL)?;
            }
            for process in &held {
                process.ended().await?;
            }
        }
    };
    timeout(patience, rounds).await.map_or(Ok(Ended::NotYet), |ended| ended.map(|()| Ended::Yes))
}

/// Ends this Postgres as fast as it can be: SIGQUIT, which lets it tell its clients, then SIGKILL to all.
pub(super) async fn close(data: &Path) -> io::Result<Ended> {
    if let Some(postmaster) = postmaster(data)? {
        quit(&postmaster).await?;
    }
    kill_all(data, Duration::from_secs(5)).await
}

/// SIGQUIT, and a moment to end by it.
pub(super) async fn quit(postmaster: &Process) -> io::Result<Ended> {
    postmaster.signal(Signal::QUIT)?;
    postmaster.ended_within(Duration::from_millis(150)).await
}

/// Removes a file; that it is not there is no error.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_backend;

    #[test]
    fn a_postmaster_that_has_just_begun_is_no_backend_without_one() {
        assert!(is_backend("postgres: a: checkpointer"));
        assert!(!is_backend("/usr/lib/postgresql/15/bin/postgres -D /data"));
        assert!(!is_backend(""));
    }
}
