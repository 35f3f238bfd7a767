//! The journal: every input and what was decided, on disk, bounded. For `haactl replay`; never read by the agent.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use haa_core::effect::Effect;
use haa_core::input::Input;
use haa_core::node::Node;
use haa_core::units::Millis;
use serde::{Deserialize, Serialize};

/// A file that has grown to this is put aside; the one put aside before goes.
const LARGEST: u64 = 8 << 20;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The node as it was before the next step: the first line of every file.
    Node(Box<Node>),
    /// One step.
    Step(Box<Step>),
}

/// As [`Line`], to write.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Entry<'a> {
    Node(&'a Node),
    Step(&'a Step),
}

/// What came in and what was decided.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    /// The agent's clock.
    pub now: Millis,
    /// What happened.
    pub input: Input,
    /// What was wished, but for what [`is_told`] leaves out.
    pub effects: Vec<Effect>,
}

/// Heartbeats and the status say again what the inputs say already: the journal goes without.
#[must_use]
pub const fn is_told(effect: &Effect) -> bool {
    match effect {
        Effect::Beat(_) | Effect::Publish(_) => false,
        Effect::Store(_)
        | Effect::Job(..)
        | Effect::Close(_)
        | Effect::Look
        | Effect::Slots(..)
        | Effect::Promise(_)
        | Effect::List(..)
        | Effect::OpenDoor(_)
        | Effect::ForgetNote(_)
        | Effect::Announce(_)
        | Effect::Exit(_) => true,
    }
}

/// The journal of one agent: `journal.jsonl`, and `journal.old.jsonl` before it.
#[derive(Debug)]
pub struct Journal {
    file: BufWriter<File>,
    written: u64,
    flushed_at: Millis,
}

impl Journal {
    /// Begin a new file with this node; what an earlier run wrote is put aside.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn begin(directory: &Path, node: &Node) -> io::Result<Self> {
        let path = directory.join("journal.jsonl");
        if path.exists() {
            fs::rename(&path, directory.join("journal.old.jsonl"))?;
        }
        let file = BufWriter::new(File::create(&path)?);
        let mut journal = Self { file, written: 0, flushed_at: Millis(0) };
        journal.write(&Entry::Node(node))?;
        journal.file.flush()?;
        Ok(journal)
    }

    /// Write one step down; `true` when this file is long enough and a new one is to begin. An agent that is
    /// killed loses steps of its last seconds that wished nothing; a machine that loses power loses what the
    /// system had not written yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&mut self, step: &Step) -> io::Result<bool> {
        let (now, quiet) = (step.now, step.effects.is_empty());
        self.write(&Entry::Step(step))?;
        if !quiet || now.since(self.flushed_at) >= Millis(1_000) {
            self.file.flush()?;
            self.flushed_at = now;
        }
        Ok(self.written >= LARGEST)
    }

    fn write(&mut self, line: &Entry<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');
        self.written += u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.file.write_all(&text)
    }
}
