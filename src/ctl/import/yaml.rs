//! YAML as a tree in which each value knows its line. Reads; knows nothing of what it means.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// A value and where it stands.
pub(super) type Node = Spanned<Tree>;

/// Any YAML value; the order of keys stays.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// Nothing after the colon, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values.
    Map(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(i64::try_from(value).map_or_else(|_| Tree::Text(value.to_string()), Tree::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = all.next_element()? {
            list.push(one);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(Key(key)) = all.next_key()? {
            map.push((key, all.next_value()?));
        }
        Ok(Tree::Map(map))
    }
}

/// A key is a text, whatever it looks like.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Key)
    }
}

impl Tree {
    /// A simple value as Postgres and people write it; `None` for nothing, a list or a table.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Null | Self::List(_) | Self::Map(_) => None,
            Self::Bool(true) => Some("on".to_owned()),
            Self::Bool(false) => Some("off".to_owned()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
        }
    }

    /// YAML has many words for yes and no.
    pub(super) fn truth(&self) -> Option<bool> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    /// A whole number, quoted or not.
    pub(super) fn number(&self) -> Option<i64> {
        self.text()?.trim().parse().ok()
    }

    /// Its keys; none of anything else.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match self {
            Self::Map(map) => map,
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => &[],
            Self::Text(_) | Self::List(_) => &[],
        }
    }

    /// What stands under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The items of a list, or of a text with commas.
    pub(super) fn items(&self) -> Vec<String> {
        match self {
            Self::List(list) => list.iter().filter_map(|node| node.value.text()).collect(),
            other => other
                .text()
                .into_iter()
                .flat_map(|text| {
                    text.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>()
                })
                .filter(|one| !one.is_empty())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line_and_keep_their_kind() {
        let text = "a: 1\nb:\n  - x\n  - 'on'\nc:\n  d: true\n  e:\nf: 1.5\n";
        let tree: Node = serde_saphyr::from_str(text).expect("it is YAML");
        let tree = tree.value;
        assert_eq!(
            tree.get("a").map(|node| (&node.value, node.referenced.line())),
            Some((&Tree::Int(1), 1))
        );
        assert_eq!(
            tree.get("b").map(|node| node.value.items()),
            Some(vec!["x".to_owned(), "on".to_owned()])
        );
        let inner = tree.get("c").and_then(|node| node.value.get("d")).expect("it is there");
        assert_eq!((inner.value.truth(), inner.referenced.line()), (Some(true), 6));
        assert_eq!(
            tree.get("c").and_then(|node| node.value.get("e")).map(|node| &node.value),
            Some(&Tree::Null)
        );
        assert_eq!(tree.get("f").map(|node| &node.value), Some(&Tree::Float(1.5)));
    }
}
