//! A member's own sections of patroni.yml: what becomes of each key. Writes nothing.

use std::path::Path;

use super::draft::{Became, Content, Draft};
use super::error::ImportError;
use super::yaml::{Node, Tree};

/// Patroni's other stores.
const OTHERS: [&str; 5] = ["consul", "zookeeper", "exhibitor", "kubernetes", "raft"];

/// `scope` and `name`.
pub(super) fn names(draft: &mut Draft, path: &Path, all: &Tree) -> Result<(), ImportError> {
    for (key, to, extra) in [("scope", "cluster", "_"), ("name", "name", "")] {
        let missing = || ImportError::Missing { path: path.to_owned(), key };
        let node = all.get(key).ok_or_else(missing)?;
        let said = node.value.text().filter(|text| !text.is_empty()).ok_or_else(missing)?;
        let legal = legal(&said, extra);
        if legal == said {
            draft.taken(node, key, to);
        } else {
            let why = format!("a name in haa has a-z 0-9 - {extra}, so '{said}' is '{legal}'");
            draft.changed(node, key, to, why);
        }
        draft.put(to, legal);
    }
    Ok(())
}

/// As near as the letters allow.
fn legal(said: &str, extra: &str) -> String {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || extra.contains(c) => c,
        _ => '-',
    };
    let text: String = said.chars().map(letter).take(48).collect();
    if extra.is_empty() && !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return format!("n{text}").chars().take(48).collect();
    }
    text
}

/// `etcd3` or `etcd`; a cluster with another store is refused.
pub(super) fn store(draft: &mut Draft, path: &Path, all: &Tree) -> Result<(), ImportError> {
    let found = ["etcd3", "etcd"].into_iter().find_map(|key| Some((key, all.get(key)?)));
    let Some((section, node)) = found else {
        for store in OTHERS {
            if let Some(node) = all.get(store) {
                let line = node.referenced.line();
                return Err(ImportError::OtherStore { path: path.to_owned(), line, store });
            }
        }
        return Err(ImportError::Missing { path: path.to_owned(), key: "etcd3" });
    };
    let scheme = node.value.get("protocol").and_then(|node| node.value.text());
    let scheme = scheme.unwrap_or_else(|| "http".to_owned());
    let hosts =
        ["hosts", "host", "url"].into_iter().find_map(|key| Some((key, node.value.get(key)?)));
    let Some((key, hosts)) = hosts else {
        let other = ["proxy", "srv"].into_iter().find_map(|key| Some((key, node.value.get(key)?)));
        let (key, at) = other.unwrap_or(("hosts", node));
        let line = at.referenced.line();
        return Err(ImportError::NoHosts { path: path.to_owned(), line, key });
    };
    let url = |host: String| {
        if host.contains("://") { host } else { format!("{scheme}://{host}") }
    };
    let endpoints: Vec<toml::Value> =
        hosts.value.items().into_iter().map(|host| url(host).into()).collect();
    draft.put("etcd.endpoints", endpoints);
    draft.taken(hosts, &format!("{section}.{key}"), "etcd.endpoints");
    for (key, at) in node.value.entries() {
        let full = format!("{section}.{key}");
        let said = at.value.text().unwrap_or_default();
        match key.as_str() {
            "hosts" | "host" | "url" => {}
            "protocol" => draft.taken(at, &full, "etcd.endpoints"),
            "username" => taken(draft, at, &full, "etcd.user"),
            "password" => {
                let content = draft.password(at, &full).unwrap_or(Content::Said(said));
                draft.secret("etcd.password_file", "etcd", content);
                draft.taken(at, &full, "etcd.password_file");
            }
            "cacert" => taken(draft, at, &full, "etcd.ca_file"),
            "cert" => taken(draft, at, &full, "etcd.cert_file"),
            "key" => taken(draft, at, &full, "etcd.key_file"),
            _ => {
                draft.lost(at, &full, "haa asks each endpoint by itself; look whether you need it")
            }
        }
    }
    Ok(())
}

/// The same text under another key.
pub(super) fn taken(draft: &mut Draft, at: &Node, from: &str, to: &str) {
    let Some(said) = at.value.text() else {
        return draft.lost(at, from, "there is no value");
    };
    draft.put(to, said);
    draft.taken(at, from, to);
}

/// `restapi`: the members' port.
pub(super) fn restapi(draft: &mut Draft, path: &Path, all: &Tree) -> Result<(), ImportError> {
    let missing = || ImportError::Missing { path: path.to_owned(), key: "restapi" };
    let section = all.get("restapi").ok_or_else(missing)?;
    let papers = ["certfile", "keyfile", "cafile"].map(|key| section.value.get(key));
    let tls = papers.iter().all(Option::is_some);
    for (key, at) in section.value.entries() {
        let full = format!("restapi.{key}");
        match key.as_str() {
            "listen" => taken(draft, at, &full, "api.listen"),
            "connect_address" => taken(draft, at, &full, "api.address"),
            "certfile" if tls => taken(draft, at, &full, "api.cert_file"),
            "keyfile" if tls => taken(draft, at, &full, "api.key_file"),
            "cafile" if tls => taken(draft, at, &full, "api.ca_file"),
            "verify_client" if tls => taken(draft, at, &full, "api.verify_client"),
            "certfile" | "keyfile" | "cafile" | "verify_client" => draft.lost(
                at,
                &full,
                "haa's members speak to each other on this port, so TLS needs certfile, keyfile and cafile: see \
                 docs/operations.md, TLS",
            ),
            "authentication" => draft.lost(
                at,
                &full,
                "commands need a token instead: whoever used the password gets a line in api.token_file",
            ),
            "allowlist" | "allowlist_include_members" => {
                draft.lost(at, &full, "commands need a token; a firewall says who may ask");
            }
            _ => draft.lost(at, &full, "haa's port has no such thing"),
        }
    }
    draft.secret("api.token_file", "token", Content::New);
    draft.added(
        "a token",
        Became::Changed(
            "api.token_file".to_owned(),
            "the members know each other by it: copy the first member's file to the others"
                .to_owned(),
        ),
    );
    Ok(())
}

