//! Bytes from one side to the other, as they are. Never looks at them, but for the key of a session in clear.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::counters::Counts;

thread_local! {
    /// One for each thread, so that a connection that is idle has none.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// Relays until the server ends, or the client has ended and the server has said all. `look` sees what the server says.
pub(super) async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    counts: &Counts,
    mut look: impl FnMut(&[u8]),
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let bytes = &counts.bytes_to_server;
        while let Some(count) = pass(&mut from_client, &mut to_server, |_| {}).await? {
            bytes.add(count);
        }
        to_server.shutdown().await
    };
    let down = async {
        let bytes = &counts.bytes_to_client;
        while let Some(count) = pass(&mut from_server, &mut to_client, &mut look).await? {
            bytes.add(count);
        }
        to_client.shutdown().await
    };
    tokio::pin!(up, down);
    tokio::select! {
        // A client whose server is gone has nobody to talk to.
        ended = &mut down => return ended,
        ended = &mut up => ended?,
    }
    down.await
}

/// Passes on what is there, once there is something; `None` at the end.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut look: impl FnMut(&[u8]),
) -> io::Result<Option<u64>> {
    let (count, rest) = poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(io::Result::Ok((0, Vec::new())));
            }
            look(bytes);
            let written = match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            let rest = bytes.get(written..).unwrap_or_default().to_vec();
            Poll::Ready(Ok((bytes.len(), rest)))
        })
    })
    .await?;
    if !rest.is_empty() {
        to.write_all(&rest).await?;
    }
    Ok((count > 0).then(|| u64::try_from(count).unwrap_or(u64::MAX)))
}
