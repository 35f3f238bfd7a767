//! Files, variables and settings that nobody would write: each is taken or refused in a sentence.

use haa_core::settings::Settings;
use serde_json::Value;

use super::super::keys::KEYS;
use super::super::settings::{changes, merged, words};
use super::super::{Config, size};
use super::{GOOD, Place};

const FULL: &str = "plain = 'refused'
[router]
read_write = '10.0.0.1:5000'
hold = '10s'
[pgbouncer]
consoles = ['10.0.0.9:6432']
password_file = '@/secret'
databases = ['shop']
[postgres.parameters]
work_mem = '4MB'
max_connections = 200
[settings.timing]
ttl = '20s'
[tags]
zone = 'a'
";

fn sound(says: &str) {
    assert!(!says.trim().is_empty() && !says.contains("pass word"), "{says}");
}

#[test]
fn fuzz_haad_toml() {
    let place = Place::new();
    let full = format!("{GOOD}{FULL}");
    let deep = format!("cluster = {}", "[".repeat(50_000));
    let example = include_str!("../example.toml");
    crate::fuzz::text(&[GOOD, &full, example, &deep], |text| match place.load(text) {
        Ok(config) => drop(config),
        Err(says) => sound(&says),
    });
}

#[test]
fn fuzz_variables() {
    let mut place = Place::new();
    place.load(GOOD).expect("it is good");
    let path = place.path().join("haad.toml");
    let values =
        ["10.0.0.1:5432", "http://a:1,http://b:2", "true", "10s", "1GB", "/tmp/x/", "/", "async"];
    let keys: Vec<&str> =
        KEYS.iter().map(|key| key.variable).filter(|key| !key.is_empty()).collect();
    let env = std::cell::RefCell::new(std::mem::take(&mut place.env));
    crate::fuzz::text(&values, |text| {
        for key in keys.iter().skip(text.len() % 4).step_by(4) {
            let mut env = env.borrow_mut();
            env.clear();
            env.insert((*key).to_owned(), text.replace('\0', ""));
            if let Err(error) = Config::load(&path, &env) {
                sound(&error.to_string());
            }
        }
    });
}

#[test]
fn fuzz_settings() {
    let deep = format!("{{\"timing\":{}", "[".repeat(50_000));
    let examples = [
        r#"{"durability":"quorum","k":2,"strict":true,"failsafe":false,"pause":true}"#,
        r#"{"profile":"fast","maximum_lag_on_failover":"16MB"}"#,
        r#"{"timing":{"ttl":"20s","round":3000,"margin":null,"heartbeat":"100ms","forget_after":"1h"}}"#,
        &deep,
    ];
    crate::fuzz::text(&examples, |text| {
        let Ok(patch) = serde_json::from_str::<Value>(text) else { return };
        match merged(&Settings::default(), &patch) {
            Err(sentences) => sentences.iter().for_each(|says| sound(says)),
            Ok(settings) => {
                settings.timing.check().expect("what is taken is sound");
                // What is shown is what is said: taken again, it is the same.
                let again = merged(&settings, &Value::Object(serde_json::Map::new()));
                assert_eq!(again.as_ref(), Ok(&settings), "{:?}", words(&settings));
                let json = serde_json::to_string(&settings).expect("it is written");
                assert_eq!(serde_json::from_str::<Settings>(&json).ok().as_ref(), Some(&settings));
                assert!(changes(&settings, &settings).is_empty());
            }
        }
    });
}

#[test]
fn fuzz_sizes() {
    crate::fuzz::text(&["16kB", "10 MB", "1GB", "2TB", "0", "18014398509481983kB"], |text| {
        let Some(bytes) = size::bytes(text) else { return };
        assert_eq!(size::bytes(&size::word(bytes)), Some(bytes));
        assert!(!size::readable(bytes).is_empty());
    });
}
