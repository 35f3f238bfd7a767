//! The members' agents: started, from which file, and found again with their Postgres. Ends none of them.

use std::fs;
use std::path::{Path, PathBuf};

use haa::playground::{Process, postmaster_of};

use super::lab::Lab;
use super::plan::System;
use super::{clean, patroni, shipped};

/// The other haad, in the run's directory.
pub(super) const NEXT: &str = "haad-next";

impl Lab {
    /// Starts a member's agent unless it runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_member(&mut self, name: &'static str) -> anyhow::Result<()> {
        if self.agent(name).is_some() {
            return Ok(());
        }
        let host = self.host(name)?;
        let launch = match self.plan.system {
            System::Haa => {
                let program = self.moved.get(name).unwrap_or(&self.program);
                shipped::launch(&self.plan, &self.tools, host, program)
            }
            System::Patroni => patroni::launch(&self.tools, host, &self.program),
        };
        let process = host.start(&launch)?;
        if self.plan.faketime.is_some() {
            clean::remember_fake(&self.directory, process.pid)?;
        }
        self.agents.insert(name, process);
        Ok(())
    }

    /// The file that the member's agent can be started from instead of its own. From another release there is no way
    /// back.
    #[must_use]
    pub fn next_program(&self, name: &str) -> Option<PathBuf> {
        let upgrade = self.plan.upgrade.as_ref()?;
        let next = self.directory.join(NEXT);
        match self.moved.get(name) {
            Some(now) if *now == next => {
                (*upgrade == self.plan.program).then(|| self.program.clone())
            }
            Some(_) | None => Some(next),
        }
    }

    /// Starts a member's agent, which must have ended, from this file, and from then on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_from(&mut self, name: &'static str, program: &Path) -> anyhow::Result<()> {
        self.moved.insert(name, program.to_owned());
        self.start_member(name)
    }

    /// The member's agent, while it lives.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<Process> {
        self.agents.get(name).copied().filter(|process| process.alive())
    }

    /// The member's postmaster, while it lives.
    #[must_use]
    pub fn postmaster(&self, name: &str) -> Option<Process> {
        postmaster_of(&self.data(name))
    }

    /// The guard beside the member's agent.
    #[must_use]
    pub fn guards(&self, name: &str) -> Vec<Process> {
        self.titled(name, "guard")
    }

    /// What serves the member's clients: its title names their role and database.
    #[must_use]
    pub fn backends(&self, name: &str) -> Vec<Process> {
        self.titled(name, "app postgres")
    }

    /// The processes on this host whose title contains this.
    #[must_use]
    pub fn titled(&self, name: &str, title: &str) -> Vec<Process> {
        let all = self.hosts.get(name).map(|host| host.group.members()).unwrap_or_default();
        let bears = |pid: &i32| {
            let title_of = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&title_of).replace('\0', " ").contains(title)
        };
        all.into_iter().filter(bears).filter_map(Process::find).collect()
    }
}
