//! Paths under `/haa/<cluster>/` and the JSON below them. Never talks to etcd.

use std::time::{SystemTime, UNIX_EPOCH};

use haa_core::line::Fork;
use haa_core::records::{HistoryRecord, Key, Record, RequestRecord, RequestState};
use haa_core::units::{Lsn, Term, Timeline, Unreadable};

/// Within the history, so that no watch and no transaction reads it.
const DISCARDED: &str = "history/discarded/";

/// The paths of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(cluster: &str) -> Self {
        Self { prefix: format!("/haa/{cluster}/") }
    }

    /// Where a key is kept.
    pub(super) fn path(&self, key: &Key) -> String {
        let prefix = &self.prefix;
        match key {
            Key::Cluster => format!("{prefix}cluster"),
            Key::Settings => format!("{prefix}settings"),
            Key::Term => format!("{prefix}term"),
            Key::Leader => format!("{prefix}leader"),
            Key::Sync => format!("{prefix}sync"),
            Key::Member(name) => format!("{prefix}members/{name}"),
            Key::Drained(name) => format!("{prefix}drained/{name}"),
            Key::Request(id) => format!("{prefix}requests/{id}"),
            Key::Event(id) => format!("{prefix}events/{id}"),
            Key::History(term) => format!("{prefix}history/{term}"),
            Key::Discarded(name, Fork { timeline, lsn }) => {
                format!("{prefix}{DISCARDED}{name}/{timeline}-{:X}", lsn.0)
            }
        }
    }

    /// Which key a path is; a sentence if it is none of ours.
    pub(super) fn key(&self, path: &[u8]) -> Result<Key, Unreadable> {
        let wrong = || Unreadable(format!("'{}' is no key of haa", String::from_utf8_lossy(path)));
        let path = std::str::from_utf8(path).map_err(|_| wrong())?;
        let path = path.strip_prefix(&self.prefix).ok_or_else(wrong)?;
        if let Some(rest) = path.strip_prefix(DISCARDED) {
            return discarded(rest).ok_or_else(wrong);
        }
        match (path, path.split_once('/')) {
            ("cluster", None) => Ok(Key::Cluster),
            ("settings", None) => Ok(Key::Settings),
            ("term", None) => Ok(Key::Term),
            ("leader", None) => Ok(Key::Leader),
            ("sync", None) => Ok(Key::Sync),
            (_, Some(("members", name))) => Ok(Key::Member(name.parse()?)),
            (_, Some(("drained", name))) => Ok(Key::Drained(name.parse()?)),
            (_, Some(("requests", id))) => Ok(Key::Request(id.to_owned())),
            (_, Some(("events", id))) => Ok(Key::Event(id.to_owned())),
            (_, Some(("history", term))) => {
                term.parse().map(|term| Key::History(Term(term))).map_err(|_| wrong())
            }
            (_, None | Some(_)) => Err(wrong()),
        }
    }

    /// All of the cluster, history included: the first path and the first beyond.
    pub(super) fn all(&self) -> (String, String) {
        (self.prefix.clone(), beyond(&self.prefix))
    }

    /// History alone.
    pub(super) fn history(&self) -> (String, String) {
        self.folder("history")
    }

    /// What operators asked for, and what came of it.
    pub(super) fn events(&self) -> (String, String) {
        self.folder("events")
    }

    fn folder(&self, name: &str) -> (String, String) {
        let folder = format!("{}{name}/", self.prefix);
        let end = beyond(&folder);
        (folder, end)
    }

    /// What only grows, and no decision needs: events and history, and nothing of ours comes between the two.
    pub(super) fn told(&self) -> (String, String) {
        let ((events, _), (_, after)) = (self.events(), self.history());
        (events, after)
    }

    /// All but that.
    pub(super) fn without_told(&self) -> [(String, String); 2] {
        let (first, last) = self.all();
        let (told, after) = self.told();
        [(first, told), (after, last)]
    }
}

/// `n1/3-5000148`
fn discarded(path: &str) -> Option<Key> {
    let (name, fork) = path.split_once('/')?;
    let (timeline, lsn) = fork.split_once('-')?;
    let timeline = Timeline(timeline.parse().ok()?);
    let lsn = Lsn(u64::from_str_radix(lsn, 16).ok()?);
    Some(Key::Discarded(name.parse().ok()?, Fork { timeline, lsn }))
}

