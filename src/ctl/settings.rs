//! `haactl settings`: what the whole cluster goes by. Shows, and asks; the agent that takes it checks it.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use haa_core::records::Ask;
use haa_core::settings::Settings;
use hyper::Method;
use serde_json::{Map, Value};

use super::at::AtArgs;
use super::documents::{ClusterView, CommitsView, MemberView};
use super::error::CtlError;
use super::events::{self, Event};
use super::print::{Output, document, say, table};
use super::target::Target;
use crate::config::settings::{PARAMETERS, SLOTS, changes, path, put, words};

/// Where they are.
pub(super) const PATH: &str = "/config";
const WHAT: &str = "the change of settings";

/// Show or change what the whole cluster goes by
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  haactl settings show
  haactl settings set k=2 timing.suspect_after=500ms
  haactl settings set k=               # back to its default
  haactl settings set postgres.parameters.work_mem=64MB
  haactl settings set slots.barman=physical slots.cdc.database=shop
  haactl settings set postgres.parameters.max_wal_size=8GB --at 2026-11-28T03:00
  haactl settings edit
  haactl settings history

Exit codes: 0 shown, scheduled, or every member goes by it, 1 refused or failed, 2 wrong usage,
3 no agent could be reached, 4 token missing or refused")]
pub(super) struct SettingsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show the settings in force
    Show {
        /// In which form
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Change some; what the others are stays
    Set {
        /// Such as k=2, timing.ttl=20s or postgres.parameters.work_mem=64MB; nothing after the = is back to the default
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        pairs: Vec<(String, String)>,
        #[command(flatten)]
        at: AtArgs,
    },
    /// Change them in $VISUAL, $EDITOR, or vi
    Edit {
        #[command(flatten)]
        at: AtArgs,
    },
    /// Show which are not the defaults
    Diff,
    /// Show who changed what, when, from where
    History {
        /// In which form
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

/// Runs the verb.
///
/// # Errors
/// When no agent answers, or the change is refused.
pub(super) async fn run(args: &SettingsArgs, target: &Target) -> Result<(), CtlError> {
    match &args.verb {
        Verb::Show { output } => {
            let settings: Settings = target.document(PATH).await?;
            if let Some(document) = document(*output, &settings)? {
                return say(document);
            }
            say(shown(&settings))?;
            notes(target).await
        }
        Verb::Set { pairs, at } => {
            let twice = |(nth, (key, _)): &(usize, &(String, String))| {
                pairs.iter().take(*nth).any(|(other, _)| other == key)
            };
            if let Some((_, (key, _))) = pairs.iter().enumerate().find(twice) {
                return Err(CtlError::Twice(key.clone()));
            }
            let before: Settings = target.document(PATH).await?;
            let patch = at.of(patch(pairs), "scheduled_at");
            send(target, WHAT, (Method::PATCH, &patch), (&before, None)).await
        }
        Verb::Edit { at } => edit(at, target).await,
        Verb::Diff => {
            let settings: Settings = target.document(PATH).await?;
            let changes = changes(&Settings::default(), &settings);
            let mut rows = table(&["setting", "value", "default"]);
            for change in changes {
                rows.add_row([change.key, said(change.to), said(change.from)]);
            }
            say(rows.trim_fmt())
        }
        Verb::History { output } => {
            let mut events: Vec<Event> = target.stored("/events").await?;
            events.retain(|(_, event)| matches!(event.ask, Ask::Settings { .. }));
            events::show(*output, &events)
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        Some(_) | None => Err("write KEY=VALUE, such as k=2 or timing.ttl=20s".to_owned()),
    }
}

fn said(word: Option<String>) -> String {
    word.unwrap_or_else(|| "not said".to_owned())
}

fn shown(settings: &Settings) -> String {
    let mut rows = table(&["setting", "value", "default"]);
    let usual = words(&Settings::default());
    for (key, value) in words(settings) {
        let usual = usual.iter().find(|(known, _)| *known == key).map(|(_, usual)| usual.clone());
        let usual = match usual {
            Some(usual) if usual == value => String::new(),
            Some(usual) => said(usual),
            None if key.starts_with(SLOTS) => "no such slot".to_owned(),
            None => "Postgres' own".to_owned(),
        };
        rows.add_row([key, said(value), usual]);
    }
    rows.trim_fmt()
}

/// `timing.ttl=20s` is `{"timing": {"ttl": "20s"}}`. What a value has to be, the agent knows.
fn patch(pairs: &[(String, String)]) -> Value {
    let mut whole = Map::new();
    for (key, value) in pairs {
        let value = match value.parse::<Value>() {
            _ if value.is_empty() => Value::Null,
            // A span without its unit is refused, not guessed; a parameter's value is Postgres' to read.
            _ if key.starts_with(PARAMETERS) || key.starts_with(SLOTS) => {
                Value::from(value.as_str())
            }
            Ok(plain) if plain.is_boolean() || plain.is_u64() && !key.contains('.') => plain,
            Ok(_) | Err(_) => Value::from(value.as_str()),
        };
        put(&mut whole, &path(key), value);
    }
    whole.into()
}

/// Sends a change, called `what`, and says what came of it.
///
/// # Errors
/// When it is refused, or nobody takes it.
pub(super) async fn send(
    target: &Target,
    what: &'static str,
    (method, body): (Method, &Value),
    (before, seen): (&Settings, Option<String>),
) -> Result<(), CtlError> {
    let (by, answer) = target.alter(what, (method, PATH), body, seen).await?;
    if answer.status != 200 {
        say(answer.sentence())?;
        // What is to begin later is nobody's yet.
        let later = body.get("scheduled_at").is_some();
        return if later { Ok(()) } else { Err(CtlError::NotAll) };
    }
    let after: Settings = serde_json::from_slice(&answer.body)
        .map_err(|source| CtlError::OddAnswer { by, path: PATH.to_owned(), source })?;
    let changes = changes(before, &after);
    if changes.is_empty() {
        return say("nothing to change");
    }
    for change in changes {
        say(format_args!("{} = {} (was {})", change.key, said(change.to), said(change.from)))?;
    }
    if after.timing.ttl < before.timing.ttl {
        say("the present leader's lease in etcd stays as long as it was until another leads")?;
    }
    say("every member goes by it")?;
    if let Some(k) = after.k.filter(|_| after.k != before.k) {
        let commits = cluster(target).await?.commits;
        commits.and_then(|commits| price(k, &commits)).map_or(Ok(()), say)?;
    }
    notes(target).await
}

/// Where Postgres waits for a restart, or a member goes by something else.
async fn notes(target: &Target) -> Result<(), CtlError> {
    cluster(target).await?.members.iter().flat_map(MemberView::notes).try_for_each(say)
}

async fn cluster(target: &Target) -> Result<ClusterView, CtlError> {
    target.document("/cluster").await
}

/// As many copies as there are voters are taken, and have a price.
fn price(k: u32, commits: &CommitsView) -> Option<String> {
    let beside = commits.voters.len().saturating_sub(1);
    let all = commits.durability == "quorum" && beside > 0 && k as usize >= beside;
    all.then(|| match beside {
        1 => "note: one replica votes, and each commit waits for it: one that is lost holds commits up until it \
              is no voter any more"
            .to_owned(),
        _ => format!(
            "note: {beside} replicas vote, and each commit waits for all of them: one that is lost holds commits up \
             until it is no voter any more"
        ),
    })
}

async fn edit(at: &AtArgs, target: &Target) -> Result<(), CtlError> {
    let (by, answer) = target.ask(PATH).await?;
    match answer.status {
        200 => {}
        401 => return Err(target.without_token(&by, answer.sentence())),
        _ => return Err(CtlError::Refused { what: WHAT, by, why: answer.sentence() }),
    }
    let odd = |source| CtlError::OddAnswer { by: by.clone(), path: PATH.to_owned(), source };
    let before: Settings = serde_json::from_slice(&answer.body).map_err(odd)?;
    let path = std::env::temp_dir().join(format!("haactl-settings-{}.toml", std::process::id()));
    let text = editable(&before);
    write_new(&path, &text)?;
    let edited = edited(&path)?;
    if edited == text {
        remove(&path);
        return say("nothing to change");
    }
    let kept = |error: CtlError| CtlError::Kept { path: path.clone(), source: Box::new(error) };
    let whole: Value = toml::from_str(&edited).map_err(|source| kept(CtlError::NotToml(source)))?;
    let whole = at.of(whole, "scheduled_at");
    match send(target, WHAT, (Method::PUT, &whole), (&before, answer.tag)).await {
        // Not everywhere yet, but it is written.
        done @ (Ok(()) | Err(CtlError::NotAll)) => {
            remove(&path);
            done
        }
        Err(error) => Err(kept(error)),
    }
}

fn is_bare(value: &str) -> bool {
    value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok()
}

/// All of them as TOML.
fn editable(settings: &Settings) -> String {
    let mut text = "# What a line is taken out of goes back to its default.\n".to_owned();
    let mut section = "";
    let all = words(settings);
    for (key, value) in &all {
        let (of, name) = match key.strip_prefix(PARAMETERS) {
            Some(name) => (PARAMETERS.trim_end_matches('.'), name),
            None => key.rsplit_once('.').unwrap_or(("", key)),
        };
        if of != section {
            section = of;
            let _ = writeln!(text, "\n[{section}]");
        }
        let key = if name.contains(['.', '$']) { format!("\"{name}\"") } else { name.to_owned() };
        let _ = match value {
            None => writeln!(text, "# {key} is not said"),
            // Postgres' numbers may begin with a zero.
            Some(value) if matches!(section, "" | "timing") && is_bare(value) => {
                writeln!(text, "{key} = {value}")
            }
            Some(value) => writeln!(text, "{key} = {}", toml::Value::from(value.as_str())),
        };
    }
    text
}

fn write_new(path: &Path, text: &str) -> Result<(), CtlError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| CtlError::Edit {
        what: "write",
        path: path.to_owned(),
        source,
    })
}

/// What the operator makes of it.
fn edited(path: &PathBuf) -> Result<String, CtlError> {
    let failed = |what, source| CtlError::Edit { what, path: path.clone(), source };
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os);
    let editor = editor.unwrap_or_else(|| "vi".into());
    // The variable may bear arguments of its own.
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg("exec $0 \"$1\"").arg(editor).arg(path);
    let ended = command.status().map_err(|source| failed("edit", source))?;
    if !ended.success() {
        remove(path);
        return Err(CtlError::NotConfirmed("the editor did not end well"));
    }
    std::fs::read_to_string(path).map_err(|source| failed("read", source))
}

