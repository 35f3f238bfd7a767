//! Whether Postgres would take a parameter, before anybody writes it: a server that runs knows its names and kinds, and
//! its program what each can be. Changes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::error::{JobError, sentence};
use super::site::Site;
use super::sql::{Row, Session, SqlError, quoted};
use super::tool::Tool;
use super::{files, kept, limits, process};
use crate::config::nearest;
use haa_core::settings::KeptSlot;

/// A list of some hundred rows.
const PATIENCE: Duration = Duration::from_secs(5);

const KNOWN: &str = "SELECT lower(name), context, vartype, min_val, max_val, enumvals::text, setting FROM pg_settings";

/// Judges parameters by our own server.
#[derive(Clone)]
pub struct Vetter(Arc<Site>);

/// Whose parameters they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Ours: our file has them.
    ThisOne,
    /// Everybody's: the settings have them.
    All,
}

/// What a server says of a parameter.
struct Known {
    context: String,
    kind: String,
    bounds: Option<(f64, f64)>,
    words: Option<String>,
    setting: String,
}

/// Of all parameters, by their names in small letters.
type All = BTreeMap<String, Known>;

impl Vetter {
    pub(super) const fn of(site: Arc<Site>) -> Self {
        Self(site)
    }

    /// What speaks against each of these `wanted` parameters, in a sentence each, where `whole` are all that these
    /// members would have. What every member is to have is tried on this one only.
    ///
    /// # Errors
    /// Why nobody can say, in a sentence.
    pub async fn objections(
        &self,
        members: Members,
        wanted: &BTreeMap<String, String>,
        whole: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, String> {
        let site = &*self.0;
        let postmaster = process::postmaster(site.data()).map_err(|error| error.to_string())?;
        if postmaster.is_none() {
            return Err(
                "Postgres does not run here, and nobody else knows its parameters".to_owned()
            );
        }
        let mut said = Vec::new();
        match members {
            Members::ThisOne => {}
            Members::All => {
                let local = wanted.keys().filter(|name| OF_ONE_MACHINE.contains(&name.as_str()));
                said.extend(local.map(|name| format!("postgres.parameters.{name}: {LOCAL}")));
            }
        }
        let done = async {
            said.extend(self.vet(members, wanted, whole).await?);
            Ok(said)
        };
        done.await.map_err(|error: JobError| sentence(&error))
    }

    /// What speaks against parameters that every member is to have, and against slots that are to be kept.
    ///
    /// # Errors
    /// Why nobody can say, in a sentence.
    pub async fn objections_for_all(
        &self,
        (wanted, whole): (&BTreeMap<String, String>, &BTreeMap<String, String>),
        slots: &BTreeMap<String, KeptSlot>,
    ) -> Result<Vec<String>, String> {
        let mut said = self.objections(Members::All, wanted, whole).await?;
        said.extend(kept::objections(&self.0, slots).await.map_err(|error| sentence(&error))?);
        Ok(said)
    }

    async fn vet(
        &self,
        members: Members,
        wanted: &BTreeMap<String, String>,
        whole: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, JobError> {
        let site = &*self.0;
        let session = Session::open(site).await?;
        let rows = session.rows_within(KNOWN, PATIENCE).await?;
        let all: All = rows.iter().filter_map(known).collect();
        let control = Control::read(site.data()).map_err(JobError::file("read", site.data()))?;
        let mut said = Vec::new();
        for (name, value) in wanted {
            let against = match all.get(name) {
                None if name.contains('.') => None,
                None => Some(unknown(name, site.major(), &all)),
                Some(known) if known.context == "internal" => Some(FIXED.to_owned()),
                Some(known) if name.contains('.') => {
                    of_extension(&session, name, known, value).await?
                }
                Some(_) => match of_program(site, name, value).await {
                    Some(why) => Some(why),
                    None => match members {
                        Members::ThisOne => lowered(name, value, &control),
                        Members::All => None,
                    }
                    .or(libraries(&session, name, value).await?),
                },
            };
            said.extend(against.map(|why| format!("postgres.parameters.{name}: {why}")));
        }
        said.extend(no_room(whole, &all));
        Ok(said)
    }
}

/// What a Postgres takes while it runs, or its program for sound, and may yet not start with: it depends on files, on
/// groups or on the memory of each machine.
const OF_ONE_MACHINE: [&str; 14] = [
    "huge_page_size",
    "huge_pages",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "local_preload_libraries",
    "session_preload_libraries",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_crl_file",
    "ssl_key_file",
    "unix_socket_group",
];

const LOCAL: &str = "whether Postgres starts with it depends on the machine, and it is not tried on every one: \
     set it in [postgres.parameters] of each member's haad.toml, one after the other, with a restart";

const FIXED: &str = "it is fixed when the server is built or its data are made; take it out";

fn known(row: &Row) -> Option<(String, Known)> {
    let text = |column| row.text(column).map(str::to_owned);
    let known = Known {
        context: text(1)?,
        kind: text(2)?,
        bounds: row.parse(3).zip(row.parse(4)),
        words: text(5),
        setting: text(6).unwrap_or_default(),
    };
    Some((text(0)?, known))
}

fn unknown(name: &str, major: u32, all: &All) -> String {
    let near = nearest(name, all.keys().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!(": did you mean {near}?"));
    format!("PostgreSQL {major} has no such parameter{near}")
}

/// Postgres' own parameters: its program says of each value whether it would start with it, and why not.
async fn of_program(site: &Site, name: &str, value: &str) -> Option<String> {
    let asked = Tool::new(site, "postgres")
        .arg("-C")
        .arg(name)
        .path("-D", site.data())
        .path("-cconfig_file=", &files::config_file(site))
        .arg("-clog_line_prefix=")
        .arg(format!("-c{name}={value}"))
        .run(|_| ());
    let error = asked.await.err()?;
    let JobError::Tool { said, .. } = &error else { return Some(sentence(&error)) };
    Some(in_short(said))
}

/// Without the words that every message has.
pub(super) fn in_short(said: &str) -> String {
    let said = said.rsplit_once(" (exit status").map_or(said, |(said, _)| said);
    let parts = said.split(" | ").map(|part| {
        let part = ["FATAL:", "HINT:", "DETAIL:"]
            .into_iter()
            .find_map(|word| part.split_once(word).map(|(_, rest)| rest));
        part.map(str::trim)
    });
    let told: Vec<&str> = parts.flatten().collect();
    if told.is_empty() { said.to_owned() } else { told.join("; ") }
}

/// Those of an extension that is loaded: tried in a session where a session may set them, else by their kind.
async fn of_extension(
    session: &Session,
    name: &str,
    known: &Known,
    value: &str,
) -> Result<Option<String>, SqlError> {
    if matches!(known.context.as_str(), "user" | "superuser") {
        let quoted_name: Vec<String> = name.split('.').map(|word| format!("\"{word}\"")).collect();
        let name = quoted_name.join(".");
        let tried = format!("BEGIN; SET LOCAL {name} = {}; ROLLBACK", quoted(value));
        let answer = session.rows(&tried).await;
        session.rows("ROLLBACK").await?;
        return match answer {
            Ok(_) => Ok(None),
            Err(SqlError::Refused(error)) => Ok(Some(
                error.as_db_error().map_or(error.to_string(), |said| said.message().to_owned()),
            )),
            Err(error) => Err(error),
        };
    }
    Ok(of_kind(known, value))
}

/// By what the server says of its kind; a number with a unit is taken as it is.
fn of_kind(known: &Known, value: &str) -> Option<String> {
    let value = value.to_ascii_lowercase();
    let number = || value.parse::<f64>().ok();
    match (known.kind.as_str(), known.bounds, &known.words) {
        ("bool", _, _) => {
            let words = ["on", "off", "true", "false", "yes", "no", "1", "0"];
            (!words.contains(&value.as_str())).then(|| format!("'{value}' is neither on nor off"))
        }
        ("enum", _, Some(words)) => {
            let words = words.trim_matches(['{', '}']);
            let there = words.split(',').any(|word| word.trim_matches('"') == value);
            (!there).then(|| format!("'{value}' is none of {words}"))
        }
        ("integer" | "real", Some((least, most)), _) => match number() {
            Some(number) if number < least || number > most => {
                Some(format!("{value} is not within {least} and {most}"))
            }
            None if !value.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                Some(format!("'{value}' is no number"))
            }
            Some(_) | None => None,
        },
        _ => None,
    }
}

/// What the primary has, a standby may not have less of: only the settings of all make it less.
fn lowered(name: &str, value: &str, control: &Control) -> Option<String> {
    let least = limits::of(control, name)?;
    let value: u32 = value.parse().ok()?;
    (value < least).then(|| {
        format!(
            "{value} is less than the data were last run with, {least}, and a member with less than its primary has \
             does not replay: lower it for all, by haactl settings set postgres.parameters.{name}={value} and haactl \
             restart --rolling"
        )
    })
}

/// Without one of these, Postgres does not start again.
async fn libraries(session: &Session, name: &str, value: &str) -> Result<Option<String>, SqlError> {
    if name != "shared_preload_libraries" {
        return Ok(None);
    }
    let question = "SELECT setting, current_setting('dynamic_library_path') \
                    FROM pg_config WHERE name = 'PKGLIBDIR'";
    let rows = session.rows(question).await?;
    let row = rows.first().ok_or(SqlError::Odd { column: 0 })?;
    let (Some(place), Some("$libdir")) = (row.text(0), row.text(1)) else { return Ok(None) };
    let plain = value.split(',').map(|word| word.trim().trim_matches('"'));
    let missing = plain.filter(|word| !word.is_empty() && !word.contains('/')).find(|word| {
        let file = word.strip_suffix(".so").unwrap_or(word);
        !Path::new(place).join(format!("{file}.so")).exists()
    });
    Ok(missing.map(|word| {
        format!(
            "there is no {word} in {place}, and without it Postgres does not start: install it on every member first"
        )
    }))
}

/// Two that must leave room for each other, or no server starts.
fn no_room(whole: &BTreeMap<String, String>, all: &All) -> Option<String> {
    let reserved = "superuser_reserved_connections";
    let of = |name: &str| -> Option<u32> {
        let said = whole.get(name).or_else(|| Some(&all.get(name)?.setting));
        said?.parse().ok()
    };
    let (kept, most) = (of(reserved)?, of("max_connections")?);
    let asked = whole.contains_key(reserved) || whole.contains_key("max_connections");
    (asked && kept >= most).then(|| {
        format!(
            "postgres.parameters: {reserved} is {kept} and max_connections is {most}: nobody else could connect; raise \
             max_connections or lower {reserved}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, bounds: Option<(f64, f64)>, words: Option<&str>) -> Known {
        Known {
            context: "postmaster".to_owned(),
            kind: kind.to_owned(),
            bounds,
            words: words.map(str::to_owned),
            setting: String::new(),
        }
    }

    #[test]
    fn a_kind_says_what_a_value_can_be() {
        let whole = of("integer", Some((100.0, 5_000.0)), None);
        let word = of("enum", None, Some("{none,top,\"all\"}"));
        for (known, value, good) in [
            (&of("bool", None, None), "On", true),
            (&of("bool", None, None), "maybe", false),
            (&whole, "5000", true),
            (&whole, "5001", false),
            (&whole, "many", false),
            (&whole, "1MB", true),
            (&word, "all", true),
            (&word, "most", false),
            (&of("string", None, None), "anything", true),
        ] {
            assert_eq!(of_kind(known, value).is_none(), good, "{value}");
        }
    }

    #[test]
    fn a_message_is_told_without_what_surrounds_it() {
        let said = "FATAL:  invalid value for parameter \"work_mem\": \"64XB\" | HINT:  Valid units are \"B\". \
                    (exit status: 1)";
        assert_eq!(
            in_short(said),
            "invalid value for parameter \"work_mem\": \"64XB\"; Valid units are \"B\"."
        );
        assert_eq!(in_short("odd (exit status: 1)"), "odd");
    }

    #[test]
    fn two_that_leave_no_room_are_told_with_both_values() {
        let all: All = [("max_connections", "100"), ("superuser_reserved_connections", "3")]
            .map(|(name, value)| {
                let known = Known { setting: value.to_owned(), ..of("integer", None, None) };
                (name.to_owned(), known)
            })
            .into();
        let asked = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(no_room(&BTreeMap::new(), &all), None);
        assert_eq!(no_room(&asked("max_connections", "4"), &all), None);
        let says = no_room(&asked("superuser_reserved_connections", "100"), &all);
        assert!(says.is_some_and(|says| says.contains("is 100 and max_connections is 100")));
    }
}
