//! What an import makes: the tables of a haad.toml, files with secrets, and what became of each value. Writes nothing.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::yaml::{Node, Tree};

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// Where it stood: in the member's file before the cluster's; a value that was not there last.
    pub(super) place: Place,
    /// Its key in Patroni's words.
    pub(super) key: String,
    /// What became of it.
    pub(super) became: Became,
}

/// Where a value stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In this line of the member's file.
    Own(u64),
    /// In this line of what the cluster goes by.
    Dynamic(u64),
    /// It was not said.
    Nowhere,
}

/// Which file a line is in.
pub(super) type InFile = fn(u64) -> Place;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// It is this key now, with the same meaning.
    Taken(String),
    /// It is this key now, and not the same: why.
    Changed(String, String),
    /// haa does so anyway, or needs no such thing.
    Needless(String),
    /// haa has nothing like it: what to do instead.
    Lost(String),
}

/// A file with a secret, made of what the YAML said, or of chance.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) path: PathBuf,
    pub(super) content: Content,
}

/// What is in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// What the YAML said.
    Said(String),
    /// Something new, if the file is not there: the same for all members.
    New,
}

/// What is being made.
pub(super) struct Draft {
    pub(super) file: Table,
    pub(super) secrets: Vec<Secret>,
    pub(super) fates: Vec<Fate>,
    /// How a line of the file that is read at the moment is a place.
    pub(super) place: fn(u64) -> Place,
    /// Where secrets go.
    directory: PathBuf,
}

impl Draft {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            file: Table::new(),
            secrets: Vec::new(),
            fates: Vec::new(),
            place: Place::Own,
            directory: directory.to_owned(),
        }
    }

    /// Puts a value under a path such as `postgres.rewind.user`.
    pub(super) fn put(&mut self, path: &str, value: impl Into<Value>) {
        let mut table = &mut self.file;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value.into());
                return;
            }
            let Some(inner) = self::table(table, part) else { return };
            table = inner;
        }
    }

    /// A parameter of Postgres. Its name may have a dot in it, which is no path.
    pub(super) fn parameter(&mut self, name: String, value: String) {
        if let Some(parameters) =
            table(&mut self.file, "postgres").and_then(|postgres| table(postgres, "parameters"))
        {
            parameters.insert(name, value.into());
        }
    }

    /// Names a file of a secret under a path, and remembers what is to be in it.
    pub(super) fn secret(&mut self, path: &str, name: &str, content: Content) -> PathBuf {
        let file = self.directory.join(name);
        self.put(path, file.display().to_string());
        self.secrets.push(Secret { path: file.clone(), content });
        file
    }

    /// A password as it is meant: YAML reads one without quotes as a number, where it looks like one.
    pub(super) fn password(&mut self, at: &Node, key: &str) -> Option<Content> {
        let said = at.value.text()?;
        if !matches!(at.value, Tree::Text(_)) {
            let to = "a file with what YAML reads there";
            self.changed(
                at,
                key,
                to,
                "it is not in quotes, and no text to YAML: put it in quotes, and import again",
            );
        }
        Some(Content::Said(said))
    }

    pub(super) fn taken(&mut self, at: &Node, key: &str, to: &str) {
        self.told(at, key, Became::Taken(to.to_owned()));
    }

    pub(super) fn changed(&mut self, at: &Node, key: &str, to: &str, why: impl Into<String>) {
        self.told(at, key, Became::Changed(to.to_owned(), why.into()));
    }

    pub(super) fn needless(&mut self, at: &Node, key: &str, why: impl Into<String>) {
        self.told(at, key, Became::Needless(why.into()));
    }

    pub(super) fn lost(&mut self, at: &Node, key: &str, why: impl Into<String>) {
        self.told(at, key, Became::Lost(why.into()));
    }

    fn told(&mut self, at: &Node, key: &str, became: Became) {
        self.fates.push(Fate {
            place: (self.place)(at.referenced.line()),
            key: key.to_owned(),
            became,
        });
    }

    /// Something that is not in the YAML, and has to be said.
    pub(super) fn added(&mut self, key: &str, became: Became) {
        self.fates.push(Fate { place: Place::Nowhere, key: key.to_owned(), became });
    }

    /// The file, with a head that says where it is from.
    ///
    /// # Errors
    /// When it cannot be written as TOML.
    pub(super) fn toml(&self, from: &str) -> Result<String, toml::ser::Error> {
        let text = toml::to_string_pretty(&self.file)?;
        Ok(format!(
            "# Made from {from} by haactl import. Every key: docs/configuration.md.\n\
             # Check it with: haad check --config haad.toml\n\n{text}"
        ))
    }
}

/// The table under a key; nothing where there is something else.
fn table<'a>(of: &'a mut Table, key: &str) -> Option<&'a mut Table> {
    of.entry(key).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self.place {
            Place::Own(line) => format!("{line}"),
            Place::Dynamic(line) => format!("d{line}"),
            Place::Nowhere => "-".to_owned(),
        };
        let key = &self.key;
        match &self.became {
            Became::Taken(to) => write!(f, "{place:>5}  taken      {key} -> {to}"),
            Became::Changed(to, why) => write!(f, "{place:>5}  CHANGED    {key} -> {to}: {why}"),
            Became::Needless(why) => write!(f, "{place:>5}  needless   {key}: {why}"),
            Became::Lost(why) => write!(f, "{place:>5}  LEFT OUT   {key}: {why}"),
        }
    }
}
