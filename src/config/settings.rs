//! `[settings]`: what a new cluster begins with, and what an operator makes of it later: both are read here, and
//! checked as a whole. Never writes them anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use haa_core::records::Altered;
use haa_core::settings::{Durability, Settings, Timing};
use haa_core::units::Millis;
use serde_json::{Map, Value};

use super::check::Checker;
use super::error::At;
use super::file::{SettingsFile, Text, TimingFile};
use super::planned::PROFILED;
use super::resets;
use super::size;
use super::slots;
use super::source::Source;

/// Each setting with what it says, as people write it; `None` for what is not said.
#[must_use]
pub fn words(settings: &Settings) -> Vec<(String, Option<String>)> {
    let durability = settings.durability.map(|durability| match durability {
        Durability::Async => "async".to_owned(),
        Durability::Quorum => "quorum".to_owned(),
    });
    let plain = [
        ("durability", durability),
        ("k", settings.k.map(|k| k.to_string())),
        ("strict", Some(settings.strict.to_string())),
        ("failsafe", Some(settings.failsafe.to_string())),
        ("maximum_lag_on_failover", Some(size::word(settings.maximum_lag_on_failover))),
        ("pause", Some(settings.pause.to_string())),
    ];
    let timing = settings
        .timing
        .spans()
        .map(|(key, span)| (format!("timing.{key}"), Some(span.to_string())));
    let parameters = settings.postgres.parameters.iter();
    let parameters =
        parameters.map(|(name, value)| (format!("{PARAMETERS}{name}"), Some(value.clone())));
    let plain = plain.into_iter().map(|(key, said)| (key.to_owned(), said));
    let slots = settings.slots.iter().flat_map(|(name, slot)| slots::words(name, slot));
    plain.chain(timing).chain(parameters).chain(slots).collect()
}

/// What goes before the name of a slot.
pub const SLOTS: &str = "slots.";

/// What goes before the name of a parameter of Postgres, which may have a dot of its own.
pub const PARAMETERS: &str = "postgres.parameters.";

/// The sections to a key, and the key itself.
#[must_use]
pub fn path(key: &str) -> Vec<&str> {
    match key.strip_prefix(PARAMETERS) {
        Some(name) => PARAMETERS.split_terminator('.').chain([name]).collect(),
        None => key.split('.').collect(),
    }
}

/// What is other than before.
#[must_use]
pub fn changes(before: &Settings, after: &Settings) -> Vec<Altered> {
    let (before, after) = (words(before), words(after));
    let is: BTreeMap<&String, &Option<String>> = after.iter().map(|(key, is)| (key, is)).collect();
    let was: BTreeMap<&String, &Option<String>> =
        before.iter().map(|(key, was)| (key, was)).collect();
    // Only parameters of Postgres and slots come and go.
    let new = after.iter().map(|(key, _)| key).filter(|key| !was.contains_key(key));
    let keys = before.iter().map(|(key, _)| key).chain(new);
    let all = keys.map(|key| {
        let of = |said: &BTreeMap<_, &Option<String>>| said.get(key).copied().cloned().flatten();
        Altered { key: key.clone(), from: of(&was), to: of(&is) }
    });
    all.filter(|one| one.from != one.to).collect()
}

/// The settings in force with `patch` merged into them: what it names is replaced, `null` goes back to the default, and
/// everything else stays. `profile` takes the place of the spans that it stands for.
///
/// # Errors
/// What is wrong with the patch, or with what comes out: a sentence each.
pub fn merged(settings: &Settings, patch: &Value) -> Result<Settings, Vec<String>> {
    let Value::Object(patch) = patch else {
        return Err(vec!["settings: a JSON object is wanted, such as {\"k\": 2}".to_owned()]);
    };
    let mut whole = Map::new();
    for (key, said) in words(settings) {
        let Some(said) = said else { continue };
        if patch.contains_key("profile") && PROFILED.contains(&key.as_str()) {
            continue;
        }
        let said = if key.contains('.') { said.into() } else { plain(said) };
        put(&mut whole, &path(&key), said);
    }
    let patch = resets::checked(in_our_words(patch)?, &whole)?;
    merge(&mut whole, &patch);
    read(&whole)
}

