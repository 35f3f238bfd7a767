//! What our Postgres was last seen to take: the parameters that it started with, the rules of access that it let
//! clients in by, and what it did not start with. Never decides what it is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haa_core::units::Revision;
use serde::{Deserialize, Serialize};

use super::files;
use super::wished::{Told, Wished};

/// Kept so that a Postgres that died with its machine comes back though its parameters were changed meanwhile.
const FILE: &str = "haa.proven.json";

/// What is known of it.
pub(super) struct Proven {
    file: PathBuf,
    now: Mutex<Known>,
    /// The last start failed.
    failing: AtomicBool,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Known {
    /// It started with this.
    started: Option<Told>,
    /// It has gone by this since, and would have said if it waited for a start.
    taken: Option<Told>,
    rules: Option<Vec<String>>,
    failed: Option<Failed>,
}

/// How often in a row a start has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    First,
    Again,
}

/// What Postgres did not start with, and why, in a sentence.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Failed {
    with: Told,
    why: String,
}

impl Proven {
    /// As it was kept. What cannot be read is not known: it is learnt at the next start.
    pub(super) fn of(state: &Path) -> Self {
        let file = state.join(FILE);
        let known = read(&file).unwrap_or_else(|error| {
            let file = file.display();
            tracing::warn!(%error, "{file} cannot be read: what Postgres last started with is not known");
            Known::default()
        });
        Self { file, now: Mutex::new(known), failing: AtomicBool::new(false) }
    }

    /// What it went by before, the newest first, where that is something else than is `wished`. A start may fail by
    /// chance: what was in force is given up only when one fails `again`.
    pub(super) fn before(&self, wished: &Wished, failures: Failures) -> Vec<Wished> {
        let known = self.known();
        let mut all: Vec<Told> = Vec::new();
        for told in known.taken.iter().chain(&known.started) {
            // Rules are tried only when clients are let in.
            let hba = known.rules.clone().unwrap_or_else(|| told.hba.clone());
            let told = Told { hba, ..told.clone() };
            let in_force = told == wished.told;
            if in_force && failures == Failures::First {
                break;
            }
            if !in_force && !all.contains(&told) {
                all.push(told);
            }
        }
        // No settings of etcd ask for it.
        let revision = Revision::ABSENT;
        all.into_iter().map(|told| Wished { revision, told, ..wished.clone() }).collect()
    }

    /// The rules by which clients were let in before, where those of `wished` are others.
    pub(super) fn rules_other_than(&self, wished: &Wished) -> Option<Vec<String>> {
        self.known().rules.clone().filter(|rules| *rules != wished.told.hba)
    }

    /// A start has failed: how often in a row.
    pub(super) fn failures(&self) -> Failures {
        match self.failing.swap(true, Ordering::SeqCst) {
            false => Failures::First,
            true => Failures::Again,
        }
    }

    /// Why it did not start with this, if it did not.
    pub(super) fn objection(&self, wished: &Wished) -> Option<String> {
        let known = self.known();
        let failed = known.failed.as_ref().filter(|failed| failed.with == wished.told)?;
        Some(failed.why.clone())
    }

    /// It started with this.
    pub(super) fn started(&self, wished: &Wished) {
        self.failing.store(false, Ordering::SeqCst);
        self.learn(|known| {
            known.started = Some(wished.told.clone());
            known.taken.clone_from(&known.started);
            known.failed = None;
        });
    }

    /// Something else was asked for, and is in force or waits for a start: what failed may be asked for again.
    pub(super) fn moved_on(&self) {
        self.learn(|known| known.failed = None);
    }

    /// It goes by this, and waits for no start.
    pub(super) fn taken(&self, wished: &Wished) {
        self.learn(|known| {
            known.taken = Some(wished.told.clone());
            known.failed = None;
        });
    }

    /// It did not start with this, and did with what it had before.
    pub(super) fn failed(&self, wished: &Wished, why: String) {
        self.learn(|known| known.failed = Some(Failed { with: wished.told.clone(), why }));
    }

    /// Clients are let in by these rules.
    pub(super) fn lets_in(&self, rules: &[String]) {
        self.learn(|known| known.rules = Some(rules.to_vec()));
    }

    /// A note that is not kept is made again at the next start, and is no reason not to start.
    fn learn(&self, what: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        let before = known.clone();
        what(&mut known);
        if *known == before {
            return;
        }
        let kept = serde_json::to_vec(&*known).map_err(io::Error::from);
        if let Err(error) = kept.and_then(|text| files::write_private(&self.file, text)) {
            let file = self.file.display();
            tracing::warn!(%error, "{file} cannot be written: what Postgres last started with is kept until haad ends");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(file: &Path) -> io::Result<Known> {
    match std::fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(work_mem: &str, hba: &str) -> Wished {
        let told = Told {
            own: [("work_mem".to_owned(), work_mem.to_owned())].into(),
            hba: vec![hba.to_owned()],
            ..Told::default()
        };
        Wished { revision: Revision::ABSENT, told, restore_command: None }
    }

    #[test]
    fn what_it_started_with_is_known_also_to_the_next_run() {
        let folder = tempfile::tempdir().expect("a directory");
        let (good, bad) = (wished("4MB", "good"), wished("4 bad", "bad"));
        let proven = Proven::of(folder.path());
        let first = |known: &Proven, wished: &Wished| known.before(wished, Failures::First);
        assert!(first(&proven, &bad).is_empty(), "nothing is known of a new member");
        proven.started(&good);
        proven.lets_in(&good.told.hba);
        proven.failed(&bad, "no such unit".to_owned());
        let next = Proven::of(folder.path());
        assert!(first(&next, &good).is_empty());
        assert_eq!(first(&next, &bad)[0].told, good.told);
        assert_eq!(next.rules_other_than(&bad), Some(good.told.hba.clone()));
        assert_eq!(next.objection(&bad).as_deref(), Some("no such unit"));
        assert_eq!(next.objection(&good), None);
        next.started(&bad);
        assert_eq!(next.objection(&bad), None, "it started with it after all");

        // In force since, without a start: it is given up only when one fails again.
        let newer = wished("8MB", "good");
        next.taken(&newer);
        assert!(first(&next, &newer).is_empty());
        let again = next.before(&newer, Failures::Again);
        assert_eq!((again.len(), again[0].told.own.clone()), (1, bad.told.own.clone()));
        assert_eq!(first(&next, &good).len(), 2, "{:?}", first(&next, &good));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_as_none() {
        let folder = tempfile::tempdir().expect("a directory");
        std::fs::write(folder.path().join(FILE), "{").expect("written");
        let known = Proven::of(folder.path());
        assert!(known.before(&wished("4MB", ""), Failures::Again).is_empty());
    }
}
