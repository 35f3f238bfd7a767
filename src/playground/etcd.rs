//! A throw-away etcd on loopback: starts, freezes, stops exactly the process that it started. Never
//! a real store.

mod group;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, waitid,
};

pub use group::EtcdCluster;

/// How long a new etcd may take to answer.
const START: Duration = Duration::from_secs(30);
/// How long an orderly stop may take before it is killed.
const STOP: Duration = Duration::from_secs(5);
/// Between two questions whether it is up.
const LOOK: Duration = Duration::from_millis(20);

/// A throw-away etcd could not be run.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The program is not there.
    #[error(
        "there is no etcd on PATH: install it (Debian: apt-get install etcd-server etcd-client)"
    )]
    Missing(#[source] io::Error),
    /// Something of the operating system.
    #[error("cannot {what} for etcd in {}", directory.display())]
    System {
        /// What we tried.
        what: &'static str,
        /// The directory in question.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended by itself.
    #[error("etcd ended at once ({status}); the end of {}: {tail}", log.display())]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// It runs and does not answer.
    #[error("etcd at {endpoint} did not become healthy within {START:?}; see {}", log.display())]
    Silent {
        /// Where we asked.
        endpoint: String,
        /// Its log.
        log: PathBuf,
    },
}

/// What one etcd is started with.
#[derive(Clone, Debug)]
struct Plan {
    name: String,
    directory: PathBuf,
    client: u16,
    peer: u16,
    /// `--initial-cluster`, names and peer URLs.
    cluster: String,
}

/// One etcd process. Dropping it kills the process; its data stays in the directory.
#[derive(Debug)]
pub struct Etcd {
    plan: Plan,
    child: Option<Child>,
}

impl Etcd {
    /// Starts a single etcd with its data and its log below `directory`, and waits until it
    /// answers.
    ///
    /// # Errors
    /// When etcd is not installed, ends at once, or does not answer in time.
    pub fn start(directory: &Path) -> Result<Self, EtcdError> {
        Ok(group::start(&[("etcd", directory)])?.remove(0))
    }

    /// Its client URL, such as `http://127.0.0.1:2379`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.plan.client)
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.plan.directory.join("etcd.log")
    }

    /// Stops it in order; kills it if that takes too long. The data is kept.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn stop(&mut self) -> Result<(), EtcdError> {
        self.signal(Signal::TERM)?;
        // A frozen process must run to see the first signal.
        self.signal(Signal::CONT)?;
        if self.exited_within(STOP)?.is_none() {
            self.kill()?;
        }
        self.child = None;
        Ok(())
    }

    /// Kills it as a power cut would. The data is kept.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<(), EtcdError> {
        if let Some(mut child) = self.child.take() {
            child.kill().map_err(|source| self.system("end the process", source))?;
            child.wait().map_err(|source| self.system("wait for the process", source))?;
        }
        Ok(())
    }

    /// Stops it and starts it again, on the same port and data; waits until it answers.
    ///
    /// # Errors
    /// As for [`Etcd::start`].
    pub fn restart(&mut self) -> Result<(), EtcdError> {
        self.stop()?;
        self.launch()?;
        self.wait_healthy()
    }

    /// Freezes it (SIGSTOP): it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn freeze(&self) -> Result<(), EtcdError> {
        self.signal(Signal::STOP)?;
        // The signal is on its way; only when every thread has stopped does nothing answer any more.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let waited = self.process().map(|pid| waitid(WaitId::Pid(pid), stopped)).transpose();
        waited.map(drop).map_err(|error| self.system("wait for the process", error.into()))
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn thaw(&self) -> Result<(), EtcdError> {
        self.signal(Signal::CONT)
    }

    /// Starts the process if none runs; does not wait for it to answer.
    ///
    /// # Errors
    /// When etcd is not installed or the log cannot be written.
    pub fn launch(&mut self) -> Result<(), EtcdError> {
        if self.child.is_some() {
            return Ok(());
        }
        let plan = &self.plan;
        fs::create_dir_all(&plan.directory)
            .map_err(|source| self.system("make the directory", source))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .and_then(|out| Ok((out.try_clone()?, out)))
            .map_err(|source| self.system("write the log", source))?;
        let client = format!("http://127.0.0.1:{}", plan.client);
        let peer = format!("http://127.0.0.1:{}", plan.peer);
        let child = Command::new("etcd")
            .args(["--name", &plan.name])
            .arg("--data-dir")
            .arg(plan.directory.join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &plan.cluster, "--logger", "zap"])
            .stdin(Stdio::null())
            .stdout(log.0)
            .stderr(log.1)
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => EtcdError::Missing(source),
                _ => self.system("start the process", source),
            })?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it is healthy: a member of a majority that answers.
    ///
    /// # Errors
    /// When it ends, or does not become healthy in time.
    pub fn wait_healthy(&mut self) -> Result<(), EtcdError> {
        let deadline = Instant::now() + START;
        while !self.healthy() {
            if let Some(status) = self.exited_within(LOOK)? {
                self.child = None;
                return Err(EtcdError::Ended { status, log: self.log(), tail: self.tail() });
            }
            if Instant::now() > deadline {
                return Err(EtcdError::Silent { endpoint: self.endpoint(), log: self.log() });
            }
        }
        Ok(())
    }

    /// Asks `/health` once.
    #[must_use]
    pub fn healthy(&self) -> bool {
        let ask = || -> io::Result<String> {
            let patience = Duration::from_secs(1);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.plan.client));
            let mut stream = TcpStream::connect_timeout(&address, patience)?;
            stream.set_read_timeout(Some(patience))?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
    }

    fn signal(&self, signal: Signal) -> Result<(), EtcdError> {
        match self.process() {
            Some(pid) => kill_process(pid, signal)
                .map_err(|error| self.system("signal the process", error.into())),
            None => Ok(()),
        }
    }

    fn process(&self) -> Option<Pid> {
        self.child.as_ref().map(Pid::from_child)
    }

    /// Waits for the process to end, at most this long; `None` if it still runs or never did.
    fn exited_within(&mut self, span: Duration) -> Result<Option<ExitStatus>, EtcdError> {
        let Some(pid) = self.process() else { return Ok(None) };
        let watch = || -> rustix::io::Result<()> {
            let process = pidfd_open(pid, PidfdFlags::empty())?;
            let span = Timespec {
                tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(span.subsec_nanos()),
            };
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&span))?;
            Ok(())
        };
        watch().map_err(|error| self.system("watch the process", error.into()))?;
        let looked = self.child.as_mut().map(Child::try_wait).transpose();
        looked.map(Option::flatten).map_err(|source| self.system("wait for the process", source))
    }

    fn tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn system(&self, what: &'static str, source: io::Error) -> EtcdError {
        EtcdError::System { what, directory: self.plan.directory.clone(), source }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Nobody is left to tell if even this is refused.
        let _ = self.kill();
    }
}