/// Puts a value where it belongs; what is no section in its way makes room.
pub fn put(whole: &mut Map<String, Value>, path: &[&str], value: Value) {
    let [section, rest @ ..] = path else { return };
    if rest.is_empty() {
        whole.insert((*section).to_owned(), value);
        return;
    }
    let mut inner = match whole.remove(*section) {
        Some(Value::Object(inner)) => inner,
        Some(_) | None => Map::new(),
    };
    put(&mut inner, rest, value);
    whole.insert((*section).to_owned(), inner.into());
}

/// `postgresql` is what today's tools call `postgres`, and the names of parameters are the same in any letters.
pub(super) fn in_our_words(
    document: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<String>> {
    let mut document = document.clone();
    if let Some(theirs) = document.remove("postgresql")
        && document.insert("postgres".to_owned(), theirs).is_some()
    {
        let says =
            "settings: postgres and postgresql are two names of one section: write one of them";
        return Err(vec![says.to_owned()]);
    }
    let parameters = document.get_mut("postgres").and_then(|section| section.get_mut("parameters"));
    if let Some(Value::Object(parameters)) = parameters {
        let all = std::mem::take(parameters).into_iter();
        parameters.extend(all.map(|(name, value)| (name.to_ascii_lowercase(), value)));
    }
    if let Some(Value::Object(slots)) = document.get_mut("slots") {
        // A word is what kind it is.
        for slot in slots.values_mut().filter(|slot| slot.is_string()) {
            *slot = serde_json::json!({ "type": slot.take() });
        }
    }
    Ok(document)
}

/// The settings that a document says, and defaults for the rest.
///
/// # Errors
/// Everything that is wrong with it, a sentence each.
pub fn read(document: &Map<String, Value>) -> Result<Settings, Vec<String>> {
    let mut document = in_our_words(document)?;
    // No new cluster begins with it: haad.toml has no such key.
    let pause = match document.remove("pause") {
        None => false,
        Some(Value::Bool(pause)) => pause,
        Some(other) => {
            return Err(vec![format!("settings.pause: {other} is neither true nor false")]);
        }
    };
    if document.contains_key("ignore_slots") {
        let says = "settings.ignore_slots: haa touches no slot but those of its members and of settings.slots: leave \
                    it out";
        return Err(vec![says.to_owned()]);
    }
    if let Some(Value::Object(timing)) = document.get_mut("timing") {
        // As `GET /config` shows them.
        for span in timing.values_mut().filter(|value| value.is_u64()) {
            *span = format!("{span}ms").into();
        }
    }
    let whole = BTreeMap::from([("settings", &document)]);
    let text = toml::to_string(&whole).map_err(|error| vec![format!("settings: {error}")])?;
    let (source, env) = (Source::new(&text), BTreeMap::new());
    let mut problems = Vec::new();
    let file = match source.read(Path::new("settings"), &env, &mut problems) {
        Ok(file) => file,
        Err(error) => return Err(sentences(error.problems)),
    };
    let mut checker = Checker { source, env: &env, problems };
    match checker.settings(&file.settings) {
        Some(settings) if checker.problems.is_empty() => Ok(Settings { pause, ..settings }),
        Some(_) | None => Err(sentences(checker.problems)),
    }
}

/// As RFC 7386 has it.
fn merge(whole: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, said) in patch {
        let there = whole.remove(key);
        let Value::Object(inner) = said else {
            whole.extend((!said.is_null()).then(|| (key.clone(), said.clone())));
            continue;
        };
        let mut section = there.and_then(|there| there.as_object().cloned()).unwrap_or_default();
        merge(&mut section, inner);
        whole.insert(key.clone(), section.into());
    }
}

/// A number or a truth where it is one: that is what the file has there.
pub(super) fn plain(said: String) -> Value {
    match said.parse::<Value>() {
        Ok(value) if value.is_u64() || value.is_boolean() => value,
        Ok(_) | Err(_) => said.into(),
    }
}

fn sentences(problems: Vec<super::Problem>) -> Vec<String> {
    problems.into_iter().map(|problem| problem.says).collect()
}

