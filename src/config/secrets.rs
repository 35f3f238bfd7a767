//! Passwords come from files that nobody else may read. Never from the command line, never shown.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Why a secret file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// It is not there, or not ours to read.
    #[error("{path} cannot be read ({source}): create it, owned by the user that runs haad")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("{path} can be read by others (mode {mode:04o}): run chmod 0600 {path}")]
    Open {
        /// Which.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no text.
    #[error("{path} is not UTF-8 text: write the password as text")]
    NotText {
        /// Which.
        path: String,
    },
    /// Nothing is in it.
    #[error("{path} is empty: write the password into it")]
    Empty {
        /// Which.
        path: String,
    },
    /// More than one line.
    #[error("{path} has more than one line: write the password alone, on one line")]
    Lines {
        /// Which.
        path: String,
    },
}

/// The text of a file that only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<String, SecretError> {
    let name = || path.display().to_string();
    let unreadable = |source| SecretError::Unreadable { path: name(), source };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: name(), mode });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| SecretError::NotText { path: name() })
}

/// A password, without the newline at its end.
pub(super) fn password(path: &Path) -> Result<String, SecretError> {
    let text = read_private(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let name = || path.display().to_string();
    if line.is_empty() {
        return Err(SecretError::Empty { path: name() });
    }
    if line.contains(['\n', '\r', '\0']) {
        return Err(SecretError::Lines { path: name() });
    }
    Ok(line.to_owned())
}
