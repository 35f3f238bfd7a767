//! Connection strings and the names in them: written for libpq, and read back. Never holds a password.

use std::path::Path;

use haa_core::effect::Source;
use haa_core::site::Site;
use haa_core::units::{Address, Incarnation, MemberName};

const PREFIX: &str = "haa_";
/// Of a standby cluster's leader, at the other cluster: its member may bear the name of one there.
const ABROAD: &str = "haasite_";

/// `application_name` of a member's WAL receiver.
pub(super) fn application_name(member: &MemberName, incarnation: Incarnation) -> String {
    format!("{PREFIX}{member}_{:x}", incarnation.0)
}

/// The same at another cluster.
pub(super) fn name_abroad(member: &MemberName, incarnation: Incarnation) -> String {
    format!("{ABROAD}{member}_{:x}", incarnation.0)
}

/// The member and incarnation in an `application_name` of ours.
pub(super) fn parse_application_name(name: &str) -> Option<(MemberName, Incarnation)> {
    named(name.strip_prefix(PREFIX)?)
}

/// The same of the leader of a standby cluster.
pub(super) fn parse_name_abroad(name: &str) -> Option<(MemberName, Incarnation)> {
    named(name.strip_prefix(ABROAD)?)
}

fn named(name: &str) -> Option<(MemberName, Incarnation)> {
    let (member, incarnation) = name.rsplit_once('_')?;
    let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
    Some((member.parse().ok()?, Incarnation(incarnation)))
}

/// A connection string from its parts; each value is quoted.
pub(super) fn write(parts: &[(&str, &str)]) -> String {
    let parts = parts.iter().map(|(key, value)| {
        let value = value.replace('\\', r"\\").replace('\'', r"\'");
        format!("{key}='{value}'")
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// How to reach a source as `user`, with the password from `passfile`. Of another cluster, whoever accepts writes.
pub(super) fn to(source: &Source, user: &str, passfile: &Path, more: &[(&str, &str)]) -> String {
    let one = std::slice::from_ref(&source.address);
    let all = source.site.as_ref().map_or(one, |site| &site.hosts);
    let hosts: Vec<&str> = all.iter().map(|address| address.host.as_str()).collect();
    let ports: Vec<String> = all.iter().map(|address| address.port.to_string()).collect();
    let (host, port) = (hosts.join(","), ports.join(","));
    let passfile = passfile.to_string_lossy();
    let writes = source.site.iter().map(|_| (WRITES, "read-write"));
    let mut parts = vec![
        ("host", host.as_str()),
        ("port", &port),
        ("user", user),
        ("passfile", &passfile),
        ("connect_timeout", "3"),
        ("keepalives_idle", "5"),
        ("keepalives_interval", "2"),
        ("keepalives_count", "3"),
        ("tcp_user_timeout", "10000"),
    ];
    parts.extend(writes);
    parts.extend_from_slice(more);
    write(&parts)
}

/// What libpq is told where it is to look for whoever accepts writes.
const WRITES: &str = "target_session_attrs";

/// Where a connection string leads; `None` for an empty one and for one without a host.
pub(super) fn address(conninfo: &str) -> Option<Address> {
    let parts = parse(conninfo)?;
    let find = |key: &str| parts.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let host = find("host").or_else(|| find("hostaddr"))?;
    if find(WRITES).is_some() {
        let (hosts, ports) = (host.split(','), find("port")?);
        let all = hosts.zip(ports.split(','));
        let all = all
            .map(|(host, port)| Some(Address { host: host.to_owned(), port: port.parse().ok()? }));
        return Some(Site { hosts: all.collect::<Option<_>>()?, slot: None }.address());
    }
    let port = find("port").map_or(Some(5432), |port| port.parse().ok())?;
    (!host.is_empty()).then_some(Address { host, port })
}

/// libpq's `key = value` and `key = 'quoted value'`, with backslashes.
pub(super) fn parse(conninfo: &str) -> Option<Vec<(String, String)>> {
    let mut parts = Vec::new();
    let mut rest = conninfo.trim_start();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=')?;
        let (value, after) = parse_value(value.trim_start())?;
        parts.push((key.trim().to_owned(), value));
        rest = after.trim_start();
    }
    Some(parts)
}

fn parse_value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let there = Address { host: "::1".to_owned(), port: 5433 };
        let member: MemberName = "n1".parse().expect("a name");
        let one = Source { member: member.clone(), address: there.clone(), site: None };
        let text = to(&one, "o'brien\\", Path::new("/tmp/with space"), &[]);
        assert_eq!(address(&text), Some(there.clone()));
        let parts = parse(&text).expect("legal");
        assert!(parts.contains(&("user".to_owned(), "o'brien\\".to_owned())));
        assert_eq!(address(""), None);
        assert_eq!(address("host=a  port = 1"), Some(Address { host: "a".to_owned(), port: 1 }));
        assert_eq!(address("host='a"), None);
    }

    #[test]
    fn another_cluster_is_one_address_and_no_members() {
        let host = |host: &str, port| Address { host: host.to_owned(), port };
        let site = Site { hosts: vec![host("a", 1), host("::1", 2)], slot: None };
        let member: MemberName = "n1".parse().expect("a name");
        let source =
            Source { member: member.clone(), address: site.address(), site: Some(site.clone()) };
        let text = to(&source, "replicator", Path::new("/pgpass"), &[]);
        assert!(text.starts_with("host='a,::1' port='1,2' user="), "{text}");
        assert!(text.contains("target_session_attrs='read-write'"), "{text}");
        assert_eq!(address(&text), Some(site.address()));
        let again: Address = site.address().to_string().parse().expect("an address");
        assert_eq!(again, site.address());
        let name = name_abroad(&member, Incarnation(10));
        assert_eq!(parse_application_name(&name), None);
        assert_eq!(parse_name_abroad(&name), Some((member, Incarnation(10))));
    }

    #[test]
    fn the_longest_name_survives_postgres() {
        let longest: MemberName =
            format!("a{}", "-b".repeat(23) + "c").parse().expect("48 letters");
        let name = application_name(&longest, Incarnation((1 << 40) - 1));
        assert!(name.len() <= 63, "{}", name.len());
        assert_eq!(parse_application_name(&name), Some((longest, Incarnation((1 << 40) - 1))));
        assert_eq!(parse_application_name("pg_basebackup"), None);
    }
}
