//! Connections to a server: made within a time, and noticed when they are dead. Never says which server.

use std::io;
use std::time::Duration;

use haa_core::units::Address;
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::{Word, word};

/// A server that does not take a connection within this is tried again at the next news.
const CONNECT: Duration = Duration::from_secs(1);
/// A server that says nothing to a first packet for this long is not asked further.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// A connection on which nothing comes back for this long belongs to a dead host.
const KEEPALIVE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Connects, with small packets sent at once and a dead peer noticed.
pub(super) async fn connect(at: &Address) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((at.host.as_str(), at.port));
    let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {CONNECT:?}"))
    })??;
    keep_alive(&stream)?;
    Ok(stream)
}

/// For either side of a relay.
pub(super) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    Ok(())
}

/// A server that took the first packet, and the first that it said to it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) said: Vec<u8>,
}

/// Sends the first packet and waits for the first word. Nothing has happened at a server that has not said one, so
/// that another may be asked instead.
pub(super) async fn open(at: &Address, packet: &[u8]) -> io::Result<Opened> {
    let mut stream = connect(at).await?;
    stream.write_all(packet).await?;
    tokio::time::timeout(FIRST_WORD, first_word(stream)).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no word within {FIRST_WORD:?}")))
    })
}

async fn first_word(mut stream: TcpStream) -> io::Result<Opened> {
    let mut said = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut said).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        match word(&said) {
            Word::Part => {}
            Word::Speaks => return Ok(Opened { stream, said }),
            Word::NotNow => return Err(io::Error::other("it takes no sessions at the moment")),
        }
    }
}
