//! Reading `haad.toml` again: checked first as a whole, then taken as far as an agent that runs can. A file that is
//! wrong changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use haa_core::input::Input;
use haa_core::parameters::Pending;
use haa_core::records::{Ask, RequestRecord, RequestState};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

use super::calls::tell;
use crate::api::document::unix_ms;
use crate::config::{self, Config, Difference};
use crate::postgres::{Asked, Asker, Members, Vetter};
use crate::store::{Store, Told};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// What is other than before.
    #[serde(flatten)]
    pub difference: Difference,
    /// Parameters that wait for a restart of Postgres.
    pub restart_postgres: Vec<Pending>,
    /// Why Postgres has not read its files yet, if it has not.
    pub later: Option<String>,
    /// Why it does not go by them as they are, if it does not.
    pub objection: Option<String>,
}

impl Reloaded {
    /// What is other than before and what waits, a sentence each; never none.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.difference.taken.clone();
        lines.extend(self.later.clone());
        lines.extend(self.restart_postgres.iter().map(|one| {
            let written = one.written.as_deref().unwrap_or("its default");
            format!("pending restart: {} {} -> {written}", one.name, one.running)
        }));
        lines.extend(
            self.difference.restart.iter().map(|key| format!("{key} waits for a restart of haad")),
        );
        lines.extend(self.difference.without_effect.iter().map(|key| {
            format!("{key} count for a new cluster only: haactl settings changes those of this one")
        }));
        if lines.is_empty() {
            lines
                .push("nothing is other than before; Postgres has read its files again".to_owned());
        }
        lines
    }
}

/// Who does it, one at a time.
pub struct Reloader {
    config: Mutex<Config>,
    postgres: Asker,
    /// Who says what Postgres would take.
    pub(super) vetter: Vetter,
    inputs: mpsc::Sender<Input>,
    store: Arc<Store>,
}

impl Reloader {
    /// Of the agent that goes by `config`.
    pub(super) fn new(
        config: Config,
        (postgres, vetter): (Asker, Vetter),
        inputs: mpsc::Sender<Input>,
        store: Arc<Store>,
    ) -> Self {
        Self { config: Mutex::new(config), postgres, vetter, inputs, store }
    }

    /// Reads the file again, and tells of it: the log at once, the events when etcd takes one.
    ///
    /// # Errors
    /// What is wrong, with file and line, a sentence a line; nothing was changed then.
    pub async fn reload(&self, by: String) -> Result<Reloaded, String> {
        let asked_unix_ms = unix_ms();
        let done = told(self.read().await);
        let member = self.config.lock().await.name.clone();
        let event = RequestRecord {
            asked_unix_ms,
            ..RequestRecord::told(Ask::Reload { member }, by, unix_ms(), outcome(&done))
        };
        let store = Arc::clone(&self.store);
        tokio::spawn(async move { tell(&store, Told::ByItself, event).await });
        done
    }

    /// Reads the file again, as was asked for in advance; whoever carries that out tells of it.
    pub(super) async fn again(&self) -> RequestState {
        outcome(&told(self.read().await))
    }

