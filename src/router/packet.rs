//! The first packets of a client, and the answers that a router gives itself. Never looks behind a startup packet.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// As Postgres: a longer startup packet is none (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST: usize = 10_000;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// A cancel key has 4 bytes, from protocol 3.2 on up to 256.
const LONGEST_KEY: usize = 256;

/// What a client begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// SSLRequest or GSSENCRequest, as it came.
    Encrypt(Vec<u8>),
    /// The beginning of TLS without a request (`sslnegotiation=direct`), as it came.
    Tls(Vec<u8>),
    /// A startup packet, as it came.
    Startup(Vec<u8>),
    /// CancelRequest.
    Cancel(Key),
}

/// Process number and secret of a session: what a CancelRequest must know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// The payload of BackendKeyData, or what follows the code of a CancelRequest.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        (5..=4 + LONGEST_KEY).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The CancelRequest with this key.
    pub(super) fn request(&self) -> Vec<u8> {
        let length = u32::try_from(8 + self.0.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes(), &CANCEL.to_be_bytes(), self.0.as_slice()].concat()
    }
}

/// Why there is no packet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the connection ended before its first packet")]
    Ended,
    #[error("the connection ended in the middle of its first packet")]
    Half,
    #[error("these are not the first bytes of a Postgres client: a packet of {0} bytes")]
    Length(u32),
    #[error("protocol {}.{} is none that haa's router speaks: use 3.0 or newer", .0 >> 16, .0 & 0xffff)]
    Protocol(u32),
    #[error("a CancelRequest without a key")]
    Key,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
}

impl Unreadable {
    /// What the client is told, if it can be: a code and a sentence.
    pub(super) fn says(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Ended | Self::Half | Self::Key | Self::Broken(_) => None,
            Self::Length(_) => Some(("08P01", self.to_string())),
            Self::Protocol(_) => Some(("0A000", self.to_string())),
        }
    }
}

/// Reads one packet and no byte more.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Packet, Unreadable> {
    let mut head = [0; 4];
    match from.read(&mut head).await.map_err(Unreadable::Broken)? {
        0 => return Err(Unreadable::Ended),
        got => fill(from, &mut head[got..]).await?,
    }
    // A handshake record of TLS; as a length it would be 369 million bytes.
    if head[0] == 0x16 && head[1] == 0x03 {
        return Ok(Packet::Tls(head.to_vec()));
    }
    let length = u32::from_be_bytes(head);
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if !(8..=LONGEST).contains(&bytes) {
        return Err(Unreadable::Length(length));
    }
    let mut packet = vec![0; bytes];
    packet[..4].copy_from_slice(&head);
    fill(from, &mut packet[4..8]).await?;
    let code = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    match (code, bytes) {
        (SSL | GSS, 8) => Ok(Packet::Encrypt(packet)),
        (SSL | GSS, _) => Err(Unreadable::Length(length)),
        (CANCEL, _) => {
            fill(from, &mut packet[8..]).await?;
            Key::new(&packet[8..]).map(Packet::Cancel).ok_or(Unreadable::Key)
        }
        (code, _) if code >> 16 == 3 => {
            fill(from, &mut packet[8..]).await?;
            Ok(Packet::Startup(packet))
        }
        (code, _) => Err(Unreadable::Protocol(code)),
    }
}

async fn fill(from: &mut (impl AsyncRead + Unpin), rest: &mut [u8]) -> Result<(), Unreadable> {
    match from.read_exact(rest).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Unreadable::Half),
        Err(error) => Err(Unreadable::Broken(error)),
    }
}