/// The key, what was said for it, and where it goes.
type Span<'f, 't> = (&'static str, Option<&'f Text>, &'t mut Millis);

impl Checker<'_> {
    /// `[settings]`
    pub(super) fn settings(&mut self, file: &SettingsFile) -> Option<Settings> {
        let mut settings = Settings::default();
        let before = self.problems.len();
        match file.durability.as_ref().map(|said| (said, said.value().as_str())) {
            None => {}
            Some((_, "async")) => settings.durability = Some(Durability::Async),
            Some((_, "quorum")) => settings.durability = Some(Durability::Quorum),
            Some((said, other)) => {
                let says = format!(
                    "settings.durability: '{other}' is none: write quorum or async, or leave it out for quorum from \
                     three members on"
                );
                self.refuse_said::<(), _>(said, says);
            }
        }
        if let Some(said) = &file.k {
            match *said.value() {
                0 => {
                    let says =
                        "settings.k: 0 copies are none: write 1 or more, or durability = \"async\"";
                    self.refuse_said::<(), _>(said, says.to_owned());
                }
                k => settings.k = Some(k),
            }
        }
        settings.strict = file.strict.as_ref().is_some_and(|said| *said.value());
        settings.failsafe = file.failsafe.as_ref().is_none_or(|said| *said.value());
        if let Some(said) = &file.maximum_lag_on_failover {
            match size::bytes(&said.value().text()) {
                Some(bytes) => settings.maximum_lag_on_failover = bytes,
                None => {
                    let says = format!(
                        "settings.maximum_lag_on_failover: '{}' is no size: write it as 1MB, \
                             16kB, or in bytes",
                        said.value().text()
                    );
                    self.refuse_said::<(), _>(said, says);
                }
            }
        }
        self.profile(file, &mut settings.timing);
        self.timing(&file.timing, &mut settings.timing);
        let parameters = self.parameters("settings.postgres.parameters", &file.postgres.parameters);
        settings.postgres.parameters = parameters.unwrap_or_default();
        settings.slots = self.slots(&file.slots);
        (self.problems.len() == before).then_some(settings)
    }

    /// A profile is a set of timings; what it is for is not said twice, and it is for `quorum`.
    fn profile(&mut self, file: &SettingsFile, timing: &mut Timing) {
        let Some(said) = &file.profile else { return };
        if said.value() != "fast" {
            let says = format!(
                "settings.profile: '{}' is none: write fast, or leave it out",
                said.value()
            );
            self.refuse_said::<(), _>(said, says);
            return;
        }
        *timing = Timing::fast();
        if file.durability.as_ref().is_some_and(|said| said.value() == "async") {
            let says = "settings.profile: fast is for takeovers, and async has none: it waits for the lease to end; \
                        take out profile, or durability = \"async\"";
            self.refuse_said::<(), _>(said, says.to_owned());
        }
        let spans = [
            ("suspect_after", &file.timing.suspect_after, timing.suspect_after),
            ("heartbeat", &file.timing.heartbeat, timing.heartbeat),
        ];
        for (key, other, span) in spans {
            let Some(other) = other else { continue };
            let says = format!(
                "settings.timing.{key}: profile = \"fast\" says {span} already: take out one of the two"
            );
            self.refuse_said::<(), _>(other, says);
        }
    }

    fn timing(&mut self, file: &TimingFile, timing: &mut Timing) {
        let before = self.problems.len();
        for (key, said, span) in spans(file, timing) {
            let Some(said) = said else { continue };
            let key = format!("settings.timing.{key}");
            let Some(time) = self.span(&key, said) else { continue };
            if time.as_millis() > 0 && time.subsec_nanos() % 1_000_000 == 0 {
                *span = Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                continue;
            }
            let says = format!(
                "{key}: '{}' is not a whole number of milliseconds above zero",
                said.value()
            );
            self.refuse_said::<(), _>(said, says);
        }
        if self.problems.len() > before {
            return;
        }
        if let Err(says) = timing.check() {
            let mut copy = *timing;
            let named = spans(file, &mut copy)
                .into_iter()
                .filter(|(key, _, _)| {
                    says.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *key)
                })
                .find_map(|(_, said, _)| said);
            let at = named.map_or(At::File, |said| self.source.of(said));
            self.refuse::<()>(at, format!("settings.timing: {says}"));
        }
    }
}

