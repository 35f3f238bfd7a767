//! One run of an operator's program: in a process group of its own that ends with it, within its time, with nothing of
//! haad's environment. Never read by a shell, and never waited for longer than it may take. Knows no occasion.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Interest};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::config::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// What a program that has ended said is read within this time: what it left elsewhere may hold the pipes.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// So many lines of a run are logged, each with so many bytes; a longer one becomes several.
const LINES: usize = 100;
const LINE: u64 = 1_000;

/// Why a run came to nothing.
#[derive(Debug)]
pub(crate) enum Wrong {
    NotStarted(io::Error),
    /// It ended with another code than 0; what it said last.
    Failed(ExitStatus, Option<String>),
    /// It was ended; what it said last.
    Late(Duration, Option<String>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = match self {
            Self::NotStarted(error) => return write!(f, "could not be run ({error})"),
            Self::Failed(status, last) => {
                write!(f, "ended with {status}")?;
                last
            }
            Self::Late(patience, last) => {
                write!(f, "was ended after {patience:?}")?;
                last
            }
        };
        match last {
            Some(last) => write!(f, "; it said last: {last}"),
            None => f.write_str(" and said nothing"),
        }
    }
}

/// A program on one occasion.
pub(crate) struct Run<'a> {
    /// What its lines in the log bear.
    pub(crate) name: &'a str,
    pub(crate) command: &'a Command,
    /// Its environment, beside `PATH`.
    pub(crate) told: Vec<(&'static str, String)>,
    pub(crate) patience: Duration,
    /// So many of its last lines are told when it fails.
    pub(crate) last: usize,
}

/// Runs it to its end, or ends it. When the future is dropped, all of it is killed.
pub(crate) async fn run(run: Run<'_>) -> Result<Duration, Wrong> {
    let Run { name, command: Command { program, arguments }, told, patience, last: most } = run;
    let began = tokio::time::Instant::now();
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(told)
        .current_dir("/")
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut group = child.and_then(Group::of).map_err(Wrong::NotStarted)?;
    let (last, said) = watch::channel(VecDeque::new());
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let mut listening = tokio::spawn(listen((name.to_owned(), most), stdout, stderr, last));
    let in_time = timeout(patience, group.ended()).await.is_ok();
    if !in_time {
        group.signal(Signal::TERM);
        // Who has ended by then needs no more.
        drop(timeout(GRACE, group.ended()).await);
    }
    let status = group.end().await;
    if timeout(LAST_WORDS, &mut listening).await.is_err() {
        listening.abort();
    }
    let last: Vec<String> = said.borrow().iter().rev().cloned().collect();
    let last = (!last.is_empty()).then(|| last.join(" | "));
    match status.map_err(Wrong::NotStarted)? {
        _ if !in_time => Err(Wrong::Late(patience, last)),
        status if status.success() => Ok(began.elapsed()),
        status => Err(Wrong::Failed(status, last)),
    }
}

/// A program with all that it starts, unless that leaves its process group.
struct Group {
    child: Child,
    id: Pid,
    exit: AsyncFd<OwnedFd>,
}

impl Group {
    fn of(child: Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("it has no number"))?;
        let exit = pidfd_open(id, PidfdFlags::NONBLOCK)?;
        #[expect(deprecated, reason = "the successor is unsafe; an OwnedFd keeps what it asks for")]
        let exit = AsyncFd::with_interest(exit, Interest::READABLE)?;
        Ok(Self { child, id, exit })
    }

    /// Returns when the program has ended. It is not reaped: the number stays its own.
    async fn ended(&self) {
        match self.exit.readable().await {
            Ok(mut ready) => ready.retain_ready(),
            Err(error) => tracing::warn!(%error, "the end of a program cannot be seen"),
        }
    }

    fn signal(&self, signal: Signal) {
        // As long as it was not reaped.
        if self.child.id().is_some()
            && let Err(error) = kill_process_group(self.id, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, "could not signal a program");
        }
    }

    /// Ends what is left of it.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.child.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// What it says goes to the log; the last lines are kept.
async fn listen(
    (name, most): (String, usize),
    stdout: Option<impl AsyncRead + Unpin>,
    stderr: Option<impl AsyncRead + Unpin>,
    last: watch::Sender<VecDeque<String>>,
) {
    let (lines, mut said) = mpsc::channel::<String>(LINES);
    let told = async {
        let mut count = 0;
        while let Some(line) = said.recv().await {
            count += 1;
            if count <= LINES {
                tracing::info!(program = name, "{line}");
            } else if count == LINES + 1 {
                tracing::warn!(
                    program = name,
                    "it says more than {LINES} lines: the rest is not logged"
                );
            }
            last.send_modify(|last| {
                last.truncate(most.saturating_sub(1));
                last.push_front(line);
            });
        }
    };
    tokio::join!(forward(stdout, lines.clone()), forward(stderr, lines), told);
}

async fn forward(from: Option<impl AsyncRead + Unpin>, to: mpsc::Sender<String>) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut from).take(LINE).read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes).replace(char::is_control, " ");
        let line = line.trim();
        if !line.is_empty() && to.send(line.to_owned()).await.is_err() {
            return;
        }
    }
}