    async fn read(&self) -> Result<Reloaded, String> {
        let mut config = self.config.lock().await;
        let file = config.file.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(&file, &config::environment()));
        let new =
            read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        self.vet(&config, &new).await?;
        let before = Asked::of(&config.postgres);
        let taken = match self.postgres.ask(Asked::of(&new.postgres)).await {
            Ok(taken) => taken,
            Err(why) => {
                // What it had before, it took.
                drop(self.postgres.ask(before).await);
                let file = new.file.display();
                return Err(format!(
                    "{file}: Postgres does not take what it says: {why}; nothing was changed"
                ));
            }
        };
        let difference = Difference::between(&config, &new);
        if config.tags != new.tags && self.inputs.send(Input::Tags(new.tags.clone())).await.is_err()
        {
            return Err("the agent is stopping".to_owned());
        }
        // What waits for a restart of haad is other than what it goes by until then, however often it is asked.
        let postgres = config::Postgres {
            parameters: new.postgres.parameters,
            hba: new.postgres.hba,
            include: new.postgres.include,
            restore_command: new.postgres.restore_command,
            ..config.postgres.clone()
        };
        *config = Config { postgres, tags: new.tags, ..config.clone() };
        let (restart_postgres, later, objection) = match taken {
            Some(parameters) => (parameters.pending, None, parameters.objection),
            None => (Vec::new(), Some(LATER.to_owned()), None),
        };
        Ok(Reloaded { difference, restart_postgres, later, objection })
    }

    /// A value that Postgres would not start with is not written. Where none runs, nobody can say.
    async fn vet(&self, old: &Config, new: &Config) -> Result<(), String> {
        let (was, is) = (&old.postgres.parameters, &new.postgres.parameters);
        let other = is.iter().filter(|(name, value)| was.get(*name) != Some(value));
        let wanted: BTreeMap<String, String> =
            other.map(|(name, value)| (name.clone(), value.clone())).collect();
        if was == is {
            return Ok(());
        }
        match self.vetter.objections(Members::ThisOne, &wanted, is).await {
            Ok(objections) if objections.is_empty() => Ok(()),
            Ok(objections) => {
                let file = new.file.display();
                let lines: Vec<String> = objections
                    .iter()
                    .map(|says| {
                        format!("{}: {says}", place(new, says).unwrap_or(format!("{file}")))
                    })
                    .collect();
                Err(lines.join("\n"))
            }
            Err(why) => {
                tracing::warn!(why, "new parameters were not checked");
                Ok(())
            }
        }
    }
}

/// As the events tell it: whoever reads them learns what whoever asked was told.
fn outcome(done: &Result<Reloaded, String>) -> RequestState {
    match done {
        Ok(reloaded) => {
            let lines = reloaded.lines().join("; ");
            match &reloaded.objection {
                None => RequestState::Done { what: lines },
                Some(why) => RequestState::Refused {
                    why: format!("Postgres does not go by all of it: {why}; {lines}"),
                },
            }
        }
        Err(why) => RequestState::Refused { why: why.clone() },
    }
}

/// Into the log, whoever asked.
fn told(done: Result<Reloaded, String>) -> Result<Reloaded, String> {
    match &done {
        Ok(Reloaded { difference, restart_postgres, later, objection }) => tracing::info!(
            taken = ?difference.taken,
            restart_haad = ?difference.restart,
            ?restart_postgres,
            ?later,
            ?objection,
            "haad.toml was read again"
        ),
        Err(why) => tracing::error!(why, "haad.toml was read again, and nothing was changed"),
    }
    done
}

const LATER: &str =
    "Postgres does not run, or is at work: it takes its files when it is started, or done";

/// File and line of the parameter that is spoken of.
fn place(config: &Config, says: &str) -> Option<String> {
    let name = says.strip_prefix("postgres.parameters.")?.split(':').next()?;
    let text = std::fs::read_to_string(&config.file).ok()?;
    let line = config::line_of_parameter(&text, name)?;
    Some(format!("{}:{line}", config.file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_a_line_each_and_the_event_has_them_all() {
        assert!(Reloaded::default().lines()[0].starts_with("nothing is other"));
        let told = Reloaded {
            difference: Difference {
                taken: vec!["tags".to_owned()],
                restart: vec!["api".to_owned()],
                without_effect: vec!["settings".to_owned()],
            },
            restart_postgres: vec![Pending {
                name: "max_connections".to_owned(),
                running: "100".to_owned(),
                written: None,
            }],
            later: None,
            objection: None,
        };
        let lines = [
            "tags",
            "pending restart: max_connections 100 -> its default",
            "api waits for a restart of haad",
            "settings count for a new cluster only: haactl settings changes those of this one",
        ];
        assert_eq!(told.lines(), lines);
        assert_eq!(outcome(&Ok(told.clone())), RequestState::Done { what: lines.join("; ") });
        let half = Reloaded { objection: Some("pg_hba.conf:3".to_owned()), ..told };
        let why = format!("Postgres does not go by all of it: pg_hba.conf:3; {}", lines.join("; "));
        assert_eq!(outcome(&Ok(half)), RequestState::Refused { why });
        let later = Reloaded { later: Some(LATER.to_owned()), ..Reloaded::default() };
        assert_eq!(outcome(&Ok(later)), RequestState::Done { what: LATER.to_owned() });
    }
}
