//! One connection to the guard: each question is answered in time, or the line is broken. Never decides what to ask.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::Post;
use super::wire::{self, Deadline, PROTOCOL, Reply, Request};

/// A guard answers from memory.
const ANSWER: Duration = Duration::from_secs(1);

/// Why the guard cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("no guard listens")]
    NotThere(#[source] io::Error),
    #[error("the guard has ended")]
    Broken(#[source] io::Error),
    #[error("the guard, process {pid}, gave no answer within {ANSWER:?}")]
    Silent { pid: u32 },
    #[error("the guard, process {pid}, speaks protocol {theirs} and not {PROTOCOL}")]
    Protocol { pid: u32, theirs: u32 },
    #[error("a guard of another data directory, {}, has not ended yet", data_directory.display())]
    Elsewhere { data_directory: PathBuf },
    #[error("the guard refused: {0}")]
    Refused(String),
    #[error("the guard's answer is odd: {0}")]
    Odd(String),
    #[error("cannot start a guard")]
    Start(#[source] io::Error),
}

impl LineError {
    /// The guard that is of no use, and must not be waited for.
    pub(super) const fn useless(&self) -> Option<u32> {
        match self {
            Self::Silent { pid } | Self::Protocol { pid, .. } => Some(*pid),
            Self::NotThere(_)
            | Self::Broken(_)
            | Self::Elsewhere { .. }
            | Self::Refused(_)
            | Self::Odd(_)
            | Self::Start(_) => None,
        }
    }
}

pub(super) struct Line {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    guard: u32,
}

impl Line {
    /// A guard that runs, and has taken us for its agent.
    pub(super) async fn open(post: &Post) -> Result<Self, LineError> {
        let stream = UnixStream::connect(post.socket()).await.map_err(LineError::NotThere)?;
        // Whoever listens: known before a word was said.
        let peer = stream.peer_cred().map_err(LineError::NotThere)?;
        let guard = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
        let (from, to) = stream.into_split();
        let mut line = Self { from: BufReader::new(from), to, guard };
        let data_directory = post.data_directory.clone();
        match line.ask(&Request::Hello { protocol: PROTOCOL, data_directory }).await? {
            Reply::Watching { .. } => Ok(line),
            other => Err(line.odd(other)),
        }
    }

    pub(super) const fn guard(&self) -> u32 {
        self.guard
    }

    /// Answers the postmaster that the deadline stands for, if one runs.
    pub(super) async fn arm(&mut self, deadline: Deadline) -> Result<Option<u32>, LineError> {
        match self.ask(&Request::Arm(deadline)).await? {
            Reply::Armed { postmaster } => Ok(postmaster),
            other => Err(self.odd(other)),
        }
    }

    pub(super) async fn disarm(&mut self) -> Result<(), LineError> {
        self.done(&Request::Disarm).await
    }

    pub(super) async fn leave(&mut self) -> Result<(), LineError> {
        self.done(&Request::Leave).await
    }

    /// Returns when the guard has hung up. To be called while no question is open.
    pub(super) async fn broken(&mut self) -> LineError {
        match self.from.fill_buf().await {
            Ok([]) => LineError::Broken(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => LineError::Odd(format!("{} bytes without a question", more.len())),
            Err(error) => LineError::Broken(error),
        }
    }

    async fn done(&mut self, request: &Request) -> Result<(), LineError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            other => Err(self.odd(other)),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, LineError> {
        let mut line = String::new();
        let talk = async {
            wire::write(&mut self.to, request).await?;
            self.from.read_line(&mut line).await
        };
        match timeout(ANSWER, talk).await {
            Err(_) => Err(LineError::Silent { pid: self.guard }),
            Ok(Err(error)) => Err(LineError::Broken(error)),
            Ok(Ok(0)) => Err(LineError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(Ok(_)) => {
                serde_json::from_str(&line).map_err(|error| LineError::Odd(error.to_string()))
            }
        }
    }

    fn odd(&self, reply: Reply) -> LineError {
        match reply {
            Reply::Protocol { mine } => LineError::Protocol { pid: self.guard, theirs: mine },
            Reply::Elsewhere { data_directory } => LineError::Elsewhere { data_directory },
            Reply::Refused { why } => LineError::Refused(why),
            Reply::Watching { .. } | Reply::Armed { .. } | Reply::Done => {
                LineError::Odd(format!("{reply:?}"))
            }
        }
    }
}
