//! The guard's own loop: one lock, one socket, the newest agent that was adopted. Never touches Postgres itself.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context as _;
use haa_core::units::Millis;
use rustix::fs::{FlockOperation, flock};
use rustix::mm::{MlockAllFlags, mlockall};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::Post;
use super::keeper::Keeper;
use super::timer::Timer;
use super::watchdog::Watchdog;
use super::wire::{self, PROTOCOL, Reply, Request};
use crate::agent::clock;

/// A guard that nobody is connected to and that has no deadline ends after this long.
const ALONE: Millis = Millis(60_000);
/// So long it waits for its first agent, which has just started it.
const FIRST: Millis = Millis(5_000);

/// What the agent that started it waits for on the guard's standard output.
pub(super) const READY: &str = "ready";

/// Guards until there is nothing to guard. Blocks.
///
/// # Errors
/// What kept it from beginning, with its cause: another guard has this state directory, or it cannot be used.
pub fn run(post: &Post) -> anyhow::Result<()> {
    let _lock = lock(post)?;
    // One thread and no more: there is little to do, and it must go on where memory is short.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime")?;
    let served = runtime.block_on(serve(post));
    // A look at a disk that hangs is not waited for.
    runtime.shutdown_background();
    drop(std::fs::remove_file(post.socket()));
    served
}

fn lock(post: &Post) -> anyhow::Result<File> {
    let path = post.lock();
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another guard holds {}", path.display()))?;
    Ok(file)
}

/// What the system lets us do so that it is there when all else fails. None of it is needed.
fn harden() {
    let tried = [
        ("leave its directory", std::env::set_current_dir("/")),
        ("name itself", std::fs::write("/proc/self/comm", "haad-guard")),
        ("be spared when memory runs out", std::fs::write("/proc/self/oom_score_adj", "-1000")),
        // Also what is not used before the deadline comes: then there may be no disk to read it from.
        ("stay in memory", mlockall(MlockAllFlags::CURRENT).map_err(io::Error::from)),
    ];
    for (what, done) in tried {
        if let Err(error) = done {
            tracing::debug!(%error, "the guard cannot {what}");
        }
    }
}

/// What an agent said, and its connection.
enum Heard {
    Asked { by: u64, request: Request, answer: oneshot::Sender<Reply> },
    Gone(u64),
}

struct Serving {
    keeper: Keeper,
    /// The connection that was adopted last.
    agent: Option<u64>,
    /// Until when it stays without one.
    alone_until: Option<Millis>,
    /// It was told to end once there is nothing to guard.
    leaving: bool,
}

async fn serve(post: &Post) -> anyhow::Result<()> {
    let (listener, timer) = begin(post).context("the guard cannot begin")?;
    harden();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut others = [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    let (to, mut heard) = mpsc::channel(16);
    let keeper = Keeper::new(post.data_directory.clone(), Watchdog::new(post.watchdog.clone()));
    let alone_until = Some(clock::now().after(FIRST));
    let mut serving = Serving { keeper, agent: None, alone_until, leaving: false };
    let mut connections = 0;
    loop {
        let now = clock::now();
        serving.keeper.look(now);
        if serving.is_done(now) {
            return Ok(());
        }
        timer.set(serving.next())?;
        tokio::select! {
            // A deadline that was extended in time does not come because we were late.
            biased;
            Some(said) = heard.recv() => serving.hear(said),
            () = serving.keeper.closed() => {}
            fired = timer.fired() => fired?,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections += 1;
                    tokio::spawn(converse(connections, stream, to.clone()));
                }
                Err(error) => tracing::debug!(%error, "a connection was not accepted"),
            },
            _ = terminate.recv() => serving.leaving = true,
            () = any(&mut others) => tracing::debug!("a signal for the agent was not for us"),
        }
    }
}

fn begin(post: &Post) -> io::Result<(UnixListener, Timer)> {
    let path = post.socket();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let (listener, timer) = (UnixListener::bind(path)?, Timer::new()?);
    // Whoever does not wait for it has closed the pipe.
    drop(writeln!(io::stdout().lock(), "{READY}"));
    Ok((listener, timer))
}

async fn any(signals: &mut [Signal; 2]) {
    let [one, two] = signals;
    tokio::select! {
        _ = one.recv() => {}
        _ = two.recv() => {}
    }
}

impl Serving {
    fn is_done(&self, now: Millis) -> bool {
        let alone = self.alone_until.is_some_and(|until| now >= until);
        (self.leaving || alone) && !self.keeper.on_duty()
    }

    fn next(&self) -> Option<Millis> {
        let idle = !self.keeper.on_duty();
        let end = self.alone_until.filter(|_| idle);
        self.keeper.next().into_iter().chain(end).min()
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Asked { by, request, answer } => {
                let reply = self.reply(by, request);
                // An agent that has gone meanwhile does without.
                drop(answer.send(reply));
            }
            Heard::Gone(who) if self.agent == Some(who) => {
                self.agent = None;
                self.alone_until = Some(clock::now().after(ALONE));
            }
            Heard::Gone(_) => {}
        }
    }

    fn reply(&mut self, by: u64, request: Request) -> Reply {
        match request {
            Request::Hello { protocol, data_directory } => self.adopt(by, protocol, data_directory),
            Request::Arm(_) | Request::Disarm | Request::Leave if self.agent != Some(by) => {
                Reply::Refused { why: "another agent has come since, or none was adopted".into() }
            }
            Request::Arm(deadline) => Reply::Armed { postmaster: self.keeper.arm(deadline) },
            Request::Disarm => {
                self.keeper.disarm();
                Reply::Done
            }
            Request::Leave => {
                self.leave();
                Reply::Done
            }
        }
    }

    fn adopt(&mut self, by: u64, protocol: u32, data_directory: std::path::PathBuf) -> Reply {
        if protocol != PROTOCOL {
            return Reply::Protocol { mine: PROTOCOL };
        }
        if data_directory != self.keeper.data() {
            // Without a deadline there is nothing to stay for.
            self.leaving = true;
            return Reply::Elsewhere { data_directory: self.keeper.data().to_owned() };
        }
        (self.agent, self.alone_until, self.leaving) = (Some(by), None, false);
        Reply::Watching { pid: std::process::id() }
    }

    fn leave(&mut self) {
        if crate::postgres::fence::runs(self.keeper.data()).is_ok_and(|runs| !runs) {
            self.keeper.disarm();
        }
        self.leaving = true;
    }
}

/// One connection, until its end.
async fn converse(me: u64, stream: UnixStream, to: mpsc::Sender<Heard>) {
    let (from, mut back) = stream.into_split();
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match serde_json::from_str(&line) {
            Ok(request) => {
                let (answer, answered) = oneshot::channel();
                if to.send(Heard::Asked { by: me, request, answer }).await.is_err() {
                    return;
                }
                let Ok(reply) = answered.await else { return };
                reply
            }
            Err(error) => Reply::Refused { why: format!("not understood: {error}") },
        };
        if wire::write(&mut back, &reply).await.is_err() {
            break;
        }
    }
    // The loop has ended: then nobody needs to know.
    drop(to.send(Heard::Gone(me)).await);
}
