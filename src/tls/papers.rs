//! Certificates and keys as files. Reads and checks them; never connects.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate, those that link it to the authority, and its key; PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate comes first.
    pub certificate: PathBuf,
    /// Nobody else may read it, but the group that owns it.
    pub key: PathBuf,
}

/// Why a certificate or a key is not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It is not there, or not ours to read.
    #[error("{} cannot be read ({why}): correct the path, or let this program's user read it", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// Anybody may read the key.
    #[error("{} can be read by everybody (mode {mode:04o}): run chmod 0600 {}", path.display(), path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("{} has no {what} in PEM: openssl writes it as -----BEGIN ...", path.display())]
    Absent {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// They do not belong together, or are of a kind that cannot be used.
    #[error("{} and its key cannot be used: {why}", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why.
        why: rustls::Error,
    },
    /// No certificate can be checked by it.
    #[error("{} cannot be used as an authority: {why}", path.display())]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

pub(super) type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Identity {
    pub(super) fn read(&self) -> Result<Chain, TlsError> {
        let certificates = certificates(&self.certificate)?;
        let mut text = Vec::new();
        let unreadable = |why| TlsError::Unreadable { path: self.key.clone(), why };
        let mut file = File::open(&self.key).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(TlsError::Open { path: self.key.clone(), mode });
        }
        file.read_to_end(&mut text).map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| TlsError::Absent { path: self.key.clone(), what: "private key" })?;
        Ok((certificates, key))
    }

    pub(super) fn unusable(&self, why: rustls::Error) -> TlsError {
        TlsError::Unusable { path: self.certificate.clone(), why }
    }
}

/// The certificates of a file, in its order.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text =
        std::fs::read(path).map_err(|why| TlsError::Unreadable { path: path.to_owned(), why })?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(TlsError::Absent { path: path.to_owned(), what: "certificate" }),
    }
}

/// Whoever has a certificate of one of these is believed.
pub(super) fn authority(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let refused = |why: rustls::Error| TlsError::Authority {
            path: path.to_owned(),
            why: why.to_string(),
        };
        roots.add(certificate).map_err(refused)?;
    }
    Ok(roots)
}
