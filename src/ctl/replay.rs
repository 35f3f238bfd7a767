//! `haactl replay`: feeds an agent's journal to the core of this haactl. Asks nobody, changes nothing.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use haa_core::effect::Effect;
use haa_core::node::Node;

use super::error::CtlError;
use super::print::say;
use crate::agent::journal::{Line, Step, is_told};

/// Decide again what an agent decided, from its journal, and say where this version decides otherwise
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl replay /var/lib/postgresql/haa/shop.haa/journal.jsonl
  haactl replay --verbose journal.old.jsonl

Exit codes: 0 every decision came out the same, 1 one did not or the file is no journal,
2 wrong usage, or the file cannot be read")]
pub(super) struct ReplayArgs {
    /// journal.jsonl or journal.old.jsonl of a member's state directory
    file: PathBuf,
    /// Also print every input that led to a wish
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the verb.
///
/// # Errors
/// When the file is no journal, or a decision comes out differently.
pub(super) fn run(args: &ReplayArgs) -> Result<(), CtlError> {
    let path = &args.file;
    let file =
        File::open(path).map_err(|source| CtlError::ReadFile { path: path.clone(), source })?;
    let mut lines = BufReader::new(file).lines().enumerate();
    let mut node = match lines.next() {
        Some((_, Ok(text))) => first(path, &text)?,
        Some((_, Err(source))) => {
            return Err(CtlError::ReadFile { path: path.clone(), source });
        }
        None => return Err(no_journal(path, 1)),
    };
    let mut steps = 0_u64;
    for (at, text) in lines {
        let text = text.map_err(|source| CtlError::ReadFile { path: path.clone(), source })?;
        let Ok(line) = serde_json::from_str(&text) else {
            // An agent that was killed may leave half a line, but only as the last.
            return say(format!(
                "line {} is cut off; {steps} steps before it came out the same",
                at + 1
            ));
        };
        let Line::Step(step) = line else { return Err(no_journal(path, at + 1)) };
        again(&mut node, &step, (path, at + 1), args.verbose)?;
        steps += 1;
    }
    say(format!("{steps} steps, every decision came out the same"))
}

fn first(path: &Path, text: &str) -> Result<Node, CtlError> {
    match serde_json::from_str(text) {
        Ok(Line::Node(node)) => Ok(*node),
        Ok(Line::Step(_)) | Err(_) => Err(no_journal(path, 1)),
    }
}

fn again(node: &mut Node, step: &Step, at: (&Path, usize), verbose: bool) -> Result<(), CtlError> {
    let effects: Vec<Effect> =
        node.handle(step.now, &step.input).into_iter().filter(is_told).collect();
    let seconds = format!("{}.{:03}", step.now.0 / 1000, step.now.0 % 1000);
    if verbose && !effects.is_empty() {
        say(format!("{seconds}  {:?}", step.input))?;
        for effect in &effects {
            say(format!("{seconds}    -> {effect:?}"))?;
        }
    }
    for effect in &effects {
        if let Effect::Announce(transition) = effect {
            say(format!("{seconds}  {transition}"))?;
        }
    }
    if effects == step.effects {
        return Ok(());
    }
    Err(CtlError::DecidedOtherwise {
        path: at.0.to_owned(),
        line: at.1,
        then: format!("{:?}", step.effects),
        now: format!("{effects:?}"),
    })
}

fn no_journal(path: &Path, line: usize) -> CtlError {
    CtlError::NoJournal { path: path.to_owned(), line }
}
