//! What a playground is to be. Only wishes; nothing is made here.

use std::path::{Path, PathBuf};

use haa_core::units::MemberName;

/// What becomes of a playground's processes when its value is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrop {
    /// They end: for tests, and until a start is complete.
    End,
    /// They go on: a later command finds them by the state file.
    LeaveRunning,
}

/// Whether members run routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routers {
    /// None does.
    Off,
    /// Each does.
    On,
}

/// What a playground is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it lives: must not exist, or be empty.
    pub directory: PathBuf,
    /// The cluster's name.
    pub cluster: String,
    /// Its members.
    pub members: Vec<MemberName>,
    /// The agent's program.
    pub haad: PathBuf,
    /// More for every member's haad.toml; tables are merged, values replaced.
    pub extra: toml::Table,
    /// More arguments for `haad run`.
    pub agent_arguments: Vec<String>,
    /// The routers of all members, if they are to have one.
    pub routers: Routers,
    /// The first port to try; a random one if not said, so that tests do not meet.
    pub first_port: Option<u16>,
}

impl Options {
    /// Three members `n1 n2 n3` in this directory, with this agent.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, haad: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            cluster: "playground".to_owned(),
            members: numbered(3),
            haad: haad.into(),
            extra: toml::Table::new(),
            agent_arguments: Vec::new(),
            routers: Routers::Off,
            first_port: None,
        }
    }

    /// Every member runs a router, on ports of its own.
    #[must_use]
    pub fn routers(mut self) -> Self {
        self.routers = Routers::On;
        self
    }

    /// This many members, `n1` and so on.
    #[must_use]
    pub fn members(mut self, count: u8) -> Self {
        self.members = numbered(count);
        self
    }

    /// Cluster-wide settings that the cluster begins with, as `[settings]` of haad.toml; this is what
    /// overrides a timing: `toml::toml! { timing.ttl = "3s" }`.
    #[must_use]
    pub fn settings(mut self, settings: toml::Table) -> Self {
        let own = toml::Table::from_iter([("settings".to_owned(), toml::Value::Table(settings))]);
        merge(&mut self.extra, own);
        self
    }

    /// More for every member's haad.toml.
    #[must_use]
    pub fn extra(mut self, more: toml::Table) -> Self {
        merge(&mut self.extra, more);
        self
    }

    /// Where a user's one playground lives unless said otherwise: `/tmp/haa-playground-0`.
    #[must_use]
    pub fn usual_directory() -> PathBuf {
        let uid = rustix::process::geteuid().as_raw();
        std::env::temp_dir().join(format!("haa-playground-{uid}"))
    }

    /// The `haad` beside this program.
    #[must_use]
    pub fn haad_beside_us() -> PathBuf {
        let own = std::env::current_exe().unwrap_or_default();
        own.parent().unwrap_or(Path::new("")).join("haad")
    }
}

fn numbered(count: u8) -> Vec<MemberName> {
    (1..=count).filter_map(|n| format!("n{n}").parse().ok()).collect()
}

/// Lays `more` over `base`: tables are merged, everything else is replaced.
pub(super) fn merge(base: &mut toml::Table, more: toml::Table) {
    for (key, value) in more {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(more)) => merge(inner, more),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_over_wins_and_the_rest_stays() {
        let mut base = toml::toml! {
            a = 1
            [t]
            x = 1
            y = 1
        };
        merge(
            &mut base,
            toml::toml! { [t]
            y = 2 },
        );
        assert_eq!(base["t"]["x"].as_integer(), Some(1));
        assert_eq!(base["t"]["y"].as_integer(), Some(2));
        assert_eq!(base["a"].as_integer(), Some(1));
    }
}
