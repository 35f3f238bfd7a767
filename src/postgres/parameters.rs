//! Parameters of a server that runs: written for it, read by it, and how it stands to them. Never restarts it, and
//! never decides what they are.

use haa_core::parameters::{Own, Parameters, Pending};
use haa_core::units::Revision;
use tokio::sync::watch;

use super::control::Control;
use super::error::{JobError, sentence};
use super::process::{self, remove_if_there};
use super::site::Site;
use super::sql::{Row, Session, SqlError, quoted};
use super::wished::Told;
use super::{files, limits, reload};

/// A setting of ours, which tells a session which configuration the postmaster has read.
pub(super) const SETTING: &str = "haa.parameters";

/// How our server stands to its parameters, as far as was seen.
pub(super) struct Standing(watch::Sender<Seen>);

#[derive(Default)]
struct Seen {
    parameters: Parameters,
    /// When the session of the looks read the files last, as it says.
    loaded: Option<String>,
    /// The same when they were inspected last.
    inspected: Option<String>,
    /// Why the rules of access are not those that are wished.
    rules: Option<String>,
}

impl Standing {
    pub(super) fn unknown() -> Self {
        Self(watch::Sender::default())
    }

    pub(super) fn now(&self) -> Parameters {
        let seen = self.0.borrow();
        let mut parameters = seen.parameters.clone();
        parameters.objection = parameters.objection.or_else(|| seen.rules.clone());
        parameters
    }

    /// A server began with what is written: it waits for nothing.
    pub(super) fn started(&self, revision: Revision) {
        self.0.send_modify(|seen| {
            let own = std::mem::take(&mut seen.parameters.own);
            seen.parameters = Parameters { taken: revision, own, ..Parameters::default() };
        });
    }

    /// Settings of this revision ask for nothing else.
    pub(super) fn took(&self, revision: Revision) {
        self.0.send_modify(|seen| seen.parameters.taken = revision);
    }

    /// Whether what was written last is known to be in force.
    pub(super) fn is_settled(&self) -> bool {
        let seen = self.0.borrow();
        seen.parameters.taken != Revision::ABSENT && seen.parameters.objection.is_none()
    }

    /// Why the rules of access are not those that are wished, if they are not.
    pub(super) fn rules(&self, objection: Option<String>) {
        self.0.send_modify(|seen| seen.rules = objection);
    }

    /// What is wished is not in force, and this is why.
    pub(super) fn refuses(&self, why: String) {
        self.0.send_modify(|seen| seen.parameters.objection = Some(why));
    }

    fn found(&self, parameters: Parameters) {
        self.0.send_modify(|seen| seen.parameters = parameters);
    }

    /// When a session says that it read the files last.
    pub(super) fn loaded(&self, at: Option<&str>) {
        if self.0.borrow().loaded.as_deref() != at {
            self.0.send_modify(|seen| seen.loaded = at.map(str::to_owned));
        }
    }

    /// Whoever else makes Postgres read its files may have changed them.
    pub(super) async fn refresh(&self, site: &Site, session: &Session) -> Result<(), SqlError> {
        let loaded = {
            let seen = self.0.borrow();
            if seen.loaded == seen.inspected {
                return Ok(());
            }
            seen.loaded.clone()
        };
        let found = inspect(site, session, &site.wishes.now().told).await?;
        self.inspected(loaded, found);
        Ok(())
    }

    /// Somebody may have applied a later revision while the session was asked.
    fn inspected(&self, loaded: Option<String>, found: Parameters) {
        self.0.send_modify(|seen| {
            seen.inspected = loaded;
            let taken = seen.parameters.taken;
            // What could not be written is not in the files, and no session tells of it.
            let objection = found.objection.clone().or(seen.parameters.objection.take());
            seen.parameters = Parameters { taken, objection, ..found };
        });
    }
}

