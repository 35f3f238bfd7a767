//! What the guard needs of Postgres: its postmaster held, its end without a disk's help, the proof that it is in
//! recovery. Never decides when.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::control::{Control, State};
use super::error::sentence;
use super::process::{self, Process};

pub(crate) use super::process::Ended;

/// How long SIGKILL may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A postmaster that is held: its number cannot come to mean another process.
pub(crate) struct Postmaster(Process);

impl Postmaster {
    /// Who leads the processes of the Postgres in `data`. Reads no file of its.
    pub(crate) fn find(data: &Path) -> io::Result<Option<Self>> {
        Ok(process::leader(data)?.map(Self))
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.0.pid
    }

    pub(crate) fn lives(&self) -> bool {
        self.0.lives()
    }
}

/// Whether any process of the Postgres in `data` is left.
pub(crate) fn runs(data: &Path) -> io::Result<bool> {
    Ok(!process::scan(data)?.is_empty())
}

/// Ends every process of the Postgres in `data` as fast as it can be: SIGQUIT, which lets it tell its clients, then
/// SIGKILL, which also ends what was stopped. Reads and writes none of its files: its disk may hang.
pub(crate) async fn close(held: Option<&Postmaster>, data: &Path) -> io::Result<Ended> {
    if let Some(Postmaster(postmaster)) = held {
        process::quit(postmaster).await?;
        postmaster.signal(Signal::KILL)?;
    }
    process::kill_all(data, PATIENCE).await
}

/// Ends backends that have outlived a postmaster: they may still commit.
pub(crate) async fn kill_orphans(data: &Path) -> io::Result<Ended> {
    process::kill_orphans(data, PATIENCE).await
}

/// Whether the Postgres in `data` is in recovery, and nobody has asked it to leave it. Reads files.
///
/// A promotion removes `standby.signal` before the first write is accepted, and `pg_control` says "in production"
/// after that: so the signal, together with a state that no writable server has, is proof.
///
/// # Errors
/// Why that is not certain.
pub(crate) fn in_recovery(data: &Path) -> Result<(), String> {
    let there = |name: &str| {
        let known = data.join(name).try_exists();
        known.map_err(|error| format!("{name} cannot be looked for: {error}"))
    };
    if !there("standby.signal")? {
        return Err("there is no standby.signal".to_owned());
    }
    if there("promote")? {
        return Err("its promotion was asked for".to_owned());
    }
    match Control::read(data) {
        Ok(Control { state: State::InRecovery | State::ShutDownInRecovery, .. }) => Ok(()),
        Ok(Control { state: State::ShutDown | State::Other, .. }) => {
            Err("pg_control does not say that it is in recovery".to_owned())
        }
        Err(error) => Err(sentence(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(data: &Path, state: u32) {
        let mut control = vec![0; 296];
        let mut put = |at: usize, bytes: [u8; 4]| control[at..at + 4].copy_from_slice(&bytes);
        put(8, 1300_u32.to_ne_bytes());
        put(16, state.to_ne_bytes());
        put(224, 8192_u32.to_ne_bytes());
        put(228, (16_u32 << 20).to_ne_bytes());
        std::fs::write(data.join("global/pg_control"), control).unwrap();
    }

    #[test]
    fn recovery_is_believed_only_when_every_sign_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        std::fs::create_dir(data.join("global")).unwrap();
        let why = || in_recovery(data).unwrap_err();
        assert!(why().contains("no standby.signal"));
        std::fs::write(data.join("standby.signal"), "").unwrap();
        assert!(why().contains("No such file"), "a file that cannot be read proves nothing");
        let (shut_down_in_recovery, in_archive_recovery, in_production) = (2, 5, 6);
        state(data, in_production);
        assert!(why().contains("pg_control does not say"));
        for proof in [shut_down_in_recovery, in_archive_recovery] {
            state(data, proof);
            assert_eq!(in_recovery(data), Ok(()));
        }
        std::fs::write(data.join("promote"), "").unwrap();
        assert!(why().contains("promotion was asked for"));
    }
}