/// The first path that does not begin with `prefix`, which ends in a slash: `0` comes next in
/// ASCII.
fn beyond(prefix: &str) -> String {
    let stem = prefix.strip_suffix('/').unwrap_or(prefix);
    format!("{stem}0")
}

/// The JSON of a record. History, and what came to its end, are stamped with the wall clock unless they bear a time
/// already.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let text = match record {
        Record::Cluster(value) => serde_json::to_vec(value),
        Record::Settings(value) => serde_json::to_vec(value),
        Record::Term(value) => serde_json::to_vec(value),
        Record::Leader(value) => serde_json::to_vec(value),
        Record::Sync(value) => serde_json::to_vec(value),
        Record::Member(_, value) => serde_json::to_vec(value),
        Record::Drained(_, value) => serde_json::to_vec(value),
        Record::Request(_, value) | Record::Event(_, value) => serde_json::to_vec(&ended(value)),
        Record::History(_, value) => serde_json::to_vec(&stamped(value)),
        Record::Discarded(value) => serde_json::to_vec(value),
    };
    text.expect("records have string keys and derived serializers, which cannot fail")
}

/// With the time at which it came to its end, if it did.
fn ended(record: &RequestRecord) -> RequestRecord {
    let ended_unix_ms = match record.state {
        RequestState::Scheduled | RequestState::Pending | RequestState::Accepted { .. } => None,
        RequestState::Done { .. } | RequestState::Refused { .. } => {
            Some(record.ended_unix_ms.unwrap_or_else(now_unix_ms))
        }
    };
    RequestRecord { ended_unix_ms, ..record.clone() }
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn stamped(record: &HistoryRecord) -> HistoryRecord {
    let mut record = record.clone();
    if record.at_unix_ms == 0 {
        let now = now_unix_ms();
        // Told once more when everybody follows, it bears the time at which it was open.
        let since_open =
            record.phases.attached_ms.map_or(0, |at| at.saturating_sub(record.phases.open_ms));
        record.at_unix_ms = now.saturating_sub(since_open);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back_from_its_path() {
        let keys = Keys::new("shop");
        let all = [
            Key::Cluster,
            Key::Settings,
            Key::Term,
            Key::Leader,
            Key::Sync,
            Key::Member("n1".parse().expect("a legal name")),
            Key::Drained("n1".parse().expect("a legal name")),
            Key::Request("7f".to_owned()),
            Key::Event("7f".to_owned()),
            Key::History(Term(12)),
            Key::Discarded(
                "n1".parse().expect("a legal name"),
                Fork { timeline: Timeline(3), lsn: Lsn(0x1_0500_0148) },
            ),
        ];
        for key in all {
            assert_eq!(keys.key(keys.path(&key).as_bytes()), Ok(key));
        }
    }

    #[test]
    fn what_is_not_ours_is_no_key() {
        let keys = Keys::new("shop");
        for path in [
            "/haa/shop2/term",
            "/haa/shop/terms",
            "/haa/shop/term/x",
            "/haa/shop/members/N1",
            "/haa/shop/history/x",
            "/haa/shop/history/discarded/n1/x-1",
            "/haa/shop/",
        ] {
            assert!(keys.key(path.as_bytes()).is_err(), "{path}");
        }
        assert!(keys.key(b"/haa/shop/members/\xff").is_err());
    }

    #[test]
    fn the_ranges_hold_every_key_but_what_is_only_told() {
        let keys = Keys::new("shop");
        let inside = |path: &str, (first, end): &(String, String)| {
            path >= first.as_str() && path < end.as_str()
        };
        let ranges = keys.without_told();
        let kept = |path: &str| ranges.iter().filter(|range| inside(path, range)).count();
        let all = [
            "cluster",
            "drained/n1",
            "leader",
            "members/n1",
            "requests/1",
            "settings",
            "sync",
            "term",
        ];
        for path in all {
            assert_eq!(kept(&format!("/haa/shop/{path}")), 1, "{path}");
        }
        assert_eq!(kept("/haa/shop/history/1"), 0);
        assert_eq!(kept("/haa/shop/events/1"), 0);
        assert!(inside("/haa/shop/events/1", &keys.events()));
        assert!(inside("/haa/shop/history/1", &keys.history()));
        assert_eq!(kept("/haa/shop-2/term"), 0);
        assert!(!inside("/haa/shop-2/term", &keys.all()));
    }
}
