//! Turns the tree into the caller's type; text from variables and flags becomes what each field wants.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::error::Unplaced;
use super::tree::{Entry, Node, Value, parse_value};

type Result<T> = std::result::Result<T, Unplaced>;

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct From<'a>(pub(super) &'a Node);

impl From<'_> {
    /// Text as the number a field wants, or an error that says so.
    fn number<T: std::str::FromStr>(self, text: &str, wanted: &str) -> Result<T> {
        let clean = text.trim().replace('_', "");
        clean
            .parse()
            .map_err(|_| Unplaced::custom(format_args!("expected {wanted}, found \"{text}\"")).here(self.0))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $wanted:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match &self.0.value {
                Value::Text(text) => visitor.$visit(self.number::<$type>(text, $wanted)?),
                _ => return self.deserialize_any(visitor),
            }
            .map_err(|error: Unplaced| error.here(self.0))
        }
    )*};
}

impl<'de> Deserializer<'de> for From<'_> {
    type Error = Unplaced;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.value {
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items, at: 0 }),
            Value::Table(table) => visitor.visit_map(Entries { entries: &table.0, at: 0 }),
            Value::Text(text) => match parse_value(text, &self.0.origin) {
                Some(node) => From(&node).deserialize_any(visitor),
                None => visitor.visit_str(text),
            },
        }
        .map_err(|error: Unplaced| error.here(self.0))
    }

    numbers! {
        deserialize_i8 visit_i8 i8, "an integer from -128 to 127";
        deserialize_i16 visit_i16 i16, "an integer from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "an integer";
        deserialize_i64 visit_i64 i64, "an integer";
        deserialize_u8 visit_u8 u8, "an integer from 0 to 255";
        deserialize_u16 visit_u16 u16, "an integer from 0 to 65535";
        deserialize_u32 visit_u32 u32, "an integer, 0 or more";
        deserialize_u64 visit_u64 u64, "an integer, 0 or more";
        deserialize_f32 visit_f32 f32, "a number";
        deserialize_f64 visit_f64 f64, "a number";
        deserialize_char visit_char char, "one character";
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Value::Text(text) = &self.0.value else { return self.deserialize_any(visitor) };
        let truth = match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                return Err(
                    Unplaced::custom(format_args!("expected true or false, found \"{text}\"")).here(self.0)
                );
            }
        };
        visitor.visit_bool(truth).map_err(|error: Unplaced| error.here(self.0))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.0.value {
            Value::Text(text) => visitor.visit_str(text).map_err(|error: Unplaced| error.here(self.0)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    /// Text becomes an array when it is written as one in TOML, else its parts between commas; empty text is empty.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Value::Text(text) = &self.0.value else { return self.deserialize_any(visitor) };
        let node = parse_value(text, &self.0.origin).filter(|node| matches!(node.value, Value::Array(_)));
        let node = node.unwrap_or_else(|| Node {
            origin: self.0.origin.clone(),
            value: Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| Node { origin: self.0.origin.clone(), value: Value::Text(part.to_owned()) })
                    .collect(),
            ),
        });
        From(&node).deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match &self.0.value {
            Value::String(text) | Value::Text(text) => {
                let name: StrDeserializer<'_, Unplaced> = text.as_str().into_deserializer();
                visitor.visit_enum(name)
            }
            Value::Table(table) if table.0.len() == 1 => visitor.visit_enum(Variant { entry: &table.0[0] }),
            other => Err(Unplaced::custom(format_args!("expected a name, found {}", other.kind()))),
        }
        .map_err(|error: Unplaced| error.here(self.0))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }
}

struct Items<'a> {
    items: &'a [Node],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Unplaced;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(node) = self.items.get(self.at) else { return Ok(None) };
        let index = self.at;
        self.at += 1;
        let item = seed.deserialize(From(node));
        item.map(Some).map_err(|error| error.here(node).within(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.at)
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    at: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Unplaced;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some(entry) = self.entries.get(self.at) else { return Ok(None) };
        let name: StrDeserializer<'_, Unplaced> = entry.key.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at_key(&entry.key_origin).within(&entry.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let entry = &self.entries[self.at];
        self.at += 1;
        seed.deserialize(From(&entry.node)).map_err(|error| error.here(&entry.node).within(&entry.key))
    }
}

/// An enum written as a table of one entry: `{ fixed = { ms = 5 } }`.
struct Variant<'a> {
    entry: &'a Entry,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Unplaced;
    type Variant = From<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, From<'a>)> {
        let name: StrDeserializer<'_, Unplaced> = self.entry.key.as_str().into_deserializer();
        let name = seed.deserialize(name).map_err(|error| error.at_key(&self.entry.key_origin))?;
        Ok((name, From(&self.entry.node)))
    }
}

impl<'de> VariantAccess<'de> for From<'_> {
    type Error = Unplaced;

    fn unit_variant(self) -> Result<()> {
        Err(Unplaced::custom("this value takes no fields; write its name alone").here(self.0))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.deserialize_any(visitor)
    }
}
