//! The digest of a state: 128 bits of all that can make a difference later. Knows no state; names numbers anew.
//!
//! Whatever the core writes with serde is part of it, also what it does not have yet. Numbers that are only ever
//! compared with each other (revisions, leases, tokens, the numbers of requests and of work) are replaced by their
//! rank, and counters that only make such numbers are left out: two states that differ in nothing else go on alike.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Revision,
    Lease,
    Token,
    /// Of a transaction or of work: counted by each member for itself.
    Wish(u32),
}

/// A state, written down as numbers.
#[derive(Debug, Default)]
pub struct Words {
    out: Vec<u64>,
    named: Vec<(usize, Class)>,
    pub(super) field: &'static str,
    pub(super) scope: u32,
}

/// Counters that only make fresh numbers, and times that are only told.
const LEFT_OUT: [&str; 9] = [
    "drawn",
    "beats",
    "number",
    "last_lease",
    "story_began",
    "phases",
    "candidates",
    "replay",
    "stalled",
];

impl Words {
    /// Another member's numbers begin here.
    pub const fn next_member(&mut self) {
        self.scope += 1;
    }

    /// Adds a part of the state.
    pub fn add<T: Serialize + ?Sized>(&mut self, part: &T) {
        // Writing numbers into a vector cannot fail.
        let _ = part.serialize(self);
    }

    /// The digest.
    #[must_use]
    pub fn finish(mut self) -> u128 {
        self.rename();
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for word in &self.out {
            hash ^= u128::from(*word);
            hash = hash.wrapping_mul(0xda94_2042_e4dd_58b5_9e37_79b9_7f4a_7c15);
            hash ^= hash >> 67;
        }
        hash.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) ^ (hash >> 59)
    }

    /// What has an order keeps it; the rest is counted as it appears.
    fn rename(&mut self) {
        let mut ranks: BTreeMap<(Class, u64), u64> = BTreeMap::new();
        let mut appeared = ranks.clone();
        for (at, class) in &self.named {
            let key = (*class, self.out[*at]);
            match class {
                Class::Revision | Class::Lease => {
                    ranks.insert(key, 0);
                }
                Class::Token | Class::Wish(_) => {
                    let next = appeared.len() as u64;
                    appeared.entry(key).or_insert(next);
                }
            }
        }
        for (place, rank) in ranks.values_mut().enumerate() {
            *rank = place as u64;
        }
        ranks.append(&mut appeared);
        for (at, class) in &self.named {
            self.out[*at] = ranks[&(*class, self.out[*at])] + 1;
        }
    }

    pub(super) fn push(&mut self, word: u64) {
        self.out.push(word);
    }

    pub(super) fn named(&mut self, class: Class, word: u64) {
        self.named.push((self.out.len(), class));
        self.push(word);
    }

    pub(super) fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        if LEFT_OUT.contains(&name) {
            return Ok(());
        }
        let outer = std::mem::replace(&mut self.field, name);
        value.serialize(&mut *self)?;
        self.field = outer;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use haa_core::units::{LeaseId, Revision, Token};

    use super::*;

    #[derive(Serialize)]
    struct Part {
        revision: Vec<Revision>,
        lease: Option<LeaseId>,
        token: Token,
        number: u64,
        plain: u64,
    }

    fn digest(revisions: [i64; 3], token: u64, number: u64, plain: u64) -> u128 {
        let revision = revisions.map(Revision).to_vec();
        let part = Part { revision, lease: Some(LeaseId(7)), token: Token(token), number, plain };
        let mut words = Words::default();
        words.add(&part);
        words.finish()
    }

    #[test]
    fn numbers_that_are_only_compared_count_by_their_order() {
        let one = digest([3, 9, 0], 5, 1, 1);
        assert_eq!(one, digest([4, 5, 0], 6, 2, 1));
        assert_ne!(one, digest([9, 3, 0], 5, 1, 1));
        assert_ne!(one, digest([3, 3, 0], 5, 1, 1));
        assert_ne!(one, digest([3, 9, 9], 5, 1, 1), "absent is not a revision");
        assert_ne!(one, digest([3, 9, 0], 5, 1, 2));
    }
}
