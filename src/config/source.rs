//! The text and the environment become one tree of values that know where they were said. Never checks them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{At, ConfigError, Problem};
use super::file::{File, Said};
use super::keys::{CONFIG_VARIABLE, KEYS, Key, Kind, Place, place, words_in};
use super::near::nearest;

/// What `toml` puts into a path for each value that knows its place.
const SPANNED: &str = ".$__serde_spanned_private_value";

/// Where values come from: tells a place in it from a byte offset. Offsets beyond the text are variables.
#[derive(Debug)]
pub(super) struct Source<'a> {
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The place of a byte.
    pub(super) fn at(&self, start: usize) -> At {
        match start.checked_sub(self.text.len() + 1) {
            Some(variable) => KEYS.get(variable).map_or(At::File, |key| At::Variable(key.variable)),
            None => {
                let before = &self.text.as_bytes()[..start.min(self.text.len())];
                At::Line(1 + before.iter().filter(|byte| **byte == b'\n').count())
            }
        }
    }

    /// The place of a value.
    pub(super) fn of<T>(&self, said: &Said<T>) -> At {
        self.at(said.start())
    }

    /// Reads the text, puts the variables over it.
    ///
    /// Unknown keys and variables go to `problems`; the rest is read all the same.
    ///
    /// # Errors
    /// The text is no TOML, or a value is of the wrong type: then nothing more can be said.
    pub(super) fn read(
        &self,
        file: &Path,
        env: &'a BTreeMap<String, String>,
        problems: &mut Vec<Problem>,
    ) -> Result<File, ConfigError> {
        let parsed = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(At::File, |span| self.at(span.start));
            let says = format!("this is not TOML: {}", error.message().replace('\n', "; "));
            ConfigError::new(file, vec![Problem { at, says }])
        })?;
        let span = parsed.span();
        let mut table = parsed.into_inner();
        self.drop_unknown(&mut table, "", problems);
        self.put_variables(&mut table, env, problems);
        let deserializer = toml::Deserializer::from(Spanned::new(span, table));
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        File::deserialize(tracked).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(At::File, |span| self.at(span.start));
            let path = track.path().to_string().replace(SPANNED, "");
            let said = error.message().replace('\n', "; ");
            let said = said.replace("expected u32", "a whole number from 0 on is wanted");
            let says = format!("{path}: {said}");
            problems.push(Problem { at, says });
            ConfigError::new(file, std::mem::take(problems))
        })
    }

    fn drop_unknown(&self, table: &mut DeTable<'_>, section: &str, problems: &mut Vec<Problem>) {
        for (key, mut value) in std::mem::take(table) {
            let path = match section {
                "" => key.get_ref().to_string(),
                _ => format!("{section}.{}", key.get_ref()),
            };
            match (place(&path), value.get_mut()) {
                (Place::Section, DeValue::Table(inner)) => {
                    self.drop_unknown(inner, &path, problems);
                }
                (Place::Unknown, _) => {
                    let says = unknown_key(section, key.get_ref());
                    problems.push(Problem { at: self.at(key.span().start), says });
                    continue;
                }
                (Place::Leaf | Place::Section | Place::Free, _) => {}
            }
            table.insert(key, value);
        }
    }

    fn put_variables(
        &self,
        table: &mut DeTable<'a>,
        env: &'a BTreeMap<String, String>,
        problems: &mut Vec<Problem>,
    ) {
        let ours = env
            .iter()
            .filter(|(name, _)| name.starts_with("HAAD_") && name.as_str() != CONFIG_VARIABLE);
        for (name, value) in ours {
            let known = KEYS.iter().position(|key| key.variable == name);
            match known {
                Some(index) => {
                    let start = self.text.len() + 1 + index;
                    put(table, &KEYS[index], value, start);
                }
                None => {
                    problems.push(Problem { at: At::Environment, says: unknown_variable(name) })
                }
            }
        }
    }
}

pub(super) fn unknown_key(section: &str, key: &str) -> String {
    let words = words_in(section);
    let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
    // It may belong one section further down.
    let inner = KEYS.iter().map(|key| key.path).filter_map(|path| match section {
        "" => Some(path),
        _ => path.strip_prefix(section)?.strip_prefix('.'),
    });
    let inner: Vec<&str> = inner.filter(|path| path.split('.').count() == 2).collect();
    if let Some(path) = inner.iter().find(|path| path.ends_with(&format!(".{key}"))) {
        return format!("{key} is no key{place}: did you mean {path}?");
    }
    match nearest(key, words.iter().copied()) {
        Some(near) => format!("{key} is no key{place}: did you mean {near}?"),
        None => format!("{key} is no key{place}: there are {}", words.join(", ")),
    }
}

fn unknown_variable(name: &str) -> String {
    let variables = KEYS.iter().map(|key| key.variable).filter(|variable| !variable.is_empty());
    match nearest(name, variables) {
        Some(near) => format!(
            "environment variable {name} is none of haad's: did you mean {near}? Else unset it"
        ),
        None => format!(
            "environment variable {name} is none of haad's: unset it, or see docs/configuration.md"
        ),
    }
}

/// Puts a variable's value where its key is, as if the file had said it.
fn put<'a>(table: &mut DeTable<'a>, key: &Key, value: &'a str, start: usize) {
    let span = start..start;
    let spanned = |inner| Spanned::new(span.clone(), inner);
    let text = |part: &'a str| DeValue::String(Cow::Borrowed(part));
    let value = match key.kind {
        Kind::List => {
            let parts = value.split(',').map(|part| spanned(text(part.trim())));
            DeValue::Array(parts.collect())
        }
        Kind::Plain => DeValue::parse(value).map_or_else(|_| text(value), Spanned::into_inner),
        Kind::Text | Kind::FileOnly | Kind::Free => text(value),
    };
    let mut here = table;
    let mut words = key.path.split('.').peekable();
    while let Some(word) = words.next() {
        if words.peek().is_none() {
            here.remove(word);
            here.insert(spanned_key(word, start), spanned(value));
            return;
        }
        let entry = here
            .entry(spanned_key(word, start))
            .or_insert_with(|| spanned(DeValue::Table(DeTable::new())));
        match entry.get_mut() {
            DeValue::Table(inner) => here = inner,
            // Not a section: reading the whole says so, with its line.
            _ => return,
        }
    }
}

fn spanned_key<'a>(word: &'static str, start: usize) -> Spanned<Cow<'a, str>> {
    Spanned::new(start..start, Cow::Borrowed(word))
}
