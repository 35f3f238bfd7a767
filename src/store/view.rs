//! A view of the store out of its keys and values. Skips what one member got wrong, refuses what
//! all rely on; never mends anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use etcd_client::KeyValue;
use haa_core::records::{Kept, Key, StoreView};
use haa_core::settings::Settings;
use haa_core::units::{LeaseId, Revision};
use serde::de::DeserializeOwned;

use super::keys::Keys;

/// A value as etcd keeps it.
#[derive(Clone, Debug)]
struct Raw {
    json: Vec<u8>,
    revision: i64,
    lease: i64,
}

/// The cluster's keys at one revision, unread.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    at: i64,
    kept: BTreeMap<Key, Raw>,
}

impl Tree {
    /// An empty one that shows this revision.
    pub(super) const fn at(revision: i64) -> Self {
        Self { at: revision, kept: BTreeMap::new() }
    }

    /// The revision that it shows.
    pub(super) const fn revision(&self) -> i64 {
        self.at
    }

    /// Now it shows this revision, if that is later.
    pub(super) fn advance(&mut self, revision: i64) {
        self.at = self.at.max(revision);
    }
}

/// Reads trees, and complains about each wrong value once.
#[derive(Debug)]
pub(super) struct Reader {
    keys: Keys,
    told: Mutex<BTreeSet<(Vec<u8>, i64)>>,
}

/// A value that all rely on cannot be read: there is no view, and the countdown goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoView;

impl Reader {
    pub(super) const fn new(keys: Keys) -> Self {
        Self { keys, told: Mutex::new(BTreeSet::new()) }
    }

    /// Takes a key and its value into the tree; with a warning, and not, if the key is none of
    /// ours.
    pub(super) fn put(&self, tree: &mut Tree, kv: &KeyValue) {
        if let Some(key) = self.key(kv) {
            let json = kv.value().to_vec();
            tree.kept.insert(key, Raw { json, revision: kv.mod_revision(), lease: kv.lease() });
        }
    }

    /// Takes a key out of the tree.
    pub(super) fn delete(&self, tree: &mut Tree, kv: &KeyValue) {
        if let Ok(key) = self.keys.key(kv.key()) {
            tree.kept.remove(&key);
        }
    }

    /// Which key this is; `None`, with a warning, if it is none of ours.
    pub(super) fn key(&self, kv: &KeyValue) -> Option<Key> {
        let read = self.keys.key(kv.key());
        if let Err(error) = &read
            && self.is_news(kv.key().to_vec(), kv.mod_revision())
        {
            tracing::warn!(%error, "a strange key under our prefix in etcd is skipped: delete it");
        }
        read.ok()
    }

    /// What the tree says.
    pub(super) fn view(&self, tree: &Tree) -> Result<StoreView, NoView> {
        let mut view = StoreView { revision: Revision(tree.at), ..StoreView::default() };
        for (key, raw) in &tree.kept {
            match key {
                Key::Cluster => view.cluster = Some(self.needed(key, raw)?),
                Key::Settings => view.settings = Some(self.settings(key, raw)?),
                Key::Term => view.term = Some(self.needed(key, raw)?),
                Key::Leader => view.leader = Some(self.needed(key, raw)?),
                Key::Sync => view.sync = Some(self.needed(key, raw)?),
                Key::Member(name) => {
                    if let Some(kept) = self.skippable(key, raw) {
                        view.members.insert(name.clone(), kept);
                    }
                }
                Key::Drained(name) => {
                    if let Some(kept) = self.skippable(key, raw) {
                        view.drained.insert(name.clone(), kept);
                    }
                }
                Key::Request(id) => {
                    if let Some(kept) = self.skippable(key, raw) {
                        view.requests.insert(id.clone(), kept);
                    }
                }
                Key::Event(_) | Key::History(_) | Key::Discarded(..) => {}
            }
        }
        Ok(view)
    }

    /// One value that can be done without.
    pub(super) fn value<T: DeserializeOwned>(&self, key: &Key, kv: &KeyValue) -> Option<T> {
        let (json, lease) = (kv.value().to_vec(), kv.lease());
        self.skippable(key, &Raw { json, revision: kv.mod_revision(), lease })
            .map(|kept| kept.value)
    }

    fn skippable<T: DeserializeOwned>(&self, key: &Key, raw: &Raw) -> Option<Kept<T>> {
        match parse(raw) {
            Ok(kept) => Some(kept),
            Err(error) => {
                let path = self.keys.path(key);
                if self.is_news(path.clone().into_bytes(), raw.revision) {
                    tracing::warn!(
                        key = path, revision = raw.revision, %error,
                        "a record in etcd cannot be read and is skipped; \
                         if no newer haad wrote it, delete the key"
                    );
                }
                None
            }
        }
    }

    fn needed<T: DeserializeOwned>(&self, key: &Key, raw: &Raw) -> Result<Kept<T>, NoView> {
        parse(raw).map_err(|error| self.refuse(key, raw, &error.to_string()))
    }

    /// Settings that contradict themselves are as bad as none that can be read.
    fn settings(&self, key: &Key, raw: &Raw) -> Result<Kept<Settings>, NoView> {
        let kept: Kept<Settings> = self.needed(key, raw)?;
        kept.value.timing.check().map_err(|sentence| self.refuse(key, raw, &sentence))?;
        Ok(kept)
    }

