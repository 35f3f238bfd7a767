//! What the whole cluster goes by, Patroni's dynamic configuration: what becomes of each key. Writes nothing.

use std::path::Path;

use super::draft::{Became, Draft};
use super::error::ImportError;
use super::server;
use super::standby;
use super::yaml::Node;
use crate::config::name_objection;

/// What Patroni takes unless it is told otherwise: such a value was not chosen.
const USUAL_TTL: i64 = 30;

/// Everything but `postgresql.parameters` and `postgresql.pg_hba`.
pub(super) fn settings(draft: &mut Draft, path: &Path, all: &Node) -> Result<(), ImportError> {
    for (key, at) in all.value.entries() {
        match key.as_str() {
            "standby_cluster" => standby::cluster(draft, path, at)?,
            key => one(draft, key, at),
        }
    }
    Ok(())
}

/// What counts where nothing is said is not the same in both.
pub(super) fn unsaid(draft: &mut Draft, all: Option<&Node>) {
    match all.map(|all| all.value.get("synchronous_mode")) {
        Some(Some(_)) => {}
        Some(None) => {
            draft.put("settings.durability", "async");
            let to = "settings.durability = async".to_owned();
            draft.added("synchronous_mode", Became::Changed(to, ASYNC.to_owned()));
        }
        None => {
            let why = "nothing says what the cluster goes by, so that haa's defaults stand, quorum among them: \
                       patronictl show-config > dynamic.yml, and give --dynamic dynamic.yml";
            draft.added("bootstrap.dcs", Became::Lost(why.to_owned()));
        }
    }
}

const ASYNC: &str = "as it was: a failover may lose the last commits. Without this line, haa goes over to quorum with \
                     two replicas";

fn one(draft: &mut Draft, key: &str, at: &Node) {
    match key {
        "ttl" => ttl(draft, at),
        "loop_wait" | "retry_timeout" => draft.needless(
            at,
            key,
            "haad decides at each event; its lease is renewed every settings.timing.round, a third of the ttl",
        ),
        "maximum_lag_on_failover" => match at.value.number().filter(|bytes| *bytes >= 0) {
            Some(bytes) => {
                draft.put("settings.maximum_lag_on_failover", bytes);
                draft.taken(at, key, "settings.maximum_lag_on_failover (in quorum it bounds who becomes a voter)");
            }
            None => draft.lost(at, key, "it is no number of bytes"),
        },
        "synchronous_mode" | "synchronous_node_count" | "synchronous_mode_strict" => {
            durability(draft, key, at);
        }
        "failsafe_mode" => {
            draft.put("settings.failsafe", at.value.truth().unwrap_or(true));
            draft.taken(at, key, "settings.failsafe (counts in quorum only)");
        }
        "primary_stop_timeout" | "master_stop_timeout" => match at.value.number() {
            Some(seconds) if seconds > 0 => {
                draft.put("settings.timing.stop_timeout", format!("{seconds}s"));
                draft.taken(at, key, "settings.timing.stop_timeout");
            }
            _ => draft.changed(
                at,
                key,
                "settings.timing.stop_timeout",
                "0 is for ever in Patroni; haa makes a stop immediate after 10 s",
            ),
        },
        "primary_start_timeout" | "master_start_timeout" => draft.lost(
            at,
            key,
            "a primary whose Postgres dies gives way at once, and comes back as a replica",
        ),
        "postgresql" => postgresql(draft, at),
        "slots" => at.value.entries().iter().for_each(|(name, at)| slot(draft, name, at)),
        "ignore_slots" => draft.needless(
            at,
            key,
            "haa touches no slot but those that begin with haa_ and those of settings.slots",
        ),
        "member_slots_ttl" => draft.lost(
            at,
            key,
            "a member's slot is kept for settings.timing.forget_after (24 h), after which it counts as gone for good",
        ),
        "maximum_lag_on_syncnode" => {
            draft.needless(at, key, "a replica votes once it has caught up, and not while it is silent");
        }
        "check_timeline" => draft.needless(at, key, "timelines are always compared"),
        "max_timelines_history" => draft.needless(at, key, "haa keeps every leadership on record"),
        "pause" if at.value.truth() == Some(true) => {
            draft.lost(at, key, "a new cluster is not paused: haactl pause does so");
        }
        "pause" => draft.needless(at, key, "it is off"),
        _ => draft.lost(at, key, "haa has no such key"),
    }
}

