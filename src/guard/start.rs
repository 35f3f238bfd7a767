//! Starting a guard so that it outlives its agent, and ending one that is of no use. Never ends a process that was
//! not seen to be a guard of this state directory.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::Post;
use super::serve::READY;
use crate::config::LogFormat;

/// From its start until it listens.
const BEGIN: Duration = Duration::from_secs(5);

/// Starts a guard, from the very program that runs now, and waits until it listens.
pub(super) async fn start(post: &Post) -> io::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    // Its own process group: what is sent to ours, such as a Ctrl-C, is not for it.
    command.arg0("haad").arg("guard").process_group(0).current_dir("/");
    command.arg("--state-directory").arg(&post.state_directory);
    command.arg("--data-directory").arg(&post.data_directory);
    if let Some(watchdog) = &post.watchdog {
        command.arg("--watchdog").arg(watchdog);
    }
    let format = match post.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    command.args(["--log-format", format, "--log-level", &post.log_level]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut guard = command.spawn()?;
    let out = guard.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    match timeout(BEGIN, BufReader::new(out).read_line(&mut line)).await {
        Ok(Ok(_)) if line.trim_end() == READY => Ok(()),
        Ok(Ok(_)) => Err(io::Error::other("it ended at once; its own line says why")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// SIGKILL to the guard `pid`, if it is one of this state directory.
pub(super) fn end(pid: u32, post: &Post) -> io::Result<()> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or(io::ErrorKind::NotFound)?;
    let guard = pidfd_open(number, PidfdFlags::empty())?;
    // Looked at after it is held: the number cannot have come to mean another process since.
    let said = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let words: Vec<&[u8]> = said.split(|byte| *byte == 0).collect();
    let ours = post.state_directory.as_os_str().as_encoded_bytes();
    if !words.contains(&b"guard".as_slice()) || !words.contains(&ours) {
        return Err(io::Error::other(format!("process {pid} is no guard of ours")));
    }
    Ok(pidfd_send_signal(guard, Signal::KILL)?)
}