/// Writes what is wished and makes the server read it. Done when it has, or none runs. What a start would choke on is
/// not written.
pub(super) async fn apply(site: &Site) -> Result<(), JobError> {
    let wished = site.wishes.now();
    let Some(postmaster) = process::postmaster(site.data()).map_err(JobError::Signal)? else {
        site.standing.took(wished.revision);
        return Ok(());
    };
    // A start finds out about each wish but once: what came before stays in force until there is another.
    if let Some(why) = site.proven.objection(&wished) {
        site.standing.refuses(why.clone());
        return Err(JobError::Refused(why));
    }
    let done = async {
        let control = Control::read(site.data()).map_err(JobError::file("read", site.data()))?;
        let candidate = site.state("postgresql.conf.candidate");
        let write = || JobError::file("write", &candidate);
        files::write_private(&candidate, files::configuration(site, &wished.told, &[]).0)
            .map_err(write())?;
        // A file that no start would take is found out by that. What is lower than the data ask for waits.
        limits::below(site, &control, &candidate).await?;
        remove_if_there(&candidate).map_err(write())?;
        let mark = files::write_parameters(site, &wished.told, &[]).map_err(write())?;
        let session = reload::until_shown(site, &postmaster, &[(SETTING, mark)]).await?;
        Ok::<Parameters, JobError>(inspect(site, &session, &wished.told).await?)
    };
    match done.await {
        Ok(found) => {
            if found.pending.is_empty() && found.objection.is_none() {
                site.proven.taken(&wished);
            } else {
                site.proven.moved_on();
            }
            site.standing.found(Parameters { taken: wished.revision, ..found });
            Ok(())
        }
        Err(error) => {
            let why = objection(site).await.unwrap_or_else(|| sentence(&error));
            site.standing.refuses(why.clone());
            Err(JobError::Refused(why))
        }
    }
}

/// What Postgres itself says against its files.
async fn objection(site: &Site) -> Option<String> {
    let session = Session::open(site).await.ok()?;
    session.value(ERRORS).await.ok().flatten()
}

/// Where it waits for a restart, that is no error.
const ERRORS: &str = "SELECT coalesce(sourcefile || ' line ' || sourceline || ': ', '') \
     || coalesce(name || ': ', '') || error FROM pg_file_settings \
     WHERE error IS NOT NULL AND error <> 'setting could not be applied' ORDER BY seqno LIMIT 1";

/// The last line of the files counts.
const PENDING: &str = "SELECT s.name, current_setting(s.name), coalesce((SELECT f.setting \
     FROM pg_file_settings f WHERE lower(f.name) = lower(s.name) ORDER BY f.seqno DESC LIMIT 1), \
     CASE WHEN s.vartype = 'integer' AND s.unit IS NULL THEN s.boot_val END) \
     FROM pg_settings s WHERE s.pending_restart ORDER BY 1";

async fn inspect(site: &Site, session: &Session, told: &Told) -> Result<Parameters, SqlError> {
    let pending = session.rows(PENDING).await?;
    let objection = session.value(ERRORS).await?;
    Ok(Parameters {
        taken: Revision::ABSENT,
        objection,
        pending: pending.iter().filter_map(waiting).collect(),
        own: own(site, session, told).await?,
    })
}

fn waiting(row: &Row) -> Option<Pending> {
    Some(Pending {
        name: row.text(0)?.to_owned(),
        running: row.text(1)?.to_owned(),
        written: row.text(2).map(str::to_owned),
    })
}

/// Where the files of this member say something else than the settings.
async fn own(site: &Site, session: &Session, told: &Told) -> Result<Vec<Own>, SqlError> {
    if told.shared.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = told.shared.keys().map(|name| quoted(name)).collect();
    let question = format!(
        "SELECT DISTINCT ON (lower(name)) lower(name), setting, sourcefile FROM pg_file_settings \
         WHERE lower(name) IN ({}) ORDER BY lower(name), seqno DESC",
        names.join(", ")
    );
    let rows = session.rows(&question).await?;
    let config_file = files::config_file(site).to_string_lossy().into_owned();
    let other = |row: &Row| {
        let (name, value) = (row.text(0)?, row.text(1)?);
        if told.shared.get(name).is_none_or(|shared| shared == value) {
            return None;
        }
        let from = match row.text(2) {
            Some(file) if file != config_file => file.to_owned(),
            Some(_) | None if told.own.contains_key(name) => "haad.toml".to_owned(),
            Some(_) | None => "haad: less would not do".to_owned(),
        };
        Some(Own { name: name.to_owned(), value: value.to_owned(), from })
    };
    Ok(rows.iter().filter_map(other).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_while_a_look_asked_stays_taken() {
        let standing = Standing::unknown();
        let asked_before = Parameters { taken: Revision(6), ..Parameters::default() };
        standing.found(Parameters { taken: Revision(7), ..Parameters::default() });
        standing.inspected(Some("then".to_owned()), asked_before);
        assert_eq!(standing.now().taken, Revision(7));
    }
}