    fn refuse(&self, key: &Key, raw: &Raw, error: &str) -> NoView {
        let path = self.keys.path(key);
        if self.is_news(path.clone().into_bytes(), raw.revision) {
            tracing::error!(
                key = path,
                revision = raw.revision,
                error,
                "a key in etcd that every member relies on cannot be used; until it is mended \
                 this member learns nothing from etcd, and a primary gives up when its lease runs \
                 out: look with 'etcdctl get {path}', then put back the last good value (or, if a \
                 newer haad wrote it, upgrade this one)"
            );
        }
        NoView
    }

    fn is_news(&self, path: Vec<u8>, revision: i64) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((path, revision))
    }
}

fn parse<T: DeserializeOwned>(raw: &Raw) -> Result<Kept<T>, serde_json::Error> {
    let value = serde_json::from_slice(&raw.json)?;
    let lease = (raw.lease != 0).then_some(LeaseId(raw.lease));
    Ok(Kept { value, revision: Revision(raw.revision), lease })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(Key, &str, i64)]) -> Tree {
        let mut tree = Tree::at(40);
        for (number, (key, json, lease)) in entries.iter().enumerate() {
            let revision = i64::try_from(number).expect("few") + 10;
            let raw = Raw { json: json.as_bytes().to_vec(), revision, lease: *lease };
            tree.kept.insert(key.clone(), raw);
        }
        tree
    }

    fn read(entries: &[(Key, &str, i64)]) -> Result<StoreView, NoView> {
        Reader::new(Keys::new("shop")).view(&tree(entries))
    }

    const LEADER: &str = r#"{"member":"n1","term":3,"instance":4}"#;

    /// One of each, as haad writes them.
    const RECORDS: [&str; 8] = [
        r#"cluster {"creator":"n1","system_id":7300000000000000001}"#,
        r#"settings {"durability":"quorum","k":1,"timing":{"ttl":10000,"round":3000}}"#,
        r#"term {"term":7,"reserved":9,"holder":{"state":"leader","member":"n1","token":5,"timeline":8,
            "position":{"timeline":7,"lsn":"0/3000060"}},"reason":"switchover"}"#,
        r#"leader {"member":"n1","term":7,"instance":4}"#,
        r#"sync {"version":3,"term":7,"primary":"n1","line":{"timeline":8,"forks":[{"timeline":7,
            "lsn":"0/3000060"}]},"durability":"quorum","voters":{"n1":1,"n2":2},"k":1,"members":{"n1":1,"n2":2}}"#,
        r#"members/n2 {"instance":2,"postgres":"10.0.0.2:5432","api":"10.0.0.2:8008","version":"0.1.0",
            "server_version":150018,"tags":{"nofailover":false,"failover_priority":0,"noloadbalance":true,
            "zone":"a"},"role":{"is":"streaming"},"system_id":1,"incarnation":2,"timeline":8}"#,
        r#"requests/7f {"ask":{"verb":"switchover","to":"n2"},"by":"alice","asked_unix_ms":1,
            "state":{"is":"done","what":"written"}}"#,
        r#"requests/80 {"ask":{"verb":"drain","member":"n2"},"by":"alice","asked_unix_ms":1,"due":{"at_unix_ms":2,
            "until_unix_ms":3,"after":"7f","from":"n1"},"state":{"is":"scheduled"}}"#,
    ];

    #[test]
    fn fuzz_keys_and_records() {
        let reader = Reader::new(Keys::new("shop"));
        let all = RECORDS.map(|record| format!("/haa/shop/{record}"));
        let deep = format!("/haa/shop/members/n2 {}", "[".repeat(50_000));
        let examples: Vec<&str> = all.iter().map(String::as_str).chain([deep.as_str()]).collect();
        crate::fuzz::text(&examples, |text| {
            let Some((path, json)) = text.split_once(' ') else { return };
            let Ok(key) = reader.keys.key(path.as_bytes()) else { return };
            let again = reader.keys.key(reader.keys.path(&key).as_bytes());
            assert_eq!(again.as_ref(), Ok(&key));
            drop(reader.view(&tree(&[(key, json, 5)])));
        });
    }

    #[test]
    fn a_value_keeps_its_revision_and_its_lease() {
        let view = read(&[(Key::Leader, LEADER, 77)]).expect("a view");
        assert_eq!(view.revision, Revision(40));
        let leader = view.leader.expect("the leader");
        assert_eq!((leader.revision, leader.lease), (Revision(10), Some(LeaseId(77))));
        let view = read(&[(Key::Leader, LEADER, 0)]).expect("a view");
        assert_eq!(view.leader.expect("the leader").lease, None);
    }

    #[test]
    fn a_strange_member_or_request_is_skipped() {
        let member = Key::Member("n2".parse().expect("a legal name"));
        let request = Key::Request("1".to_owned());
        let view = read(&[(Key::Leader, LEADER, 0), (member, "{}", 5), (request, "no JSON", 0)])
            .expect("a view");
        assert!(view.leader.is_some() && view.members.is_empty() && view.requests.is_empty());
    }

    #[test]
    fn what_all_rely_on_is_never_skipped() {
        for key in [Key::Cluster, Key::Settings, Key::Term, Key::Leader, Key::Sync] {
            assert_eq!(read(&[(key, r#"{"term":"#, 0)]), Err(NoView));
        }
        let settings = r#"{"timing":{"ttl":3000,"round":3000}}"#;
        assert_eq!(read(&[(Key::Settings, settings, 0)]), Err(NoView));
    }

    #[test]
    fn each_wrong_value_is_news_once() {
        let reader = Reader::new(Keys::new("shop"));
        assert!(reader.is_news(b"x".to_vec(), 1));
        assert!(!reader.is_news(b"x".to_vec(), 1));
        assert!(reader.is_news(b"x".to_vec(), 2));
    }
}
