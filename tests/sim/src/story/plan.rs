//! The first command of a story: `cluster` and its settings, made into the plan of a world. Runs nothing.

use std::collections::BTreeMap;

use haa_core::node::Pools;
use haa_core::records::Tags;
use haa_core::settings::{Durability, KeptSlot, Settings, Timing};
use haa_core::units::{Millis, Unreadable};

use crate::time::At;
use crate::world::{EtcdRelease, Guard, Plan, World};

/// What `cluster` says.
pub(super) fn plan(words: &[&str]) -> Result<Plan, String> {
    let mut timing = Timing::default();
    let mut guard = Guard::Off;
    let mut durability = Some(Durability::Async);
    let (mut k, mut strict, mut failsafe) = (None, false, true);
    let mut members = 0;
    let mut tags = BTreeMap::new();
    let mut etcd = EtcdRelease::New;
    let mut namesakes = BTreeMap::new();
    let mut pools = Pools::None;
    let mut other = (None, false);
    let (mut apart, mut receiver_timeout) = (At::ms(500), At::secs(5));
    let mut lag = Settings::default().maximum_lag_on_failover;
    for word in words {
        match word.split_once('=') {
            Some(("ttl", value)) => timing.ttl = millis(value)?,
            Some(("profile", "fast")) => timing = Timing::fast(),
            Some(("round", value)) => timing.round = millis(value)?,
            Some(("margin", value)) => timing.margin = millis(value)?,
            Some(("guard", "on")) => guard = Guard::On,
            Some(("durability", "quorum")) => durability = Some(Durability::Quorum),
            Some(("durability", "auto")) => durability = None,
            Some(("strict", "on")) => strict = true,
            Some(("failsafe", "off")) => failsafe = false,
            Some(("k", value)) => k = Some(value.parse().map_err(|_| "k is how many?")?),
            Some(("pgbouncer", "on")) => pools = Pools::Known,
            Some((key @ ("other-site" | "standby-of"), name)) => {
                other = (Some(member(name)?), key == "standby-of");
            }
            Some(("etcd", "old")) => etcd = EtcdRelease::Old,
            Some(("max_lag", bytes)) => lag = bytes.parse().map_err(|_| "how many bytes?")?,
            Some((key, value)) if TAGS.contains(&key) => tagged(&mut tags, key, value)?,
            Some((name, own)) if member(name).is_ok() => {
                let own = own.parse().map_err(|why: Unreadable| why.to_string())?;
                namesakes.insert(member(name)?, own);
                members += 1;
            }
            Some(("apart", value)) => apart = span(value)?,
            Some(("receiver", value)) => receiver_timeout = span(value)?,
            Some(_) => return Err(format!("'{word}' is not a setting of a story")),
            None => members += 1,
        }
    }
    timing.check()?;
    let maximum_lag_on_failover = lag;
    let settings = Settings {
        durability,
        k,
        strict,
        failsafe,
        maximum_lag_on_failover,
        timing,
        ..Settings::default()
    };
    Ok(Plan {
        seed: 1,
        members,
        settings,
        guard,
        etcd,
        broken: None,
        tags,
        namesakes,
        apart,
        receiver_timeout,
        drift_ppm: 0,
        pools,
        other_site: other.0,
        follows: other.1,
    })
}

/// The settings as they are, with what `set` says changed.
pub(super) fn set(world: &World, words: &[&str]) -> Result<Settings, String> {
    let kept = world.etcd.view.settings.as_ref().map(|kept| kept.value.clone());
    let mut settings = kept.unwrap_or_else(|| world.plan.settings.clone());
    for word in words {
        match word.split_once('=') {
            Some(("durability", "async")) => settings.durability = Some(Durability::Async),
            Some(("durability", "quorum")) => settings.durability = Some(Durability::Quorum),
            Some(("k", value)) => {
                settings.k = Some(value.parse().map_err(|_| "k is how many?")?);
            }
            Some(("strict", value)) => settings.strict = value == "on",
            Some(("pause", value)) => settings.pause = value == "on",
            Some(("physical-slot", name)) => {
                settings.slots.insert(name.to_owned(), KeptSlot::Physical);
            }
            Some(("logical-slot", name)) => {
                let (database, plugin) = ("shop".to_owned(), "pgoutput".to_owned());
                settings.slots.insert(name.to_owned(), KeptSlot::Logical { database, plugin });
            }
            Some(("ttl", value)) => settings.timing.ttl = millis(value)?,
            Some(("round", value)) => settings.timing.round = millis(value)?,
            Some(("margin", value)) => settings.timing.margin = millis(value)?,
            Some(_) | None => return Err(format!("'{word}' cannot be set by a story")),
        }
    }
    settings.timing.check()?;
    Ok(settings)
}

/// Stories are told of these tags.
const TAGS: [&str; 7] =
    ["clonefrom", "nofailover", "nostream", "nosync", "preferred", "replicatefrom", "site"];

/// `nofailover=n2`, `replicatefrom=n3:n2`, `site=n1+n4`
fn tagged(tags: &mut BTreeMap<usize, Tags>, key: &str, said: &str) -> Result<(), String> {
    for said in said.split('+') {
        let (name, from) = said.split_once(':').unwrap_or((said, ""));
        let tags = tag(tags, name)?;
        match key {
            "clonefrom" => tags.clonefrom = true,
            "nofailover" => tags.nofailover = true,
            "nosync" => tags.nosync = true,
            "nostream" => tags.nostream = true,
            "preferred" => tags.failover_priority = 1,
            "site" => drop(tags.free.insert("site".to_owned(), "paris".to_owned())),
            _ => {
                let from = from.parse().map_err(|why: Unreadable| why.to_string())?;
                tags.replicatefrom = Some(from);
            }
        }
    }
    Ok(())
}

fn tag<'a>(tags: &'a mut BTreeMap<usize, Tags>, name: &str) -> Result<&'a mut Tags, String> {
    Ok(tags.entry(member(name)?).or_default())
}

/// `n1` is the first.
fn member(name: &str) -> Result<usize, String> {
    let number = name.strip_prefix('n').and_then(|number| number.parse::<usize>().ok());
    number.and_then(|number| number.checked_sub(1)).ok_or_else(|| format!("'{name}' is no member"))
}

fn millis(text: &str) -> Result<Millis, String> {
    Ok(Millis(span(text)?.0 / 1_000))
}

/// `500ms` or `10s`.
pub(super) fn span(text: &str) -> Result<At, String> {
    let wrong = |_| format!("'{text}' is not a span such as 500ms or 10s");
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().map(At::ms).map_err(wrong),
        None => text.trim_end_matches('s').parse().map(At::secs).map_err(wrong),
    }
}
