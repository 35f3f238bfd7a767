//! How a playground ends: its processes, then its files, and only those that it made.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use haa_core::units::MemberName;

use super::Playground;
use super::accident::end;
use super::error::PlaygroundError;
use super::layout::Member;
use super::options::OnDrop;
use super::process::{Process, postgres_of, postmaster_of};

/// What a postmaster gets to end its children and to free its shared memory.
const POSTMASTER: Duration = Duration::from_secs(5);

impl Playground {
    /// Ends everything that was started and removes the directory.
    ///
    /// # Errors
    /// When a process cannot be ended or a file not removed.
    pub fn stop(mut self) -> Result<(), PlaygroundError> {
        self.end_processes()?;
        self.on_drop = OnDrop::LeaveRunning;
        let directory = self.directory().to_owned();
        fs::remove_dir_all(&directory).map_err(PlaygroundError::file("remove", directory))
    }

    /// Ends everything that was started; the files stay, to be looked at.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub fn end_processes(&self) -> Result<(), PlaygroundError> {
        let names = self.names();
        let servers: Vec<_> = names.iter().flat_map(|name| postgres_of(&self.data(name))).collect();
        let agents = self.state.members.values().flat_map(Member::sessions);
        // All agents first, or one would promote its Postgres while the others end.
        end(agents.filter(|process| !servers.contains(process)).collect())?;
        for postmaster in names.iter().filter_map(|name| postmaster_of(&self.data(name))) {
            postmaster.signal(Signal::CONT)?;
            postmaster.signal(Signal::QUIT)?;
        }
        for name in &names {
            if let Some(postmaster) = postmaster_of(&self.data(name)) {
                let _ = postmaster.wait_gone(POSTMASTER);
            }
            self.kill_host(name)?;
            free_shared_memory(&self.data(name));
        }
        end(self.state.etcd.process.into_iter().collect())
    }

    /// Whether anything of it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        let agents = self.state.members.values().flat_map(Member::sessions);
        agents.chain(self.state.etcd.process).any(Process::alive)
            || self.names().iter().any(|name| postmaster_of(&self.data(name)).is_some())
    }

    /// The ends of all logs, for somebody who must find out what went wrong.
    #[must_use]
    pub fn tails(&self) -> String {
        let members = self.names().into_iter().map(|name| (name.to_string(), self.log(&name)));
        let logs = [("etcd".to_owned(), self.etcd_log())].into_iter().chain(members);
        logs.map(|(name, log)| format!("--- {name}: {}\n{}", log.display(), tail(&log, 15)))
            .collect()
    }

    /// The end of one member's log.
    #[must_use]
    pub fn tail(&self, name: &MemberName) -> String {
        tail(&self.log(name), 15)
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        match self.on_drop {
            OnDrop::LeaveRunning => {}
            OnDrop::End => {
                if std::thread::panicking() {
                    // A test has failed; its logs are about to go with their directory.
                    let _ =
                        std::io::Write::write_all(&mut std::io::stderr(), self.tails().as_bytes());
                }
                // Nobody is left to be told; what could not be ended is named in state.json.
                let _ = self.end_processes();
            }
        }
    }
}

/// The last lines of a file, cut where they are too long for a terminal.
pub(super) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    last.iter().map(|line| format!("{}\n", line.chars().take(240).collect::<String>())).collect()
}

/// A postmaster that was killed leaves one small segment of System V shared memory; its own file names it.
fn free_shared_memory(data: &Path) {
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let segment = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let (Some(id), None) = (segment, postmaster_of(data)) {
        let mut command = Command::new("ipcrm");
        command.args(["--shmem-id", id]).stdout(Stdio::null()).stderr(Stdio::null());
        // It may be gone already, which is what is wanted.
        let _ = command.status();
    }
}
