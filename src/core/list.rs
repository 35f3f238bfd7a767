//! Whom a commit waits for: Postgres' `synchronous_standby_names` as a value. Never how it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Incarnation, MemberName};

/// The list of a primary, and of whoever may become one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// One that nobody satisfies: every commit waits. What a Postgres has that no leadership has opened.
    Nobody,
    /// Empty: no commit waits for anybody.
    Nothing,
    /// Any `k` of them.
    Any {
        /// How many; at least one, at most all.
        k: u32,
        /// The voters beside the primary.
        names: BTreeMap<MemberName, Incarnation>,
    },
    /// As strict as `Any`, or stricter: the first `k` that are connected. Unlike `Any` it can be seen to have
    /// come in the place of a smaller `k`: the step between two.
    FirstPadded {
        /// How many; at least one, at most all.
        k: u32,
        /// The voters beside the primary.
        names: BTreeMap<MemberName, Incarnation>,
    },
}

impl List {
    /// `k` is at least one and at most all: another one Postgres refuses, or nobody can satisfy.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Nobody | Self::Nothing => true,
            Self::Any { k, names } | Self::FirstPadded { k, names } => {
                (1..=names.len()).contains(&(*k as usize))
            }
        }
    }

    /// Who is on it.
    #[must_use]
    pub const fn names(&self) -> Option<&BTreeMap<MemberName, Incarnation>> {
        match self {
            Self::Nobody | Self::Nothing => None,
            Self::Any { names, .. } | Self::FirstPadded { names, .. } => Some(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_lies_between_one_and_all() {
        let name = |n: u64| (format!("n{n}").parse().expect("a legal name"), Incarnation(n));
        for k in 0..4 {
            let list = List::Any { k, names: (1..=2).map(name).collect() };
            assert_eq!(list.is_sound(), k == 1 || k == 2, "{list:?}");
        }
        assert!(List::Nothing.is_sound() && List::Nothing.names().is_none());
    }
}
