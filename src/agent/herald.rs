//! What systemd is told of the agent: that it is ready, what it does, that it stops. Never waits, and never fails:
//! nobody may be listening.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use haa_core::input::Input;
use haa_core::routes::Status;

/// Speaks sd_notify's protocol.
#[derive(Debug)]
pub(super) struct Herald {
    to: Option<(UnixDatagram, SocketAddr)>,
    ready: bool,
    /// The sentence as last told.
    told: String,
}

impl Herald {
    /// To the socket of `NOTIFY_SOCKET`, if there is one.
    pub(super) fn new(notify_socket: Option<&OsStr>) -> Self {
        let to = notify_socket.and_then(|at| {
            open(at)
                .inspect_err(|error| tracing::warn!(%error, "systemd is not told how haad is"))
                .ok()
        });
        Self { to, ready: false, told: String::new() }
    }

    /// Ready is who has looked at its Postgres: from then on the API says what this member is. etcd is not waited for,
    /// or no unit after this one would start while etcd is away.
    pub(super) fn know(&mut self, status: &Status) {
        let leader = match &status.leader {
            Some((leader, _)) if *leader == status.me => "leads".to_owned(),
            Some((leader, _)) => format!("{leader} leads"),
            None => "nobody leads".to_owned(),
        };
        let why = status.waits.as_ref().unwrap_or(&status.reason);
        let sentence = format!("{}, {leader} in term {}: {why}", status.role, status.term.0);
        if sentence != self.told {
            // One line: a line break would begin another message.
            self.say(&format!("STATUS={}", sentence.replace('\n', " ")));
            self.told = sentence;
        }
        if status.postgres.is_some() && !std::mem::replace(&mut self.ready, true) {
            self.say("READY=1");
        }
    }

    /// Asked to stop, it is stopping.
    pub(super) fn hear(&self, input: &Input) {
        if matches!(input, Input::Stop(_)) {
            self.say("STOPPING=1");
        }
    }

    fn say(&self, message: &str) {
        let Some((socket, to)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), to) {
            tracing::debug!(%error, message, "systemd was not told");
        }
    }
}

/// A path, or an abstract name behind an `@`.
fn open(at: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match at.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(at)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}
