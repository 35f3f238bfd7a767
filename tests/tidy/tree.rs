//! The files of the repository as the rules read them: paths, lines, and Rust without its comments
//! and texts. Never judges.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file.
pub(crate) struct Text {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) whole: String,
}

impl Text {
    /// Its lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.whole.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The same lines, with every comment and every text literal blanked.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        let bare = blank(&self.whole);
        bare.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect()
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file whose name ends so, in order of path. What git never keeps is left out.
pub(crate) fn files(ending: &str) -> Vec<Text> {
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths.sort();
    let ends = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(ending));
    paths.into_iter().filter(ends).filter_map(|path| read(&path)).collect()
}

/// The Rust files under one of these directories.
pub(crate) fn rust_under(directories: &[&str]) -> Vec<Text> {
    let under = |text: &Text| directories.iter().any(|d| text.path.starts_with(d));
    files(".rs").into_iter().filter(under).collect()
}

fn read(path: &Path) -> Option<Text> {
    let whole = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root()).expect("the walk began at the root");
    Some(Text { path: path.to_string_lossy().replace('\\', "/"), whole })
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).expect("a directory of the repository can be listed");
    for entry in entries {
        let path = entry.expect("its entries can be read").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let skipped = matches!(name.as_deref(), Some(".git" | "target" | "node_modules"));
        if path.is_symlink() || skipped || path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Rust with comments and texts turned into blanks; line breaks stay where they are.
pub(crate) fn blank(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' => comment(rest),
            '"' => text(rest),
            'r' if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw_text(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let gone = &rest[..length];
            out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// Length of the comment that begins here; 0 if none does.
fn comment(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if !rest.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        if tail.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_text(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let begin = 1 + hashes;
    if !rest[begin..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    rest[begin + 1..].find(&end).map_or(rest.len(), |at| begin + 1 + at + end.len())
}

/// A character, not a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => rest[3..].find('\'').map_or(0, |at| 3 + at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}
