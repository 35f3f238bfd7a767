//! The thread that writes the agent's files: its journal and its last leadership. The agent's loop never
//! waits for a disk; what a hung one cannot take is left out, and the journal says where it goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use haa_core::effect::Effect;
use haa_core::input::Input;
use haa_core::lease::Leadership;
use haa_core::node::Node;
use haa_core::units::Millis;

use super::chain;
use super::journal::{Journal, Step, is_told};
use super::memory::Memory;

/// So many notes may wait for the disk.
const BACKLOG: usize = 256;
/// Steps that wished nothing are handed over together, at the latest after this long: waking a thread costs more
/// than what it writes then.
const TOGETHER: Millis = Millis(1_000);
/// How long an agent that ends waits for its last notes.
const PATIENCE: Duration = Duration::from_secs(1);

enum Note {
    Steps(Vec<Step>),
    /// A new file begins with this node: the one before is long enough, or lacks steps.
    Anew(Box<Node>),
    Leadership(Option<Leadership>),
}

/// Takes notes down; never waits.
pub(super) struct Notes {
    to: SyncSender<Note>,
    /// The journal's file is to be followed by a new one.
    long: Arc<AtomicBool>,
    /// Steps were left out.
    gap: bool,
    /// Steps that are not handed over yet.
    steps: Vec<Step>,
    since: Millis,
    written: tokio::sync::oneshot::Receiver<()>,
}

impl Notes {
    /// Begin the journal with this node, on a thread that lives until this is dropped.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn begin(directory: &Path, memory: Memory, node: &Node) -> std::io::Result<Self> {
        let (to, from) = sync_channel(BACKLOG);
        let long = Arc::new(AtomicBool::new(false));
        let (end, written) = tokio::sync::oneshot::channel();
        let directory = directory.to_owned();
        let mut pen =
            Pen { directory, memory, journal: None, long: Arc::clone(&long), told: false };
        std::thread::Builder::new().name("notes".to_owned()).spawn(move || {
            for note in from {
                pen.write(note);
            }
            drop(pen);
            // Nobody may be waiting any more.
            let _ = end.send(());
        })?;
        let notes = Self { to, long, gap: false, steps: Vec::new(), since: Millis(0), written };
        notes.take(Note::Anew(Box::new(node.clone())));
        Ok(notes)
    }

    /// What came in, and what `node` wished then.
    pub(super) fn step(&mut self, now: Millis, input: Input, effects: Vec<Effect>, node: &Node) {
        if self.steps.is_empty() {
            self.since = now;
        }
        let quiet = effects.is_empty();
        self.steps.push(Step { now, input, effects });
        if quiet && now.since(self.since) < TOGETHER {
            return;
        }
        let steps = std::mem::take(&mut self.steps);
        // After a gap a file begins with this node, which has seen the steps already.
        self.gap = self.gap || !self.take(Note::Steps(steps));
        if self.gap || self.long.swap(false, Ordering::Relaxed) {
            self.gap = !self.take(Note::Anew(Box::new(node.clone())));
        }
    }

    /// What a restart of this agent is to know. A note that is lost costs a needless stop of Postgres, no more.
    pub(super) fn leadership(&mut self, leadership: Option<Leadership>) {
        self.take(Note::Leadership(leadership));
    }

    /// Wait until all is written, within a second.
    pub(super) async fn end(self) {
        let Self { to, written, steps, gap, .. } = self;
        if !gap {
            drop(to.try_send(Note::Steps(steps)));
        }
        drop(to);
        if tokio::time::timeout(PATIENCE, written).await.is_err() {
            tracing::warn!("the last notes of this agent are not on its disk yet; not waiting");
        }
    }

    fn take(&self, note: Note) -> bool {
        match self.to.try_send(note) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// The effects that the journal keeps.
pub(super) fn told(effects: &[Effect]) -> Vec<Effect> {
    effects.iter().filter(|effect| is_told(effect)).cloned().collect()
}

struct Pen {
    directory: PathBuf,
    memory: Memory,
    journal: Option<Journal>,
    long: Arc<AtomicBool>,
    /// That this file is long was said.
    told: bool,
}

impl Pen {
    fn write(&mut self, note: Note) {
        match note {
            Note::Anew(node) => self.anew(&node),
            Note::Steps(steps) => steps.iter().for_each(|step| self.step(step)),
            Note::Leadership(leadership) => {
                if let Err(error) = self.memory.remember(leadership) {
                    let error = chain(&error);
                    tracing::warn!(error, "a restart of this agent will stop Postgres");
                }
            }
        }
    }

    fn anew(&mut self, node: &Node) {
        self.told = false;
        self.journal = Journal::begin(&self.directory, node)
            .inspect_err(|error| tracing::warn!(error = %chain(error), "there is no journal"))
            .ok();
    }

    /// A journal that cannot be written is given up: the database comes first.
    fn step(&mut self, step: &Step) {
        let Some(journal) = self.journal.as_mut() else { return };
        match journal.record(step) {
            Ok(true) if !self.told => {
                self.told = true;
                self.long.store(true, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the journal ends here");
                self.journal = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::journal::Line;
    use haa_core::node::Config;
    use haa_core::settings::Settings;

    fn node(directory: &Path) -> (Memory, Node) {
        let memory = Memory::open(directory).expect("usable");
        let address = "127.0.0.1:5432".parse().expect("an address");
        let config = Config {
            name: "n1".parse().expect("a legal name"),
            instance: memory.instance(),
            postgres: address,
            api: "127.0.0.1:8008".parse().expect("an address"),
            version: "0".to_owned(),
            tags: haa_core::records::Tags::default(),
            settings: Settings::default(),
            seed: 1,
            remembered: None,
            promises: haa_core::voters::Promises::default(),
            pools: haa_core::node::Pools::None,
            follows: None,
        };
        (memory, Node::new(config))
    }

    fn lines(path: &Path) -> Vec<Line> {
        let text = std::fs::read_to_string(path).expect("a journal");
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    #[test]
    fn what_the_disk_did_not_take_is_a_gap_and_a_file_of_its_own_goes_on() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (memory, mut node) = node(directory.path());
        let (to, from) = sync_channel(2);
        let (_end, written) = tokio::sync::oneshot::channel();
        let long = Arc::new(AtomicBool::new(false));
        let directory = directory.path().to_owned();
        let mut notes = Notes {
            to,
            long: Arc::clone(&long),
            gap: false,
            steps: Vec::new(),
            since: Millis(0),
            written,
        };
        let mut pen =
            Pen { directory: directory.clone(), memory, journal: None, long, told: false };
        assert!(notes.take(Note::Anew(Box::new(node.clone()))));
        let mut step = |notes: &mut Notes, at: u64| {
            let now = Millis(at * 1_000);
            node.handle(now, &Input::Tick);
            notes.step(now, Input::Tick, vec![Effect::Look], &node);
        };
        for at in 1..5 {
            step(&mut notes, at);
        }
        assert!(notes.gap, "two notes fit");
        from.try_iter().for_each(|note| pen.write(note));
        step(&mut notes, 5);
        step(&mut notes, 6);
        assert!(!notes.gap);
        from.try_iter().for_each(|note| pen.write(note));
        drop(pen);
        let old = lines(&directory.join("journal.old.jsonl"));
        assert!(
            matches!(&old[..], [Line::Node(_), Line::Step(first)] if first.now == Millis(1_000))
        );
        let new = lines(&directory.join("journal.jsonl"));
        assert!(matches!(&new[..], [Line::Node(_), Line::Step(last)] if last.now == Millis(6_000)));
    }
}
