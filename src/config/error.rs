//! What is wrong with a configuration, where, and what to do about it. Never decides what is right.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// Nowhere in particular: it is missing, or about the whole file.
    File,
    /// In this line of the file, counted from 1.
    Line(usize),
    /// In this environment variable.
    Variable(&'static str),
    /// In the environment; the sentence names the variable.
    Environment,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said.
    pub at: At,
    /// A sentence that names the key, says what is wrong with it and what to do.
    pub says: String,
}

/// A configuration that cannot be used: everything that is wrong with it, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// In the order of the file; at least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.at);
        Self { file: file.to_owned(), problems }
    }

    pub(super) fn whole(file: &Path, says: String) -> Self {
        Self::new(file, vec![Problem { at: At::File, says }])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { at, says }) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match at {
                At::File => write!(f, "{}: {says}", self.file.display())?,
                At::Line(line) => write!(f, "{}:{line}: {says}", self.file.display())?,
                At::Environment => f.write_str(says)?,
                At::Variable(name) => write!(f, "environment variable {name}: {says}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
