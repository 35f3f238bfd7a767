//! Writes what an import made: files that were not there, secrets for their owner alone. Never over anything.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::draft::{Content, Secret};
use super::error::ImportError;

/// Whether everything can be written; looked at before anything is.
pub(super) fn free(file: Option<&Path>, secrets: Option<&[Secret]>) -> Result<(), ImportError> {
    if let Some(path) = file.filter(|path| path.exists()) {
        return Err(ImportError::There { path: path.to_owned() });
    }
    for secret in secrets.unwrap_or_default() {
        there(secret)?;
    }
    Ok(())
}

/// Whether it is there already, as another member's import wrote it.
fn there(secret: &Secret) -> Result<bool, ImportError> {
    let path = &secret.path;
    match (std::fs::read_to_string(path), &secret.content) {
        (Err(error), _) if error.kind() == ErrorKind::NotFound => Ok(false),
        (Err(source), _) => Err(ImportError::Unreadable { path: path.clone(), source }),
        (Ok(found), Content::Said(said)) if found.trim_end() != said => {
            Err(ImportError::OtherSecret { path: path.clone() })
        }
        (Ok(_), Content::Said(_) | Content::New) => Ok(true),
    }
}

/// Writes those that are not there.
pub(super) fn secrets(secrets: &[Secret]) -> Result<(), ImportError> {
    for secret in secrets {
        if there(secret)? {
            continue;
        }
        if let Some(directory) = secret.path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|source| ImportError::Write { path: directory.to_owned(), source })?;
        }
        let text = match &secret.content {
            Content::Said(said) => said.clone(),
            Content::New => {
                format!("{:032x}{:016x}", rand::random::<u128>(), rand::random::<u64>())
            }
        };
        new(&secret.path, 0o600, &format!("{text}\n"))?;
    }
    Ok(())
}

/// Writes haad.toml.
pub(super) fn file(path: &Path, text: &str) -> Result<(), ImportError> {
    new(path, 0o644, text)
}

fn new(path: &Path, mode: u32, text: &str) -> Result<(), ImportError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::AlreadyExists => ImportError::There { path: path.to_owned() },
        _ => ImportError::Write { path: path.to_owned(), source },
    };
    let mut file = opened.map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    // Half a file would be in the way of the next attempt.
    written.inspect_err(|_| drop(std::fs::remove_file(path))).map_err(failed)
}

/// What is for people, where standard output is for the file.
pub(super) fn aside(text: &str) -> std::io::Result<()> {
    std::io::stderr().lock().write_all(text.as_bytes())
}
