//! How a digest writes down what serde shows it: numbers as they are, text as its hash, fields by their names.
//! Never what a number means.

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize};

use crate::model::digest::{Class, Words};

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

/// What is only a number.
macro_rules! plain {
    ($($name:ident($type:ty)),*) => { $(
        fn $name(self, v: $type) -> Done {
            self.push(v as u64);
            Ok(())
        }
    )* };
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

    plain! {
        serialize_bool(bool), serialize_char(char), serialize_i8(i8), serialize_i16(i16),
        serialize_i32(i32), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32)
    }

    fn serialize_f32(self, v: f32) -> Done {
        self.serialize_f64(f64::from(v))
    }
    fn serialize_f64(self, v: f64) -> Done {
        self.push(v.to_bits());
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
    fn serialize_u64(self, v: u64) -> Done {
        match self.field {
            "token" => self.named(Class::Token, v),
            "id" | "txns" | "job" | "unknown" => self.named(Class::Wish(self.scope), v),
            _ => self.push(v),
        }
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
