//! Why nothing is imported, each with what to do. Never printed twice.

use std::path::PathBuf;

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{} cannot be read: check that it is there and that you may read it", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is no YAML, or not what Patroni takes.
    #[error("{}:{line}: this is not YAML: {says}", path.display())]
    NotYaml {
        /// Which.
        path: PathBuf,
        /// Where the parser stopped; 0 if it does not say.
        line: u64,
        /// Its sentence.
        says: String,
    },
    /// A key without which there is no member.
    #[error(
        "{}: there is no `{key}`: this is not a member's Patroni configuration, or a variable \
         PATRONI_... holds it; write it into the file",
        path.display()
    )]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
    },
    /// The cluster's state is elsewhere.
    #[error(
        "{}:{line}: this cluster keeps its state in {store}, and haa does in etcd only: set up an \
         etcd of three members first, then write `etcd3: {{hosts: [...]}}` in the place of `{store}` \
         and import again",
        path.display()
    )]
    OtherStore {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Which.
        store: &'static str,
    },
    /// etcd is found by a way that haa does not go.
    #[error(
        "{}:{line}: {key} finds etcd in a way that haa does not: write its members as \
         `hosts: [HOST:PORT, ...]`",
        path.display()
    )]
    NoHosts {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Which key.
        key: &'static str,
    },
    /// It follows another cluster by its archive alone.
    #[error(
        "{}:{line}: this standby cluster has no `host`, so it lives on an archive alone; haa's streams from the \
         other cluster: write `host` there, a member of that one, and import again",
        path.display()
    )]
    NoSource {
        /// Which file.
        path: PathBuf,
        /// Where.
        line: u64,
    },
    /// What is to be written is there.
    #[error(
        "{} is there already: nothing is written over it; name another, or move it away",
        path.display()
    )]
    There {
        /// Which.
        path: PathBuf,
    },
    /// Another secret is there.
    #[error(
        "{} is there already and holds another secret than the YAML: compare them, and remove the \
         wrong one",
        path.display()
    )]
    OtherSecret {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The result is no TOML: a fault of ours.
    #[error("haad.toml cannot be written as TOML")]
    Toml(#[from] toml::ser::Error),
}
