//! TLS of the API's port and of those who ask there: certificates from files, read anew when they change. Never says
//! who may do what.

mod dialer;
mod door;
mod papers;

pub use dialer::{Believer, Dialed, Dialer, Http};
pub use door::{Accepted, Door, Rights};
pub use papers::{Identity, TlsError};

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// How a member's port speaks TLS, and how it speaks to the ports of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What this member shows to others, as a server and as a client.
    pub identity: Identity,
    /// Whom it believes: certificates of this authority.
    pub authority: PathBuf,
    /// Who must show a certificate.
    pub verify: Verify,
    /// What becomes of those who do not speak TLS.
    pub plain: Plain,
}

/// Which clients must show a certificate of the authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Nobody.
    #[default]
    None,
    /// Whoever commands, members among them: every request but GET, HEAD and OPTIONS.
    Optional,
    /// Everybody.
    Required,
}

/// What becomes of those who do not speak TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    /// They are told that they must.
    #[default]
    Refused,
    /// They are answered, and members that do not speak TLS yet are spoken to without: for the time in which a running
    /// cluster changes, one member after the other.
    Answered,
}

/// The one provider, whatever else the program links.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
