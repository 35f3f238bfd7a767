//! The digest of a state: 128 bits of all that can make a difference later. Knows no state; names numbers anew.
//!
//! Whatever the core writes with serde is part of it, also what it does not have yet. Numbers that are only ever
//! compared with each other (revisions, leases, tokens, the numbers of requests and of work) are replaced by their
//! rank, and counters that only make such numbers are left out: two states that differ in nothing else go on alike.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize};

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
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
    field: &'static str,
    scope: u32,
}

/// Counters that only make fresh numbers.
const LEFT_OUT: [&str; 4] = ["drawn", "beats", "number", "last_lease"];

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

    fn push(&mut self, word: u64) {
        self.out.push(word);
    }

    fn named(&mut self, class: Class, word: u64) {
        self.named.push((self.out.len(), class));
        self.push(word);
    }

    fn field<T: Serialize + ?Sized>(
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

/// FNV-1a over text as it is written.
struct Text(u64);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

type Done = Result<(), fmt::Error>;

impl<'a> ser::Serializer for &'a mut Words {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = &'a mut Words;
    type SerializeTuple = &'a mut Words;
    type SerializeTupleStruct = &'a mut Words;
    type SerializeTupleVariant = &'a mut Words;
    type SerializeMap = &'a mut Words;
    type SerializeStruct = &'a mut Words;
    type SerializeStructVariant = &'a mut Words;

    fn serialize_bool(self, v: bool) -> Done {
        self.push(u64::from(v));
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Done {
        self.push(v as u64);
        Ok(())
    }
    fn serialize_i16(self, v: i16) -> Done {
        self.push(v as u64);
        Ok(())
    }
    fn serialize_i32(self, v: i32) -> Done {
        self.push(v as u64);
        Ok(())
    }
    /// Only revisions and leases are of this type.
    fn serialize_i64(self, v: i64) -> Done {
        let class = match self.field {
            "lease" | "leases" | "id" | "put" | "keep_alive" | "revoke_lease" => Class::Lease,
            _ => Class::Revision,
        };
        // Absence stays absence.
        if v == 0 {
            self.push(0)
        } else {
            self.named(class, v as u64)
        }
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Done {
        self.push(u64::from(v));
        Ok(())
    }
    fn serialize_u16(self, v: u16) -> Done {
        self.push(u64::from(v));
        Ok(())
    }
    fn serialize_u32(self, v: u32) -> Done {
        self.push(u64::from(v));
        Ok(())
    }
    fn serialize_u64(self, v: u64) -> Done {
        match self.field {
            "token" => self.named(Class::Token, v),
            "id" | "txns" | "job" | "unknown" => self.named(Class::Wish(self.scope), v),
            _ => self.push(v),
        }
        Ok(())
    }
    fn serialize_f32(self, v: f32) -> Done {
        self.push(u64::from(v.to_bits()));
        Ok(())
    }
    fn serialize_f64(self, v: f64) -> Done {
        self.push(v.to_bits());
        Ok(())
    }
    fn serialize_char(self, v: char) -> Done {
        self.push(u64::from(v));
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Done {
        self.collect_str(v)
    }
    fn serialize_bytes(self, v: &[u8]) -> Done {
        self.push(v.len() as u64);
        v.iter().for_each(|byte| self.push(u64::from(*byte)));
        Ok(())
    }
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Done {
        let mut text = Text(0xcbf2_9ce4_8422_2325);
        write!(text, "{value}")?;
        self.push(text.0);
        Ok(())
    }
    fn serialize_none(self) -> Done {
        self.push(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Done {
        self.push(u64::from(index));
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        self.push(u64::from(index));
        self.field(variant, value)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, fmt::Error> {
        self.push(len.unwrap_or(usize::MAX) as u64);
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.push(u64::from(index));
        Ok(self)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self, fmt::Error> {
        self.push(len.unwrap_or(usize::MAX) as u64);
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.push(u64::from(index));
        Ok(self)
    }
}

/// The parts of what has parts: each is written after the other.
macro_rules! parts {
    ($($of:ident :: $one:ident),*) => { $(
        impl ser::$of for &mut Words {
            type Ok = ();
            type Error = fmt::Error;
            fn $one<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                value.serialize(&mut **self)
            }
            fn end(self) -> Done {
                Ok(())
            }
        }
    )* };
}
parts!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! fields {
    ($($of:ident),*) => { $(
        impl ser::$of for &mut Words {
            type Ok = ();
            type Error = fmt::Error;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Done {
                self.field(name, value)
            }
            fn end(self) -> Done {
                Ok(())
            }
        }
    )* };
}
fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Words {
    type Ok = ();
    type Error = fmt::Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(&mut **self)
    }
    fn end(self) -> Done {
        Ok(())
    }
}