/// A slot that is there whoever leads.
fn slot(draft: &mut Draft, name: &str, at: &Node) {
    let (key, to) = (format!("slots.{name}"), format!("settings.slots.{name}"));
    let text = |key: &str| at.value.get(key).and_then(|said| said.value.text());
    if let Some(why) = name_objection(name) {
        return draft.lost(at, &key, &why);
    }
    let (database, plugin) = (text("database"), text("plugin"));
    let usual = if database.is_some() { "logical" } else { "physical" };
    match (text("type").as_deref().unwrap_or(usual), database) {
        ("physical", _) => {
            draft.put(&format!("{to}.type"), "physical");
            draft.taken(at, &key, &to);
        }
        ("logical", Some(database)) => {
            draft.put(&format!("{to}.type"), "logical");
            draft.put(&format!("{to}.database"), database);
            draft.put(&format!("{to}.plugin"), plugin.unwrap_or_else(|| "pgoutput".to_owned()));
            let why = "from PostgreSQL 17 on, which copies it to replicas: the slot must be made with failover \
                       (docs/operations.md). Before 17 it takes pg_failover_slots beside every Postgres; else take it \
                       out";
            draft.changed(at, &key, &to, why);
        }
        (_, _) => draft.lost(at, &key, "it is neither physical, nor logical with a database"),
    }
}

/// What of Postgres is the same for all; its parameters and pg_hba are put together by whoever calls.
fn postgresql(draft: &mut Draft, at: &Node) {
    for (key, at) in at.value.entries() {
        let full = format!("postgresql.{key}");
        match key.as_str() {
            "parameters" | "pg_hba" => {}
            _ => server::shared(draft, at, &full, key),
        }
    }
}

/// The lease. Patroni's usual one was not chosen, so that haa's usual one stands in its place.
fn ttl(draft: &mut Draft, at: &Node) {
    match at.value.number() {
        Some(USUAL_TTL) => draft.needless(
            at,
            "ttl",
            "30 s is Patroni's default: haa's own stands, 10 s; haactl settings set timing.ttl=30s timing.round=10s \
             goes back to it",
        ),
        // So that two rounds and the margin of 2 s are less.
        Some(seconds) if seconds >= 9 => {
            draft.put("settings.timing.ttl", format!("{seconds}s"));
            draft.put("settings.timing.round", format!("{}s", seconds / 3));
            draft.taken(at, "ttl", "settings.timing.ttl, with a third of it as settings.timing.round");
        }
        Some(_) | None => draft.lost(at, "ttl", "it is too short for haa: its own default stands, 10 s"),
    }
}

fn durability(draft: &mut Draft, key: &str, at: &Node) {
    match key {
        "synchronous_mode" => {
            let quorum = at.value.text().is_some_and(|text| text.eq_ignore_ascii_case("quorum"));
            if quorum || at.value.truth() == Some(true) {
                draft.put("settings.durability", "quorum");
                draft.changed(
                    at,
                    key,
                    "settings.durability = quorum",
                    "any k of the voters acknowledge, and no failover loses what they have",
                );
            } else {
                draft.put("settings.durability", "async");
                draft.changed(at, key, "settings.durability = async", ASYNC);
            }
        }
        "synchronous_node_count" => match at.value.number().filter(|count| *count >= 1) {
            Some(count) => {
                draft.put("settings.k", count);
                draft.taken(at, key, "settings.k");
            }
            None => draft.lost(at, key, "it is no number above 0"),
        },
        _ => {
            draft.put("settings.strict", at.value.truth().unwrap_or_default());
            draft.taken(at, key, "settings.strict");
        }
    }
}