fn spans<'f, 't>(file: &'f TimingFile, timing: &'t mut Timing) -> [Span<'f, 't>; 19] {
    [
        ("ttl", file.ttl.as_ref(), &mut timing.ttl),
        ("round", file.round.as_ref(), &mut timing.round),
        ("margin", file.margin.as_ref(), &mut timing.margin),
        ("heartbeat", file.heartbeat.as_ref(), &mut timing.heartbeat),
        ("suspect_after", file.suspect_after.as_ref(), &mut timing.suspect_after),
        ("stagger", file.stagger.as_ref(), &mut timing.stagger),
        ("report_timeout", file.report_timeout.as_ref(), &mut timing.report_timeout),
        ("attempt_timeout", file.attempt_timeout.as_ref(), &mut timing.attempt_timeout),
        ("promote_timeout", file.promote_timeout.as_ref(), &mut timing.promote_timeout),
        ("stall_timeout", file.stall_timeout.as_ref(), &mut timing.stall_timeout),
        ("stop_timeout", file.stop_timeout.as_ref(), &mut timing.stop_timeout),
        ("forget_after", file.forget_after.as_ref(), &mut timing.forget_after),
        ("gather_timeout", file.gather_timeout.as_ref(), &mut timing.gather_timeout),
        ("successor_timeout", file.successor_timeout.as_ref(), &mut timing.successor_timeout),
        ("settle", file.settle.as_ref(), &mut timing.settle),
        ("agent_silent_after", file.agent_silent_after.as_ref(), &mut timing.agent_silent_after),
        ("voter_timeout", file.voter_timeout.as_ref(), &mut timing.voter_timeout),
        ("voter_return", file.voter_return.as_ref(), &mut timing.voter_return),
        ("alone_after", file.alone_after.as_ref(), &mut timing.alone_after),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(patch: &Value) -> Result<Settings, String> {
        merged(&Settings::default(), patch).map_err(|sentences| sentences.join("; "))
    }

    #[test]
    fn what_is_not_named_stays_and_null_is_the_default() {
        let first = after(&json!({ "k": 2, "timing": { "ttl": "20s", "round": 6000 } }));
        let first = first.expect("it makes sense");
        assert_eq!(
            (first.k, first.timing.ttl, first.timing.round.0),
            (Some(2), Millis(20_000), 6_000)
        );
        let next = merged(&first, &json!({ "k": null, "timing": { "ttl": null, "round": null } }));
        assert_eq!(next, Ok(Settings::default()));
        let told = changes(&Settings::default(), &first);
        let told: Vec<String> = told.into_iter().map(|one| one.key).collect();
        assert_eq!(told, ["k", "timing.ttl", "timing.round"]);
    }

    #[test]
    fn parameters_of_postgres_come_and_go_by_their_names() {
        let first = json!({ "postgres": { "parameters":
            { "Work_Mem": "64MB", "pg_stat_statements.track": "all", "jit": false } } });
        let first = after(&first).expect("it makes sense");
        let theirs = json!({ "postgresql": { "parameters":
            { "jit": null, "work_mem": "32MB", "max_connections": 200 } } });
        let next = merged(&first, &theirs).expect("today's tools say it so");
        let told = changes(&first, &next);
        let told: Vec<(&str, Option<&str>, Option<&str>)> = told
            .iter()
            .map(|one| (one.key.as_str(), one.from.as_deref(), one.to.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("postgres.parameters.jit", Some("off"), None),
                ("postgres.parameters.work_mem", Some("64MB"), Some("32MB")),
                ("postgres.parameters.max_connections", None, Some("200")),
            ]
        );
        assert_eq!(next.postgres.parameters["pg_stat_statements.track"], "all");
        assert_eq!(merged(&next, &json!({ "postgres": null })), Ok(Settings::default()));
    }

    #[test]
    fn slots_come_and_go_as_today_s_tools_say_them() {
        let theirs = json!({ "slots": {
            "barman": { "type": "physical" },
            "cdc": { "type": "logical", "database": "shop", "plugin": "wal2json" },
        } });
        let first = after(&theirs).expect("it makes sense");
        assert_eq!(serde_json::to_value(&first).expect("it is JSON")["slots"], theirs["slots"]);
        assert_eq!(
            merged(&Settings::default(), &json!({ "slots": first.slots })),
            Ok(first.clone())
        );
        let patch = json!({ "slots": { "barman": null, "other": "physical",
            "cdc": { "plugin": null }, "more": { "database": "shop" } } });
        let next = merged(&first, &patch).expect("it makes sense");
        let told = changes(&first, &next);
        let word = |said: &Option<String>| said.clone().unwrap_or_default();
        let told: Vec<String> = told
            .iter()
            .map(|one| format!("{} {} {}", one.key, word(&one.from), word(&one.to)))
            .collect();
        assert_eq!(
            told,
            [
                "slots.barman.type physical ",
                "slots.cdc.plugin wal2json pgoutput",
                "slots.more.type  logical",
                "slots.more.database  shop",
                "slots.more.plugin  pgoutput",
                "slots.other.type  physical",
            ]
        );
        assert_eq!(merged(&next, &json!({ "slots": null })), Ok(Settings::default()));
    }

    #[test]
    fn a_profile_takes_the_place_of_what_it_stands_for() {
        let fast = after(&json!({ "profile": "fast" })).expect("it makes sense");
        assert_eq!(fast.timing, Timing::fast());
        assert_eq!(merged(&fast, &json!({})), Ok(fast));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        for (patch, says) in [
            (
                json!({ "timing": { "ttl": "5s" } }),
                "ttl is 5s but two rounds of 3s and a margin of 2s",
            ),
            (
                json!({ "timing": { "ttl": "20" } }),
                "'20' is no span of time: write it as 10s or 500ms",
            ),
            (json!({ "timing": { "tll": "20s" } }), "did you mean ttl?"),
            (json!({ "ttl": "20s" }), "ttl is no key in [settings]: did you mean timing.ttl?"),
            (json!({ "k": "two" }), "settings.k: invalid type: string \"two\""),
            (json!({ "k": 0 }), "0 copies are none"),
            (json!({ "pause": "yes" }), "\"yes\" is neither true nor false"),
            (json!({ "durability": "sync" }), "write quorum or async"),
            (json!({ "maximum_lag_on_failover": "much" }), "is no size"),
            (
                json!({ "postgres": { "parameters": { "port": 1 } } }),
                "settings.postgres.parameters.port: haa sets this itself: it is postgres.listen",
            ),
            (
                json!({ "postgresql": { "parameters": { "fsync": false } } }),
                "settings.postgres.parameters.fsync: 'off' is refused",
            ),
            (
                json!({ "postgres": { "parameters": { "work_mem": { "x": 1 } } } }),
                "expected a string, a number, true or false",
            ),
            (json!({ "ignore_slots": [] }), "haa touches no slot but"),
            (json!({ "slots": { "haa_n4": "physical" } }), "those that begin with haa_ are"),
            (json!({ "slots": { "Cdc": "physical" } }), "a slot's name is 1 to 63 of a-z 0-9 _"),
            (json!({ "slots": { "cdc": "logical" } }), "slots.cdc.database: it is missing"),
            (json!({ "slots": { "cdc": "both" } }), "'both' is none: write physical or logical"),
            (
                json!({ "slots": { "cdc": { "type": "physical", "plugin": "x" } } }),
                "settings.slots.cdc: a physical slot has neither database nor plugin",
            ),
            (
                json!({ "slots": { "cdc": { "dbname": "x" } } }),
                "settings.slots.cdc.dbname: unknown",
            ),
            (
                json!({ "postgresql": { "use_slots": true } }),
                "use_slots is no key in [settings.postgres]",
            ),
            (
                json!({ "postgres": {}, "postgresql": {} }),
                "postgres and postgresql are two names of one section",
            ),
            (json!(["k"]), "a JSON object is wanted"),
        ] {
            let why = after(&patch).expect_err("it is refused");
            assert!(why.contains(says), "{patch}: {why}");
        }
    }
}
