//! Postgres' tools as child processes, each in a process group that ends with the job. Never a password
//! in an argument, in the environment or in a log.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::error::JobError;
use super::site::Site;

const KEPT: usize = 200;
/// What a tool that has ended said is read within this time.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Variables that Postgres and its tools are not given: what libpq would take for its settings, but for those that
/// begin with `but`; and systemd's socket, on which they would speak for haad.
pub(super) fn withheld(but: &'static str) -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(key, _)| key).filter(move |key| {
        let key = key.to_string_lossy();
        key == "NOTIFY_SOCKET" || key.starts_with("PG") && !key.starts_with(but)
    })
}

/// A tool and its arguments.
pub(super) struct Tool {
    name: &'static str,
    command: Command,
    stdin: String,
    last: Option<&'static str>,
}

impl Tool {
    pub(super) fn new(site: &Site, name: &'static str) -> Self {
        let mut tool = Self::named(name, Command::new(site.program(name)));
        tool.command.env("PGPASSFILE", site.state("pgpass"));
        tool
    }

    /// A command of the operator's, as a shell takes it.
    pub(super) fn shell(text: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(text);
        Self::named("restore_command", command)
    }

    fn named(name: &'static str, mut command: Command) -> Self {
        for key in withheld("PGBACKREST_") {
            command.env_remove(key);
        }
        command.env("LC_ALL", "C");
        Self { name, command, stdin: String::new(), last: None }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// It runs in this directory.
    pub(super) fn inside(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn path(mut self, option: &str, path: &Path) -> Self {
        let mut arg = std::ffi::OsString::from(option);
        arg.push(path);
        self.command.arg(arg);
        self
    }

    pub(super) fn stdin(mut self, text: String) -> Self {
        self.stdin = text;
        self
    }

    /// When it says this it has done what it was to do, and is asked to end by SIGINT.
    pub(super) fn until(mut self, last: &'static str) -> Self {
        self.last = Some(last);
        self
    }

    /// Runs it to its end and returns what it said. `on_line` sees each line at once. When the future is
    /// dropped, the tool and its children are killed.
    pub(super) async fn run(mut self, mut on_line: impl FnMut(&str)) -> Result<Said, JobError> {
        self.command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = self.command.as_std().get_program().into();
        let child = self.command.spawn();
        let mut group = Group(child.map_err(|source| JobError::Spawn { program, source })?);
        let (last, own) = (self.last, group.held());
        let stdin = group.0.stdin.take();
        let stdout = group.0.stdout.take();
        let stderr = group.0.stderr.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A tool that ends before it has read everything says why by itself.
                drop(stdin.write_all(self.stdin.as_bytes()).await);
            }
        };
        let (lines, mut said) = tokio::sync::mpsc::channel::<(Way, String)>(64);
        let mut kept = Said::default();
        let listen = async {
            while let Some((way, line)) = said.recv().await {
                on_line(&line);
                if last.is_some_and(|last| line.contains(last)) {
                    interrupt(own.as_ref());
                }
                kept.push(way, line);
            }
        };
        let stderr = forward(stderr, (Way::Complaint, lines.clone()));
        let stdout = forward(stdout, (Way::Output, lines));
        let status = {
            let mut talk = std::pin::pin!(async { tokio::join!(feed, listen, stdout, stderr) });
            tokio::select! {
                status = group.0.wait() => {
                    // A child that it leaves in the background may hold the pipes for as long as it lives.
                    drop(tokio::time::timeout(LAST_WORDS, talk).await);
                    status
                }
                _ = &mut talk => group.0.wait().await,
            }
        };
        let status = status
            .map_err(|source| JobError::Tool { tool: self.name, said: source.to_string() })?;
        if status.success() {
            Ok(kept)
        } else {
            Err(JobError::Tool { tool: self.name, said: format!("{} ({status})", kept.end()) })
        }
    }
}

/// Where a tool says a line: on its standard output, or where errors go, and with most of them progress.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Output,
    Complaint,
}

async fn forward(
    from: Option<impl AsyncRead + Unpin>,
    (way, to): (Way, tokio::sync::mpsc::Sender<(Way, String)>),
) {
    let Some(from) = from else { return };
    // Names in the WAL are in any encoding.
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        if to.send((way, line.trim_end_matches('\r').to_owned())).await.is_err() {
            return;
        }
    }
}

fn interrupt(tool: Option<&OwnedFd>) {
    // One that has ended needs no more.
    if let Some(Err(error)) = tool.map(|tool| pidfd_send_signal(tool, Signal::INT))
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(%error, "could not end a tool of Postgres");
    }
}

/// Kills the whole process group when it goes, unless the tool has been waited for.
struct Group(Child);

impl Group {
    /// The tool itself, whatever becomes of its number.
    fn held(&self) -> Option<OwnedFd> {
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        pidfd_open(id?, PidfdFlags::empty()).ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // An id is there only while the child has not been reaped: the number is still its own.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process_group(id, Signal::KILL)
        {
            tracing::warn!(%error, "could not end a tool of Postgres");
        }
    }
}

/// The last lines that a tool said.
#[derive(Default)]
pub(super) struct Said {
    lines: VecDeque<String>,
    /// Those of them that are no output. The two come in any order.
    complaints: VecDeque<String>,
}

impl Said {
    fn push(&mut self, way: Way, line: String) {
        if way == Way::Complaint {
            keep(&mut self.complaints, line.clone());
        }
        keep(&mut self.lines, line);
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The last three lines that are not progress; of what it complained of, if it did.
    fn end(&self) -> String {
        let told = |line: &&str| !line.trim().is_empty() && !line.contains("kB (");
        let complaints = self.complaints.iter().map(String::as_str);
        let mut lines: Vec<&str> = complaints.filter(told).collect();
        if lines.is_empty() {
            lines.extend(self.lines().filter(told));
        }
        let from = lines.len().saturating_sub(3);
        lines.drain(..from);
        lines.join(" | ")
    }
}

fn keep(lines: &mut VecDeque<String>, line: String) {
    if lines.len() == KEPT {
        lines.pop_front();
    }
    lines.push_back(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_tool_complains_of_is_told_whatever_else_it_says() {
        let tool = Tool::shell("echo wrong >&2; echo 1; echo 2; echo 3; exit 1");
        let error = tool.run(|_| ()).await.err().expect("it fails");
        assert!(error.to_string().contains("wrong (exit"), "{error}");
    }

    #[tokio::test]
    async fn a_child_in_the_background_does_not_keep_a_tool_from_ending() {
        let tool = Tool::shell("sleep 600 & echo $!; exit 0");
        let said = tokio::time::timeout(Duration::from_secs(60), tool.run(|_| ())).await;
        let said = said.expect("it has ended").expect("with success");
        let pid = said.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        rustix::process::kill_process(pid.expect("it said so"), Signal::KILL).expect("it lives");
    }
}
