//! `haactl import`: a haad.toml out of a Patroni configuration, and what became of each value. Asks nobody, and writes
//! only what was not there.
//!
//! | module | owns |
//! |---|---|
//! | `yaml` | a tree in which each value knows its line |
//! | `member`, `server`, `cluster`, `standby` | what becomes of each key |
//! | `draft` | the result, before anything is written |
//! | `write` | writing it, and the secrets |

mod cloning;
mod cluster;
mod draft;
mod error;
mod hooks;
mod member;
mod server;
mod standby;
#[cfg(test)]
mod tests;
mod write;
mod yaml;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CtlError;
use super::print::say;
use draft::{Draft, Fate, InFile, Place};
pub use error::ImportError;
use server::Whose;
use yaml::{Node, Tree};

/// Make a haad.toml of a Patroni configuration, and say what became of each value
#[derive(Args, Debug)]
#[command(after_help = "\
Each value is taken, CHANGED (and why), needless (haa does so anyway) or LEFT OUT (and what to do instead), with its
line. Passwords go into files of their own, mode 0600, and nowhere else. Nothing is written over.

Examples:
  patronictl show-config > dynamic.yml
  haactl import patroni.yml --dynamic dynamic.yml --secrets /etc/haa/secrets --write /etc/haa/haad.toml
  haactl import patroni.yml > haad.toml

docs/migrating-from-patroni.md takes over a running cluster with it.

Exit codes: 0 made, 1 nothing was written and why")]
pub(super) struct ImportArgs {
    /// A member's configuration of Patroni
    #[arg(value_name = "PATRONI.YML")]
    file: PathBuf,
    /// What `patronictl show-config` prints [default: bootstrap.dcs of PATRONI.YML, which may be long out of date]
    #[arg(long, value_name = "FILE")]
    dynamic: Option<PathBuf>,
    /// Where files with secrets go [default: written nowhere, and named as in /etc/haa/secrets]
    #[arg(long, value_name = "DIRECTORY")]
    secrets: Option<PathBuf>,
    /// The haad.toml to write; it must not exist [default: to standard output]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// When there is nothing to import, or something is in the way: then nothing was written.
pub(super) fn run(args: &ImportArgs) -> Result<(), CtlError> {
    let secrets = args.secrets.clone().unwrap_or_else(|| PathBuf::from("/etc/haa/secrets"));
    let draft = drafted(&args.file, args.dynamic.as_deref(), &secrets)?;
    let text = draft.toml(&args.file.display().to_string()).map_err(ImportError::from)?;
    write::free(args.write.as_deref(), args.secrets.as_ref().map(|_| &draft.secrets[..]))?;
    let mut story = story(&draft.fates);
    match &args.secrets {
        Some(_) => write::secrets(&draft.secrets)?,
        None => story.push_str("\nNo secret was written: give --secrets DIRECTORY for that.\n"),
    }
    match &args.write {
        Some(path) => {
            write::file(path, &text)?;
            say(format_args!(
                "{story}\n{} is written; next: haad check --config {}",
                path.display(),
                path.display()
            ))
        }
        None => {
            say(text)?;
            write::aside(&story).map_err(CtlError::Write)
        }
    }
}

/// All that is made of these files.
fn drafted(file: &Path, dynamic: Option<&Path>, secrets: &Path) -> Result<Draft, ImportError> {
    let all = read(file)?;
    let own = &all.value;
    let mut draft = Draft::new(secrets);
    member::names(&mut draft, file, own)?;
    member::store(&mut draft, file, own)?;
    let missing = || ImportError::Missing { path: file.to_owned(), key: "postgresql" };
    let section = own.get("postgresql").ok_or_else(missing)?;
    let bootstrap = own.get("bootstrap");
    let (said, at, place): (_, _, InFile) = match dynamic {
        Some(path) => (Some(read(path)?), path, Place::Dynamic),
        None => (bootstrap.and_then(|node| node.value.get("dcs")).cloned(), file, Place::Own),
    };
    server::own(&mut draft, file, section)?;
    server::logins(&mut draft, section);
    let common = said.as_ref().and_then(|said| said.value.get("postgresql"));
    if let Some(common) = common {
        draft.place = place;
        server::parameters(&mut draft, common, Whose::Cluster(section));
        draft.place = Place::Own;
    }
    server::parameters(&mut draft, section, Whose::Member);
    let lists: [(_, InFile, _); 3] = [
        ("postgresql.pg_hba", Place::Own, pg_hba(Some(section))),
        ("the cluster's postgresql.pg_hba", place, pg_hba(common)),
        ("bootstrap.pg_hba", Place::Own, pg_hba(bootstrap)),
    ];
    server::hba(&mut draft, &lists);
    draft.place = Place::Own;
    member::restapi(&mut draft, file, own)?;
    if let Some(said) = &said {
        draft.place = place;
        cluster::settings(&mut draft, at, said)?;
        draft.place = Place::Own;
    }
    cluster::unsaid(&mut draft, said.as_ref());
    member::watchdog(&mut draft, own);
    member::tags(&mut draft, own);
    member::log(&mut draft, own);
    rest(&mut draft, own);
    Ok(draft)
}

fn pg_hba(section: Option<&Node>) -> Option<&Node> {
    section?.value.get("pg_hba")
}

/// Sections that have no part in a haad.toml.
fn rest(draft: &mut Draft, all: &Tree) {
    for (key, at) in all.entries() {
        match key.as_str() {
            "scope" | "name" | "etcd" | "etcd3" | "restapi" | "postgresql" | "watchdog"
            | "tags" | "log" => {}
            "bootstrap" => {
                for (key, at) in at
                    .value
                    .entries()
                    .iter()
                    .filter(|(key, _)| !matches!(key.as_str(), "dcs" | "pg_hba"))
                {
                    let full = format!("bootstrap.{key}");
                    draft.needless(
                        at,
                        &full,
                        "it counts when a cluster is made: yours is adopted as it is",
                    );
                }
            }
            "namespace" => {
                draft.needless(at, key, "haa's keys in etcd are below /haa/, beside Patroni's")
            }
            "ctl" => draft.lost(
                at,
                key,
                "haactl has a file of its own, ~/.config/haactl.toml (docs/operations.md)",
            ),
            "citus" => {
                draft.lost(at, key, "haa knows nothing of Citus: do not move such a cluster")
            }
            _ => draft.lost(at, key, "haa has no such section"),
        }
    }
}

fn read(path: &Path) -> Result<Node, ImportError> {
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let not_yaml = |line, says: String| ImportError::NotYaml { path: path.to_owned(), line, says };
    let tree: Node = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        // The first line of it: what follows shows the text, which may hold a password.
        let says = error.without_snippet().to_string();
        not_yaml(line, says.lines().next().unwrap_or_default().to_owned())
    })?;
    match &tree.value {
        Tree::Map(_) => Ok(tree),
        Tree::Null
        | Tree::Bool(_)
        | Tree::Int(_)
        | Tree::Float(_)
        | Tree::Text(_)
        | Tree::List(_) => Err(not_yaml(tree.referenced.line(), "it has no keys".to_owned())),
    }
}

/// One line a value, in the order of the files (`d12` is line 12 of the dynamic one); what is in neither comes last.
fn story(fates: &[Fate]) -> String {
    let mut text = String::from(" line  fate       value\n");
    let mut sorted: Vec<&Fate> = fates.iter().collect();
    sorted.sort_by_key(|fate| fate.place);
    for fate in sorted {
        let _ = writeln!(text, "{fate}");
    }
    text
}