/// It is in the way of nobody should that fail.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::read;
    use haa_core::settings::KeptSlot;

    #[test]
    fn pairs_become_a_patch() {
        let pairs = ["k=2", "strict=true", "durability=", "timing.ttl=20s", "timing.round=6"];
        let pairs: Vec<_> = pairs.into_iter().map(|text| pair(text).expect("a pair")).collect();
        assert_eq!(
            patch(&pairs),
            serde_json::json!({
                "k": 2, "strict": true, "durability": null, "timing": { "ttl": "20s", "round": "6" }
            })
        );
        assert!(pair("k").is_err() && pair("=2").is_err());
    }

    #[test]
    fn as_many_copies_as_voters_have_a_price() {
        let of = |durability: &str, voters: &[&str]| CommitsView {
            durability: durability.to_owned(),
            voters: voters.iter().map(|&name| name.to_owned()).collect(),
            ..CommitsView::default()
        };
        let three = of("quorum", &["n1", "n2", "n3"]);
        assert_eq!(price(1, &three), None);
        assert!(price(2, &three).is_some_and(|says| says.starts_with("note: 2 replicas vote")));
        assert!(price(5, &three).is_some());
        assert_eq!(price(1, &of("quorum", &["n1"])), None);
        assert_eq!(price(5, &of("async", &["n1", "n2", "n3"])), None);
    }

    #[test]
    fn what_is_edited_is_read_as_it_was() {
        let mut settings = Settings { k: Some(2), strict: true, ..Settings::default() };
        let parameters = [("log_file_mode", "0640"), ("max_connections", "200")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        settings.postgres.parameters.extend(parameters);
        let logical = KeptSlot::Logical { database: "1".to_owned(), plugin: "pgoutput".to_owned() };
        let slots = [("barman", KeptSlot::Physical), ("true", logical)];
        settings.slots.extend(slots.map(|(name, slot)| (name.to_owned(), slot)));
        let text = editable(&settings);
        assert!(text.contains("# durability is not said\nk = 2\n"), "{text}");
        assert!(text.contains("\n[timing]\nttl = \"10s\"\n"), "{text}");
        let Ok(Value::Object(whole)) = toml::from_str(&text) else { panic!("{text}") };
        assert_eq!(read(&whole), Ok(settings));
    }
}
