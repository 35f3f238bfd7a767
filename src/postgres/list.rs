//! `synchronous_standby_names` on disk and as text: a file of its own, so that a write and a reload change it.
//! Never which list: that is decided elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use haa_core::list::List;
use haa_core::settings::Durability;
use haa_core::units::{Incarnation, MemberName};

use super::conninfo;
use super::files::{self, HEAD};
use super::process::remove_if_there;
use super::site::Site;

/// A name that no WAL receiver has: it ends neither in an incarnation, nor can a member be called so.
const NOBODY: &str = "ANY 1 (haa_nobody)";
/// Nor this one. Behind it, priorities begin with 2.
const PAD: &str = "haa_pad";

/// While it is there, a Postgres that no leadership has opened acknowledges nothing.
const QUORUM: &str = "quorum";

pub(super) fn file(site: &Site) -> PathBuf {
    site.state("haa.sync.conf")
}

/// Replaces the file, durably.
pub(super) fn write(site: &Site, list: &List) -> io::Result<()> {
    match changed(site, list) {
        Some(text) => files::write_private(&file(site), &text),
        None => Ok(()),
    }
}

/// Replaces the file. After the loss of the machine, what was there before may be back: that is to be as strict.
pub(super) fn write_unsynced(site: &Site, list: &List) -> io::Result<()> {
    match changed(site, list) {
        Some(text) => files::write_atomically(&file(site), &text),
        None => Ok(()),
    }
}

/// What the file is to be, if it is not.
fn changed(site: &Site, list: &List) -> Option<String> {
    let text = format!("{HEAD}synchronous_standby_names = {}\n", files::setting(&text(list)));
    let same = std::fs::read_to_string(file(site)).is_ok_and(|there| there == text);
    (!same).then_some(text)
}

/// What a Postgres has from its start on, until a leadership opens it.
pub(super) fn at_rest(site: &Site) -> List {
    if site.state(QUORUM).exists() { List::Nobody } else { List::Nothing }
}

/// Remembers what [`at_rest`] is from now on.
pub(super) fn rest(site: &Site, durability: Durability) -> io::Result<()> {
    let mark = site.state(QUORUM);
    match durability {
        Durability::Quorum if mark.exists() => Ok(()),
        Durability::Quorum => files::write_private(&mark, HEAD),
        Durability::Async => {
            remove_if_there(&mark)?;
            files::sync_parent(&mark)
        }
    }
}

/// As Postgres is told.
pub(super) fn text(list: &List) -> String {
    match list {
        List::Nobody => NOBODY.to_owned(),
        List::Nothing => String::new(),
        List::Any { k, names } => format!("ANY {k} ({})", quoted(names)),
        List::FirstPadded { k, names } => format!("FIRST {k} ({PAD}, {})", quoted(names)),
    }
}

fn quoted(names: &BTreeMap<MemberName, Incarnation>) -> String {
    let mut text = String::new();
    for (member, incarnation) in names {
        let comma = if text.is_empty() { "" } else { ", " };
        let name = conninfo::application_name(member, *incarnation);
        let _ = write!(text, "{comma}\"{name}\"");
    }
    text
}

/// What [`text`] was made from; `None` for any other text, were it only written otherwise.
pub(super) fn parse(shown: &str) -> Option<List> {
    let list = match shown {
        NOBODY => List::Nobody,
        "" => List::Nothing,
        _ => {
            let (method, rest) = shown.split_once(' ')?;
            let (k, names) = rest.split_once(" (")?;
            let k = k.parse().ok()?;
            let names = names.strip_suffix(')')?;
            match method {
                "ANY" => List::Any { k, names: unquoted(names)? },
                "FIRST" => {
                    let names = names.strip_prefix(PAD)?.strip_prefix(", ")?;
                    List::FirstPadded { k, names: unquoted(names)? }
                }
                _ => return None,
            }
        }
    };
    (list.is_sound() && text(&list) == shown).then_some(list)
}

fn unquoted(names: &str) -> Option<BTreeMap<MemberName, Incarnation>> {
    let name = |name: &str| {
        let name = name.strip_prefix('"')?.strip_suffix('"')?;
        conninfo::parse_application_name(name)
    };
    names.split(", ").map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let names: BTreeMap<_, _> = [("n1", 0xab12), ("node-2", 7)]
            .map(|(name, n)| (name.parse().expect("a legal name"), Incarnation(n)))
            .into();
        let any = List::Any { k: 1, names: names.clone() };
        assert_eq!(text(&any), r#"ANY 1 ("haa_n1_ab12", "haa_node-2_7")"#);
        let first = List::FirstPadded { k: 2, names };
        assert_eq!(text(&first), r#"FIRST 2 (haa_pad, "haa_n1_ab12", "haa_node-2_7")"#);
        for list in [any, first, List::Nobody, List::Nothing] {
            assert_eq!(parse(&text(&list)), Some(list));
        }
    }

    #[test]
    fn what_others_wrote_is_not_taken_for_ours() {
        for text in [
            "*",
            "ANY 1 (*)",
            "haa_n1_ab12",
            r#"ANY 0 ("haa_n1_ab12")"#,
            r#"ANY 2 ("haa_n1_ab12")"#,
            r#"any 1 ("haa_n1_ab12")"#,
            r#"ANY 1 ("haa_n1_ab12", "haa_n1_ab12")"#,
            r#"FIRST 1 ("haa_n1_ab12")"#,
            r#"ANY 1 ("haa_nobody")"#,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