/// An ErrorResponse that ends the session.
pub(super) fn fatal(code: &str, sentence: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', sentence)] {
        fields.push(kind);
        fields.extend(text.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(4 + fields.len()).unwrap_or(u32::MAX);
    [b"E".as_slice(), length.to_be_bytes().as_slice(), &fields].concat()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    async fn given(bytes: &[u8]) -> Result<Packet, Unreadable> {
        let mut from = bytes;
        read(&mut from).await
    }

    fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(8 + rest.len()).unwrap();
        [&length.to_be_bytes(), &code.to_be_bytes(), rest].concat()
    }

    #[tokio::test]
    async fn each_first_packet_is_read_as_it_came_and_no_byte_more() {
        let startup = packet(3 << 16, b"user\0app\0\0");
        assert_eq!(given(&startup).await.unwrap(), Packet::Startup(startup.clone()));
        let newer = packet(3 << 16 | 2, b"user\0app\0\0");
        assert_eq!(given(&newer).await.unwrap(), Packet::Startup(newer));
        for code in [SSL, GSS] {
            let request = packet(code, b"");
            let more = [request.as_slice(), &startup].concat();
            let mut from = more.as_slice();
            assert_eq!(read(&mut from).await.unwrap(), Packet::Encrypt(request));
            assert_eq!(from, startup);
        }
        let hello = [0x16, 3, 1, 2, 0, 1];
        assert_eq!(given(&hello).await.unwrap(), Packet::Tls(hello[..4].to_vec()));
    }

    #[tokio::test]
    async fn a_cancel_request_is_made_again_from_its_key() {
        for secret in [4, 32, 256] {
            let request = packet(CANCEL, &vec![7; 4 + secret]);
            let Packet::Cancel(key) = given(&request).await.unwrap() else { panic!("no cancel") };
            assert_eq!(key.request(), request);
        }
        for odd in [0, 4, 261] {
            let request = packet(CANCEL, &vec![7; odd]);
            assert!(matches!(given(&request).await, Err(Unreadable::Key)), "{odd}");
        }
    }

    #[tokio::test]
    async fn what_is_no_packet_is_refused() {
        assert!(matches!(given(b"").await, Err(Unreadable::Ended)));
        assert!(matches!(given(b"\0\0").await, Err(Unreadable::Half)));
        assert!(matches!(given(&packet(SSL, b"")[..7]).await, Err(Unreadable::Half)));
        assert!(matches!(given(b"GET / HTTP/1.1\r\n").await, Err(Unreadable::Length(_))));
        assert!(matches!(given(&[0, 0, 0, 7, 0, 0, 0]).await, Err(Unreadable::Length(7))));
        let long = 10_001_u32.to_be_bytes();
        assert!(matches!(given(&long).await, Err(Unreadable::Length(10_001))));
        assert!(matches!(given(&packet(SSL, b"x")).await, Err(Unreadable::Length(9))));
        let old = given(&packet(2 << 16, b"")).await.unwrap_err();
        assert_eq!(old.says().unwrap().0, "0A000");
        assert!(old.to_string().starts_with("protocol 2.0 is none"), "{old}");
    }

    #[test]
    fn fuzz_first_packets() {
        let startup = packet(3 << 16, b"user\0app\0database\0shop\0\0");
        let examples =
            [&startup, &packet(SSL, b""), &packet(CANCEL, &[7; 8]), &packet(2 << 16, b"")];
        let hello = [0x16, 3, 1, 2, 0, 1];
        let examples: Vec<&[u8]> =
            examples.into_iter().map(Vec::as_slice).chain([&hello[..]]).collect();
        crate::fuzz::bytes(&examples, |bytes| {
            let mut from = bytes;
            let read = read(&mut from).now_or_never().expect("nothing is waited for");
            let taken = &bytes[..bytes.len() - from.len()];
            match read {
                Ok(
                    Packet::Encrypt(as_it_came)
                    | Packet::Tls(as_it_came)
                    | Packet::Startup(as_it_came),
                ) => {
                    assert_eq!(as_it_came, taken);
                }
                Ok(Packet::Cancel(key)) => assert_eq!(key.request(), taken),
                Err(why) => {
                    let Some((code, says)) = why.says() else { return };
                    let answer = fatal(code, &says);
                    let length = u32::try_from(answer.len() - 1).unwrap();
                    assert_eq!(answer[1..5], length.to_be_bytes());
                }
            }
        });
    }

    #[test]
    fn a_fatal_answer_is_one_that_postgres_could_give() {
        let answer = fatal("57P03", "not\0 now");
        let expected = b"SFATAL\0VFATAL\0C57P03\0Mnot now\0\0";
        assert_eq!(answer[0], b'E');
        assert_eq!(answer[1..5], u32::try_from(expected.len() + 4).unwrap().to_be_bytes());
        assert_eq!(&answer[5..], expected);
    }
}
