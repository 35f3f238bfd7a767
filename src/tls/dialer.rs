//! The client's side of a connection: over TLS where there is an authority to check by. Never sends a request.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haa_core::units::Address;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::papers::{TlsError, authority};
use super::{Identity, Plain, Tls, provider};
use crate::config::fresh::Fresh;

/// Opens connections to agents.
#[derive(Clone, Debug, Default)]
pub struct Dialer(Option<Arc<Careful>>);

#[derive(Debug)]
struct Careful {
    authority: PathBuf,
    identity: Option<Identity>,
    plain: Plain,
    config: Fresh<Arc<ClientConfig>>,
}

/// What will be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1
    One,
    /// HTTP/2
    Two,
}

/// A connection, in clear on our side.
pub type Dialed = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Dialer {
    /// Without TLS.
    #[must_use]
    pub const fn plain() -> Self {
        Self(None)
    }

    /// As an operator, who believes this authority and may have a certificate of it.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn load(authority: &Path, identity: Option<Identity>) -> Result<Self, TlsError> {
        Self::with(authority, identity, Plain::Refused)
    }

    /// As one member speaks to another.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn of_member(tls: &Tls) -> Result<Self, TlsError> {
        Self::with(&tls.authority, Some(tls.identity.clone()), tls.plain)
    }

    fn with(path: &Path, identity: Option<Identity>, plain: Plain) -> Result<Self, TlsError> {
        let own = identity.iter().flat_map(|own| [own.certificate.clone(), own.key.clone()]);
        let files = std::iter::once(path.to_owned()).chain(own).collect();
        let config = Fresh::load(files, || client(path, identity.as_ref()))?;
        let authority = path.to_owned();
        Ok(Self(Some(Arc::new(Careful { authority, identity, plain, config }))))
    }

    /// Connects, and checks who is there.
    ///
    /// # Errors
    /// Nobody is there, or somebody else.
    pub async fn dial(&self, to: &Address, http: Http) -> io::Result<Dialed> {
        let stream = connect(to).await?;
        let Some(careful) = &self.0 else { return Ok(Either::Left(stream)) };
        let mut config = (*careful.current()).clone();
        config.alpn_protocols = vec![match http {
            Http::One => b"http/1.1".to_vec(),
            Http::Two => b"h2".to_vec(),
        }];
        let name = server_name(to)?;
        match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            Ok(secure) => Ok(Either::Right(Box::new(secure))),
            // What it said is no TLS: it does not speak that yet.
            Err(error) if careful.plain == Plain::Answered && speaks_no_tls(&error) => {
                Ok(Either::Left(connect(to).await?))
            }
            Err(error) => Err(error),
        }
    }
}

impl Careful {
    fn current(&self) -> Arc<ClientConfig> {
        self.config.get("certificates", || client(&self.authority, self.identity.as_ref()))
    }
}

/// Speaks TLS where a server has agreed to it, and believes certificates of one authority.
#[derive(Clone, Debug)]
pub struct Believer(Arc<Careful>);

impl Believer {
    /// Of this authority.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn load(authority: &Path) -> Result<Self, TlsError> {
        let config = Fresh::load(vec![authority.to_owned()], || client(authority, None))?;
        let (authority, plain) = (authority.to_owned(), Plain::Refused);
        Ok(Self(Arc::new(Careful { authority, identity: None, plain, config })))
    }

    /// Goes on by TLS in a connection to this address, and checks who is there.
    ///
    /// # Errors
    /// It is somebody else, or the connection ends.
    pub async fn secure(
        &self,
        stream: TcpStream,
        to: &Address,
    ) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(self.0.current()).connect(server_name(to)?, stream).await
    }
}

async fn connect(to: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn server_name(to: &Address) -> io::Result<ServerName<'static>> {
    ServerName::try_from(to.host.clone()).map_err(io::Error::other)
}

fn speaks_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    // A server that does not understand may answer in its own words, or just hang up.
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
        || matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

fn client(path: &Path, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let refused =
        |why: rustls::Error| TlsError::Authority { path: path.to_owned(), why: why.to_string() };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_root_certificates(authority(path)?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = own.read()?;
            builder.with_client_auth_cert(chain, key).map_err(|error| own.unusable(error))?
        }
    };
    Ok(Arc::new(config))
}

impl Tls {
    /// What a client that believes the authority will say to this member at this address, if it is no.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn objection(&self, at: &Address) -> Result<Option<String>, TlsError> {
        self.objection_in(at, Duration::ZERO)
    }

    /// The same so much later, if the files stay as they are.
    ///
    /// # Errors
    /// As there.
    pub fn objection_in(&self, at: &Address, later: Duration) -> Result<Option<String>, TlsError> {
        let (chain, _) = self.identity.read()?;
        let roots = Arc::new(authority(&self.authority)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        let refused = |why: String| TlsError::Authority { path: self.authority.clone(), why };
        let verifier = verifier.map_err(|error| refused(error.to_string()))?;
        let Ok(name) = server_name(at) else {
            return Ok(Some(format!("{} is no name for a certificate", at.host)));
        };
        let (first, links) = chain.split_first().map_or((None, &[][..]), |(a, b)| (Some(a), b));
        let Some(first) = first else { return Ok(Some("there is no certificate".to_owned())) };
        let then = UnixTime::since_unix_epoch(
            Duration::from_secs(UnixTime::now().as_secs()).saturating_add(later),
        );
        let judged = verifier.verify_server_cert(first, links, &name, &[], then);
        Ok(judged.err().map(|error| error.to_string()))
    }
}
