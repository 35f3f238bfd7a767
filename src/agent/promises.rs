//! The thread that keeps the agent's promises: on disk and synced, then told. Never holds one back, never forgets one
//! for a newer one that is not on disk yet.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use haa_core::input::Input;
use haa_core::voters::Promises;
use tokio::sync::mpsc;

/// What an agent that promises is to tell.
#[derive(Debug, thiserror::Error)]
pub enum PromiseError {
    /// The file is there and says nothing that we understand.
    #[error(
        "cannot read {path}, which holds what this member has promised to other members; without it the member could \
         break its word and acknowledged commits could be lost. Repair its disk. If the file is lost for good, make \
         sure that the cluster has a primary, remove this member's data directory together with the file, and let it \
         be cloned anew"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The system has no thread for it.
    #[error("cannot start the thread that keeps promises")]
    Thread(#[source] io::Error),
}

/// Takes promises; never waits.
pub(super) struct Keeper {
    to: Sender<Promises>,
}

/// What an earlier run promised: nothing, if there is no file.
///
/// # Errors
/// The file is there and cannot be read.
pub(super) fn read(directory: &Path) -> Result<Promises, PromiseError> {
    let path = directory.join("promises.json");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Promises::default()),
        other => other.map_err(|source| PromiseError::Unreadable { path: path.clone(), source })?,
    };
    serde_json::from_slice(&text)
        .map_err(|error| PromiseError::Unreadable { path, source: io::Error::other(error) })
}

impl Keeper {
    /// Promises that are on disk are told to `inputs`.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start(
        directory: &Path,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, PromiseError> {
        let (to, from) = channel();
        let directory = directory.to_owned();
        std::thread::Builder::new()
            .name("promises".to_owned())
            .spawn(move || keep(&directory, &from, &inputs))
            .map_err(PromiseError::Thread)?;
        Ok(Self { to })
    }

    pub(super) fn keep(&self, promises: Promises) {
        if self.to.send(promises).is_err() {
            tracing::error!("the thread that keeps promises is gone; this member grants nothing");
        }
    }
}

fn keep(directory: &Path, from: &Receiver<Promises>, inputs: &mpsc::Sender<Input>) {
    while let Ok(first) = from.recv() {
        // Each holds all that is promised: of those that wait, the newest says it all.
        let promises = from.try_iter().last().unwrap_or(first);
        match write(directory, &promises) {
            Ok(()) => {
                if inputs.blocking_send(Input::Promised(promises)).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot write promises.json; this member grants nothing");
            }
        }
    }
}

fn write(directory: &Path, promises: &Promises) -> io::Result<()> {
    let text = serde_json::to_vec(promises)?;
    let new = directory.join("promises.json.new");
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, directory.join("promises.json"))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use haa_core::units::{Millis, Revision, Term, Token};
    use haa_core::voters::{Attempt, Question};

    use super::*;

    fn promises(term: u64) -> Promises {
        let attempt = Attempt {
            candidate: "n2".parse().expect("a legal name"),
            term: Term(term),
            revision: Revision(7),
            token: Token(9),
        };
        let failsafe = Some(Question {
            leader: "n1".parse().expect("a legal name"),
            term: Term(term - 1),
            run: 4,
            number: 2,
            ttl: Millis(10_000),
        });
        Promises { grant: Some(attempt), term: Term(term), sync_version: 3, failsafe }
    }

    #[tokio::test]
    async fn a_promise_that_was_told_is_found_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read(directory.path()).expect("nothing yet"), Promises::default());
        let (to, mut inputs) = mpsc::channel(4);
        let keeper = Keeper::start(directory.path(), to).expect("a thread");
        keeper.keep(promises(5));
        assert_eq!(inputs.recv().await, Some(Input::Promised(promises(5))));
        assert_eq!(read(directory.path()).expect("readable"), promises(5));
    }

    #[test]
    fn a_file_of_an_older_haad_is_read() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let old = r#"{"grant":null,"term":4,"sync_version":9}"#;
        fs::write(directory.path().join("promises.json"), old).expect("written");
        let promises = read(directory.path()).expect("readable");
        assert_eq!((promises.term, promises.failsafe), (Term(4), None));
    }

    #[test]
    fn a_broken_file_is_refused_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("promises.json"), "{\"grant\": 4").expect("written");
        let error = read(directory.path()).expect_err("broken").to_string();
        assert!(error.contains("promises.json") && error.contains("cloned anew"), "{error}");
    }
}
