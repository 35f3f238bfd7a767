//! The server's side of a connection: TLS or not, and who is there. Never reads a request.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::papers::{TlsError, authority};
use super::{Plain, Tls, Verify, provider};
use crate::config::fresh::Fresh;

/// The first byte of every TLS handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// To whoever speaks HTTP to a port that speaks TLS.
const TOLD: &str = "this port speaks TLS: ask by https://, and give haactl a --ca-file\n";

/// Lets connections in.
#[derive(Clone, Debug, Default)]
pub struct Door(Option<Arc<Locked>>);

#[derive(Debug)]
struct Locked {
    tls: Tls,
    config: Fresh<Arc<ServerConfig>>,
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes, in clear on our side.
    pub stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// What it may do here.
    pub rights: Rights,
}

/// What a connection may do, before anybody looks at its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Ask and command.
    All,
    /// Ask.
    Questions,
}

impl Door {
    /// For everybody, without TLS.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }

    /// By TLS.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn load(tls: &Tls) -> Result<Self, TlsError> {
        let files = [&tls.identity.certificate, &tls.identity.key, &tls.authority];
        let config = Fresh::load(files.map(Clone::clone).to_vec(), || server(tls))?;
        Ok(Self(Some(Arc::new(Locked { tls: tls.clone(), config }))))
    }

    /// Whether clients speak TLS here.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.0.is_some()
    }

    /// Takes the client's part of the handshake; whoever cannot make it is told why where that is possible.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn accept(&self, mut stream: TcpStream) -> io::Result<Accepted> {
        let Some(door) = &self.0 else {
            return Ok(Accepted { stream: Either::Left(stream), rights: Rights::All });
        };
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first != [HANDSHAKE] {
            if door.tls.plain == Plain::Answered {
                return Ok(Accepted { stream: Either::Left(stream), rights: Rights::All });
            }
            let length = TOLD.len();
            let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain";
            let answer = format!("{head}\r\ncontent-length: {length}\r\n\r\n{TOLD}");
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            return Err(io::Error::other("a client does not speak TLS"));
        }
        let config = door.config.get("certificates", || server(&door.tls));
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certified = stream.get_ref().1.peer_certificates().is_some();
        let rights = match door.tls.verify {
            Verify::Optional if !certified => Rights::Questions,
            Verify::None | Verify::Optional | Verify::Required => Rights::All,
        };
        Ok(Accepted { stream: Either::Right(Box::new(stream)), rights })
    }
}

fn server(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls.identity.unusable(error))?;
    let roots = Arc::new(authority(&tls.authority)?);
    let verifier = || WebPkiClientVerifier::builder_with_provider(roots, provider());
    let verifier = match tls.verify {
        Verify::None => None,
        Verify::Optional => Some(verifier().allow_unauthenticated().build()),
        Verify::Required => Some(verifier().build()),
    };
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(made) => builder.with_client_cert_verifier(made.map_err(|error| {
            TlsError::Authority { path: tls.authority.clone(), why: error.to_string() }
        })?),
    };
    let (chain, key) = tls.identity.read()?;
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| tls.identity.unusable(error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