/// `watchdog`
pub(super) fn watchdog(draft: &mut Draft, all: &Tree) {
    let Some(section) = all.get("watchdog") else { return };
    let mode = section.value.get("mode");
    let off = mode.is_none_or(|node| node.value.truth() == Some(false));
    for (key, at) in section.value.entries() {
        let full = format!("watchdog.{key}");
        match key.as_str() {
            "mode" if off => {
                draft.needless(at, &full, "haa's guard closes Postgres when haad is frozen")
            }
            "mode" => draft.changed(
                at,
                &full,
                "guard.watchdog",
                "the guard feeds it while this member leads, and goes on without it",
            ),
            "device" if off => draft.needless(at, &full, "the watchdog is off"),
            "device" => draft.taken(at, &full, "guard.watchdog"),
            _ => draft.needless(
                at,
                &full,
                "the driver's own time-out counts: docs/operations.md, The guard",
            ),
        }
    }
    if !off {
        let device = section.value.get("device").and_then(|node| node.value.text());
        draft.put("guard.watchdog", device.unwrap_or_else(|| "/dev/watchdog".to_owned()));
    }
}

/// `tags`
pub(super) fn tags(draft: &mut Draft, all: &Tree) {
    let Some(section) = all.get("tags") else { return };
    for (key, at) in section.value.entries() {
        let (full, to) = (format!("tags.{key}"), format!("tags.{key}"));
        let truth = at.value.truth();
        match (key.as_str(), truth, at.value.number()) {
            ("failover_priority", _, Some(0)) => {
                draft.put("tags.nofailover", true);
                draft.changed(at, &full, "tags.nofailover", "0 means nofailover in Patroni");
            }
            ("failover_priority", _, Some(number)) => {
                draft.put(&to, number);
                draft.taken(at, &full, &to);
            }
            ("nofailover" | "noloadbalance" | "clonefrom" | "nosync", Some(on), _) => {
                draft.put(&to, on);
                draft.taken(at, &full, &to);
            }
            ("nostream", Some(true), _) => draft.lost(
                at,
                &full,
                "until it is known what the archive's command is: write postgres.restore_command, and tags.nostream \
                 = true, before it is started; else it streams",
            ),
            ("nostream", _, _) => draft.needless(at, &full, "it is off"),
            ("sync_priority", _, Some(0)) => {
                draft.put("tags.nosync", true);
                draft.changed(at, &full, "tags.nosync", "0 means nosync in Patroni");
            }
            ("sync_priority", _, _) => draft.lost(
                at,
                &full,
                "nobody is chosen: whoever may vote does, and commits wait for the quickest of them",
            ),
            ("replicatefrom", _, _) => match at.value.text().filter(|text| !text.is_empty()) {
                Some(said) if legal(&said, "") == said => {
                    draft.put(&to, said);
                    draft.taken(at, &full, &to);
                }
                Some(said) => {
                    let why = format!("'{said}' is '{}' in haa", legal(&said, ""));
                    draft.put(&to, legal(&said, ""));
                    draft.changed(at, &full, &to, why);
                }
                None => draft.needless(at, &full, "it streams from the primary"),
            },
            _ => match at.value.text() {
                Some(text) => {
                    draft.put(&to, text);
                    draft.taken(at, &full, &to);
                }
                None => draft.lost(at, &full, "a tag is a simple value"),
            },
        }
    }
}

/// `log`
pub(super) fn log(draft: &mut Draft, all: &Tree) {
    let Some(section) = all.get("log") else { return };
    for (key, at) in section.value.entries() {
        let full = format!("log.{key}");
        let said = at.value.text().unwrap_or_default().to_ascii_lowercase();
        match (key.as_str(), said.as_str()) {
            ("level", "debug" | "info" | "error") => {
                draft.put("log.level", said);
                draft.taken(at, &full, "log.level");
            }
            ("level", "warning" | "critical" | "notset") => {
                let level = if said == "warning" { "warn" } else { "error" };
                let level = if said == "notset" { "debug" } else { level };
                draft.put("log.level", level);
                draft.changed(at, &full, "log.level", format!("haa calls it {level}"));
            }
            ("type", "json") => {
                draft.put("log.format", "json");
                draft.taken(at, &full, "log.format");
            }
            ("type", "plain") => draft.needless(at, &full, "it is so unless log.format says json"),
            _ => draft.lost(
                at,
                &full,
                "haad logs to standard error, which systemd keeps (journalctl -u haad)",
            ),
        }
    }
}
