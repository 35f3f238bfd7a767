//! Accidents: parts of a playground die, freeze and come back. Signals only what the playground started.

use std::time::Duration;

use rustix::process::Signal;

use haa_core::units::MemberName;

use super::Playground;
use super::error::PlaygroundError;
use super::process::{Process, postgres_of};

/// What of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its postmaster; the agent lives and sees it.
    Postgres,
    /// Its agent; Postgres lives on.
    Agent,
    /// Everything, as when its machine loses power.
    Host,
}

impl Playground {
    /// Kills etcd (SIGKILL); its data stay.
    ///
    /// # Errors
    /// When we may not.
    pub fn stop_etcd(&mut self) -> Result<(), PlaygroundError> {
        end(self.state.etcd.process.into_iter().collect())
    }

    /// Freezes etcd (SIGSTOP): it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When we may not.
    pub fn freeze_etcd(&self) -> Result<(), PlaygroundError> {
        self.state.etcd.process.map_or(Ok(()), |process| process.signal(Signal::STOP))
    }

    /// Lets a frozen etcd go on.
    ///
    /// # Errors
    /// When we may not.
    pub fn thaw_etcd(&self) -> Result<(), PlaygroundError> {
        self.state.etcd.process.map_or(Ok(()), |process| process.signal(Signal::CONT))
    }

    /// Kills a part of a member with SIGKILL, as an accident would.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn kill(&self, name: &MemberName, part: Part) -> Result<(), PlaygroundError> {
        match part {
            Part::Postgres => self.kill_postgres(name),
            Part::Agent => self.kill_agent(name),
            Part::Host => self.kill_host(name),
        }
    }

    /// How many processes of this part run: the agent and the postmaster are counted.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn runs_of(&self, name: &MemberName, part: Part) -> Result<usize, PlaygroundError> {
        let agent = usize::from(self.agent(name)?.is_some());
        let postmaster = usize::from(self.postmaster(name)?.is_some());
        Ok(match part {
            Part::Postgres => postmaster,
            Part::Agent => agent,
            Part::Host => agent + postmaster,
        })
    }

    /// Kills the postmaster with SIGKILL and waits until it is gone. Its children may live a moment longer.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn kill_postgres(&self, name: &MemberName) -> Result<(), PlaygroundError> {
        end(self.postmaster(name)?.into_iter().collect())
    }

    /// Kills the agent with SIGKILL; Postgres lives on.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn kill_agent(&self, name: &MemberName) -> Result<(), PlaygroundError> {
        end(self.agent(name)?.into_iter().collect())
    }

    /// Asks the agent to stop in order (SIGTERM); does not wait.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn terminate_agent(&self, name: &MemberName) -> Result<(), PlaygroundError> {
        self.signal_agent(name, Signal::TERM)
    }

    /// Kills the agent, all that it started and all of Postgres with SIGKILL, as a power cut would.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn kill_host(&self, name: &MemberName) -> Result<(), PlaygroundError> {
        let member = self.state.member(name)?;
        // Twice, for what was being started meanwhile; the agent first, or it would start Postgres anew.
        for _ in 0..2 {
            let servers = postgres_of(&self.data(name));
            end(member.sessions().collect())?;
            end(servers)?;
        }
        Ok(())
    }

    /// Freezes the agent (SIGSTOP); Postgres goes on.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn freeze_agent(&self, name: &MemberName) -> Result<(), PlaygroundError> {
        self.signal_agent(name, Signal::STOP)
    }

    /// Lets a frozen agent go on.
    ///
    /// # Errors
    /// When there is no such member, or we may not.
    pub fn thaw_agent(&self, name: &MemberName) -> Result<(), PlaygroundError> {
        self.signal_agent(name, Signal::CONT)
    }

    /// Brings a member back: a dead agent is started, a frozen one goes on. The rest is the agent's own work.
    ///
    /// # Errors
    /// When there is no such member, or its agent cannot be started.
    pub fn revive(&mut self, name: &MemberName) -> Result<(), PlaygroundError> {
        self.thaw_agent(name)?;
        self.start_member(name)
    }

    fn signal_agent(&self, name: &MemberName, signal: Signal) -> Result<(), PlaygroundError> {
        self.agent(name)?.map_or(Ok(()), |agent| agent.signal(signal))
    }
}

/// Kills these and waits until they are gone.
pub(super) fn end(processes: Vec<Process>) -> Result<(), PlaygroundError> {
    processes.iter().try_for_each(|process| process.signal(Signal::KILL))?;
    for process in processes {
        // A killed process goes unless the kernel holds it; then there is nothing more that we can do.
        let _ = process.wait_gone(Duration::from_secs(10));
    }
    Ok(())
}
